//! The image in `dist/`, as a root that the native engine starts.
//!
//! Nothing large is unpacked: the base is the runtime root's tree and the wheels are the
//! site-packages' tree; what Lockstep wrote besides is taken out of the layers' blobs. That
//! together they are the image is seen from inside, at each task's start: the entrypoint holds
//! them against the manifests that the image's identity names.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::digest::{Key, Sha256};
use crate::engine::{Engine, Mount, Output, Run};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::image::archive::Docker;
use crate::image::identity::SHARE;
use crate::image::layout::OCI;
use crate::image::oci::{self, Blob, Document, Layer};
use crate::image::run::IMAGE;
use crate::image::slim;
use crate::image::tools::Tools;
use crate::image::unpack::unpacked;
use crate::lock::Lock;
use crate::root;
use crate::root::runtime::dist_packages;
use crate::store::{Manifest, Store};
use crate::verify::bundle::Bundle;
use crate::workspace::Workspace;

/// The image in `dist/`.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its folder.
    pub folder: PathBuf,
    /// The digest that names it.
    pub manifest: Sha256,
    /// What a container is started by.
    pub config: Document,
    /// The workspace that it is of.
    pub workspace: String,
    /// Its layers, the lowest first.
    pub layers: Vec<Layer>,
}

impl Image {
    /// The image that `cargo xtask image` wrote.
    pub fn open(workspace: &Workspace) -> Result<Self> {
        Image::at(workspace.dist().join(IMAGE))
    }

    /// Reads the texts (OCI image specification v1.1) of the image in a folder.
    pub fn at(folder: PathBuf) -> Result<Self> {
        let layout = folder.join(OCI);
        if !layout.is_dir() {
            let message = format!("there is no image: `{}` is not there", layout.display());
            return Err(Error::new(Kind::Ledger, message).hint("run `cargo xtask image`"));
        }
        let bundle = Bundle::of_folder(&layout)?;
        let manifest = digest(&bundle.json("index.json")?["manifests"][0]["digest"], &layout)?;
        document(&bundle, manifest)?;
        let text = bundle.json(&manifest.blob())?;
        let config = document(&bundle, digest(&text["config"]["digest"], &layout)?)?;
        let said = bundle.json(&config.digest.blob())?;
        let workspace = said["config"]["Labels"]["dev.lockstep.workspace-id"].as_str();
        let workspace = workspace.unwrap_or_default().to_owned();
        let layers = text["layers"].as_array().map_or(&[][..], Vec::as_slice).iter().enumerate();
        let layers = layers.map(|(at, layer)| self::layer(layer, &said, at, &layout));
        let layers = layers.collect::<Result<_>>()?;
        Ok(Image { folder, manifest, config, workspace, layers })
    }

    /// The image as docker loads it; `epoch` is when its files were made.
    pub fn docker(&self, epoch: u64) -> Docker<'_> {
        Docker { folder: &self.folder, config: &self.config, layers: &self.layers, epoch }
    }

    fn blob(&self, digest: &Sha256) -> PathBuf {
        self.folder.join(OCI).join(digest.blob())
    }

    /// Its root, and the mounts that make it whole.
    pub fn root(&self, lock: &Lock, store: &Store) -> Result<(PathBuf, Vec<Mount>)> {
        let key = Key::new("unpacked 1").field("manifest", self.manifest.bytes()).finish();
        let own = store.tree("unpacked", &key, |place| self.unpack(place))?;
        let engine = |run: &Run, output: Output<'_>| Engine::Native.run(run, output);
        let tools = Tools { lock, store, engine: &engine, logs: self.folder.join("log") };
        let (root, site) = (root::runtime::ensure(lock, store)?, slim::site(&tools)?);
        let place = dist_packages(&lock.python);
        let local = [&own, &root].map(|tree| tree.join("usr/local"));
        let mounts = vec![
            Mount::Overlay { sources: local.to_vec(), target: "/usr/local".to_owned() },
            Mount::Overlay { sources: vec![own.join(&place), site], target: format!("/{place}") },
        ];
        Ok((root, mounts))
    }

    /// The whole top layer, and the manifests of those below.
    fn unpack(&self, place: &Path) -> Result<Manifest> {
        for (at, layer) in self.layers.iter().enumerate() {
            let digest = layer.blob.digest;
            let (blob, top) = (self.blob(&digest), at + 1 == self.layers.len());
            if top && Sha256::of_file(&blob)? != digest {
                let message = format!("`{}` is not what it is called", blob.display());
                return Err(Error::new(Kind::Digest, message).hint("run `cargo xtask image`"));
            }
            let file = File::open(&blob).at("open", &blob)?;
            let stream = unpacked(BufReader::new(file)).at("read", &blob)?;
            let wanted = |path: &Path| top || path.starts_with(SHARE);
            take(&mut tar::Archive::new(stream), place, wanted).at("unpack", &blob)?;
        }
        Manifest::of_tree(place)
    }
}

fn take(
    archive: &mut tar::Archive<impl std::io::Read>,
    place: &Path,
    wanted: impl Fn(&Path) -> bool,
) -> std::io::Result<()> {
    for entry in archive.entries()? {
        let mut entry = entry?;
        if wanted(&entry.path()?) {
            entry.unpack_in(place)?;
        }
    }
    Ok(())
}

/// The layer of a manifest's descriptor, which is number `at` in the config too.
fn layer(descriptor: &Value, config: &Value, at: usize, layout: &Path) -> Result<Layer> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let history = &config["history"][at];
    let name = text(&history["created_by"]);
    let blob = Blob {
        digest: digest(&descriptor["digest"], layout)?,
        size: descriptor["size"].as_u64().unwrap_or_default(),
        diff_id: digest(&config["rootfs"]["diff_ids"][at], layout)?,
    };
    let compression = oci::compression(&text(&descriptor["mediaType"]));
    let name = name.strip_prefix(oci::BY).unwrap_or_default().to_owned();
    Ok(Layer { name, about: text(&history["comment"]), blob, compression })
}

/// A digest as OCI writes it.
fn digest(value: &Value, layout: &Path) -> Result<Sha256> {
    value.as_str().and_then(Sha256::from_name).ok_or_else(|| {
        let message = format!("`{}` has something without sha256 digest", layout.display());
        Error::new(Kind::Archive, message).hint("run `cargo xtask image`")
    })
}

/// A blob that is text, which must be what it is called.
fn document(bundle: &Bundle, digest: Sha256) -> Result<Document> {
    let name = digest.blob();
    let text = bundle.text(&name)?;
    if Sha256::of(&text) != digest {
        let message = format!("`{}`: `{name}` is not what it is called", bundle.name());
        return Err(Error::new(Kind::Digest, message).hint("run `cargo xtask image`"));
    }
    Ok(Document { text, digest })
}
