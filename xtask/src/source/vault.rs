//! All that builds TensorFlow as a folder that other machines can take: an OCI image layout
//! (image-spec, image-layout.md) with one artifact, whose layers are the files: what the build
//! asks for, Bazel and the packages of its root, the sources.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::atomic;
use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::fetch::{self, Download, Selection};
use crate::lock::{Lock, Source};
use crate::store::{Store, write_error};

use super::pack::{self, Refs};

/// What is done with the vault.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Write the vault of workspace.lock as an OCI layout, for another machine
    Export {
        /// The folder
        folder: std::path::PathBuf,
    },
    /// Take into the store what workspace.lock names from such a folder
    Import {
        /// The folder
        folder: std::path::PathBuf,
    },
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const ARTIFACT: &str = "application/vnd.lockstep.vault.v1";
const FILE: &str = "application/octet-stream";
/// A pack of git's, with two annotations.
const PACK: &str = "application/vnd.lockstep.git-pack.v1";
const TAG: &str = "lockstep.tag";
const SHALLOW: &str = "lockstep.shallow";
/// The one config of all artifacts (image-spec, manifest.md, "Guidelines for Artifact Usage").
const EMPTY: &str = "{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
const TITLE: &str = "org.opencontainers.image.title";
const ANEW: &str = "export the vault anew with this workspace.lock";

/// Exports or imports; says what.
pub fn run(lock: &Lock, store: &Store, command: &Command) -> Result<()> {
    let Some(source) = &lock.source else {
        let message = "workspace.lock has no vault: `tensorflow.lane` is not `source`";
        return Err(Error::new(Kind::Pins, message));
    };
    let vault = Vault { lock, source, store };
    let builder = Selection { externals: false, ..Selection::source() };
    let (asked, rest) = (source.externals.len(), fetch::plan(lock, &builder)?.len());
    match command {
        Command::Export { folder } => {
            let digest = vault.export(folder)?;
            println!(
                "{asked} files that the build asks for, {rest} of Bazel and its root, the sources: artifact sha256:{digest}"
            );
        }
        Command::Import { folder } => {
            vault.import(folder)?;
            println!(
                "{asked} files that the build asks for, {rest} of Bazel and its root, the sources: in the store"
            );
        }
    }
    Ok(())
}

fn blob(folder: &Path, digest: &Sha256) -> PathBuf {
    folder.join(digest.blob())
}

/// What is carried, from and to a store.
struct Vault<'a> {
    lock: &'a Lock,
    source: &'a Source,
    store: &'a Store,
}

impl Vault<'_> {
    /// By their digests in the lock.
    fn files(&self) -> Result<Vec<Download>> {
        fetch::plan(self.lock, &Selection::source())
    }

    /// Writes the layout; its index comes last, so that a folder that has one is whole.
    fn export(&self, folder: &Path) -> Result<Sha256> {
        let mut layers = Vec::new();
        for file in self.files()? {
            let from = self.store.verified(&file.sha256, &file.what)?;
            let to = blob(folder, &file.sha256);
            atomic::replace(&to, |file| {
                let mut bytes = fs::File::open(&from).at("open", &from)?;
                std::io::copy(&mut bytes, file)
                    .map_err(|cause| write_error(&to, 0, &cause))
                    .map(drop)
            })?;
            let mut layer = descriptor(FILE, &file.sha256, file.size);
            layer["annotations"] = json!({ TITLE: file.what });
            layers.push(layer);
        }
        layers.push(self.sources(folder)?);
        let config = Sha256::of(EMPTY.as_bytes());
        atomic::write(&blob(folder, &config), EMPTY.as_bytes())?;
        let manifest = self.manifest(&config, layers).to_string();
        let digest = Sha256::of(manifest.as_bytes());
        atomic::write(&blob(folder, &digest), manifest.as_bytes())?;
        atomic::write(&folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [descriptor(MANIFEST, &digest, manifest.len() as u64)],
        });
        atomic::write(&folder.join("index.json"), index.to_string().as_bytes())?;
        Ok(digest)
    }

    /// Writes the layer of the sources.
    fn sources(&self, folder: &Path) -> Result<Value> {
        let (path, refs) = pack::write(self.lock, self.source, self.store, folder)?;
        let (digest, size) =
            (Sha256::of_file(&path)?, fs::metadata(&path).at("read", &path)?.len());
        fs::rename(&path, blob(folder, &digest)).at("move", &path)?;
        let mut layer = descriptor(PACK, &digest, size);
        layer["annotations"] = json!({ TITLE: "sources", TAG: refs.tag, SHALLOW: refs.shallow });
        Ok(layer)
    }

    fn manifest(&self, config: &Sha256, layers: Vec<Value>) -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": ARTIFACT,
            "config": descriptor(EMPTY_TYPE, config, EMPTY.len() as u64),
            "layers": layers,
            "annotations": { "lockstep.vault": self.source.vault.to_string() },
        })
    }

    /// Takes the files that the lock names: by their digests, whatever the folder says of them.
    fn import(&self, folder: &Path) -> Result<()> {
        for file in self.files()? {
            if !self.store.has(&file.sha256, file.size)? {
                let path = held(folder, &file.sha256, &file.what)?;
                self.store.admit(&path, &file.what)?;
            }
        }
        let (digest, refs) = sources(folder)?;
        let path = held(folder, &digest, "sources")?;
        pack::read(self.lock, self.source, self.store, &path, &refs)
    }
}

fn descriptor(kind: &str, digest: &Sha256, size: u64) -> Value {
    json!({ "mediaType": kind, "digest": digest.named(), "size": size })
}

/// The blob of `digest`, hashed.
fn held(folder: &Path, digest: &Sha256, what: &str) -> Result<PathBuf> {
    let path = blob(folder, digest);
    if !path.is_file() {
        let message = format!("`{}` has no {what} (sha256 {digest})", folder.display());
        return Err(Error::new(Kind::Fetch, message).hint(ANEW));
    }
    let found = Sha256::of_file(&path)?;
    if found == *digest {
        return Ok(path);
    }
    let message =
        format!("`{}`: {what}: expected sha256 {digest}, found {found}", folder.display());
    Err(Error::new(Kind::Digest, message).hint(ANEW))
}

/// The layer of the sources, as the folder's own artifact names it.
fn sources(folder: &Path) -> Result<(Sha256, Refs)> {
    let none = || {
        let message = format!("`{}` has no sources of TensorFlow", folder.display());
        Error::new(Kind::Fetch, message).hint(ANEW)
    };
    let json = |path: &Path| {
        let bytes = fs::read(path).at("read", path)?;
        serde_json::from_slice::<Value>(&bytes).map_err(|_| none())
    };
    let digest = |value: &Value| Sha256::from_name(value["digest"].as_str()?);
    let index = json(&folder.join("index.json"))?;
    let manifest = digest(&index["manifests"][0]).ok_or_else(none)?;
    let manifest = json(&held(folder, &manifest, "manifest")?)?;
    let mut layers = manifest["layers"].as_array().into_iter().flatten();
    let layer = layers.find(|layer| layer["mediaType"] == PACK).ok_or_else(none)?;
    let text = |name: &str| layer["annotations"][name].as_str().unwrap_or_default().to_owned();
    let refs = Refs { tag: text(TAG), shallow: text(SHALLOW) };
    Ok((digest(layer).ok_or_else(none)?, refs))
}
