//! The image in a registry: what it lacks is sent, and what it then has is read back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Cursor, Read, Seek as _, SeekFrom};
use std::path::PathBuf;

use serde::Serialize;

use crate::command::{self, Env};
use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::fetch;
use crate::fetch::registry::{MANIFESTS, Purpose, Registry, of_clouds};
use crate::interrupt;
use crate::lock::Base;
use crate::progress::{Progress, Unit, bytes};
use crate::reference::Reference;
use crate::root::work::spread;

use super::attach;
use super::layout::OCI;
use super::run::Written;

/// What signs.
const COSIGN: &str = "cosign";
/// The user's variables that it may see, beside those of a step with a network and of clouds.
/// With the `ACTIONS_` it signs as the workflow of GitHub that it runs in.
const COSIGNS: [&str; 12] = [
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_ID_TOKEN_REQUEST_URL",
    "COSIGN_EXPERIMENTAL",
    "COSIGN_PASSWORD",
    "COSIGN_YES",
    "DISPLAY",
    "DOCKER_CONFIG",
    "REGISTRY_AUTH_FILE",
    "SIGSTORE_ID_TOKEN",
    "TUF_ROOT",
    "VAULT_ADDR",
    "XDG_RUNTIME_DIR",
];

/// Where to, and how.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Send it to a registry, HOST/NAME or HOST/NAME:TAG; standard output is then its exact name
    #[arg(id = "push", long = "push", value_name = "REF")]
    pub to: Option<Reference>,
    /// Without TLS to another machine, too
    #[arg(long, requires = "push")]
    pub plain_http: bool,
    /// Sign what was pushed with your own cosign, keyless or with KEY (`--sign=cosign.key`)
    #[arg(
        long,
        requires = "push",
        value_name = "KEY",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ""
    )]
    pub sign: Option<String>,
}

/// An image that a registry has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// `HOST/NAME@sha256:…`, which never means another image.
    pub name: String,
    /// Bytes that were sent.
    pub bytes: u64,
    /// Layers and config.
    pub blobs: Vec<Sent>,
    /// What is said about the image: file names.
    pub attached: Vec<&'static str>,
}

/// A blob, and how it came there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sent {
    /// Of the blob.
    pub digest: String,
    /// Bytes.
    pub size: u64,
    /// How.
    pub how: How,
}

/// How a blob came to a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It was there.
    There,
    /// The registry took it from the base's repository.
    Mounted,
    /// It was sent.
    Sent,
}

impl Options {
    /// What can be known to fail before anything is built.
    pub fn check(&self, offline: bool) -> Result<()> {
        let Some(to) = &self.to else { return Ok(()) };
        let wrong = |why: &str| Err(Error::new(Kind::Pins, format!("`--push {to}`: {why}")));
        if to.digest.is_some() {
            return wrong("a digest is what comes out: expected HOST/NAME or HOST/NAME:TAG");
        }
        if offline && !to.is_loopback() {
            return wrong("--offline is given");
        }
        match self.sign.is_some() && !command::has(COSIGN) {
            true => Err(command::lacks(COSIGN)
                .hint("install it, or leave out --sign and sign the printed name elsewhere")),
            false => Ok(()),
        }
    }

    /// Sends the image that was `written`, as the tag `tag` where none was named.
    pub fn push(
        &self,
        written: &Written,
        tag: &str,
        base: Option<&Base>,
    ) -> Result<Option<Pushed>> {
        let Some(to) = &self.to else { return Ok(None) };
        let tag = to.tag.as_deref().unwrap_or(tag);
        let registry =
            Registry::open(to, Purpose::Push, self.plain_http, &fetch::Options::from_env(false))?;
        let pushed = push(&registry, written, tag, base)?;
        if let Some(key) = &self.sign {
            sign(&pushed.name, key)?;
        }
        Ok(Some(pushed))
    }
}

/// A blob that a registry is to have.
pub(super) struct Parcel {
    pub digest: Sha256,
    pub size: u64,
    pub bytes: Bytes,
    /// A repository of the same registry that should have it.
    pub from: Option<String>,
}

/// Where a parcel's bytes are.
pub(super) enum Bytes {
    Here(Vec<u8>),
    File(PathBuf),
}

/// Sends the image that was `written`, and all that is said about it.
/// The layers of `base` are taken from its own repository where that is in the same registry.
pub fn push(
    registry: &Registry,
    written: &Written,
    tag: &str,
    base: Option<&Base>,
) -> Result<Pushed> {
    let manifest = &written.documents.manifest;
    let (blobs, mut bytes) = send(registry, &parcels(written, &neighbours(registry, base)))?;
    bytes += name(registry, tag, manifest)?;
    let (attached, more) = attach::attach(registry, written)?;
    let name = registry.reference().exact(&manifest.digest);
    Ok(Pushed { name, bytes: bytes + more, blobs, attached })
}

/// Blobs that another repository of the same registry should have.
fn neighbours(registry: &Registry, base: Option<&Base>) -> BTreeMap<Sha256, String> {
    let path = base.and_then(|base| base.name.strip_prefix(&registry.reference().host));
    let path = path.and_then(|rest| rest.strip_prefix('/'));
    let layers = base.map_or(&[][..], |base| &base.layers);
    path.map_or_else(BTreeMap::new, |path| {
        layers.iter().map(|layer| (layer.sha256, path.to_owned())).collect()
    })
}

/// Each blob once: two layers may be one.
fn parcels(written: &Written, neighbours: &BTreeMap<Sha256, String>) -> Vec<Parcel> {
    let config = &written.documents.config;
    let folder = written.place.join(OCI).join("blobs/sha256");
    let layers = written.image.layers.iter().map(|layer| Parcel {
        digest: layer.blob.digest,
        size: layer.blob.size,
        bytes: Bytes::File(folder.join(layer.blob.digest.to_string())),
        from: neighbours.get(&layer.blob.digest).cloned(),
    });
    let text = config.text.clone();
    let config = Parcel {
        from: None,
        digest: config.digest,
        size: text.len() as u64,
        bytes: Bytes::Here(text),
    };
    let mut known = BTreeSet::new();
    layers.chain([config]).filter(|parcel| known.insert(parcel.digest)).collect()
}

/// Sends what is not there; returns how each came there, and how many bytes were sent.
pub(super) fn send(registry: &Registry, parcels: &[Parcel]) -> Result<(Vec<Sent>, u64)> {
    let there = spread(parcels, |parcel| {
        match (registry.has(&parcel.digest, parcel.size)?, &parcel.from) {
            (true, _) => Ok(How::There),
            (false, Some(from)) if registry.mount(&parcel.digest, from)? => Ok(How::Mounted),
            (false, _) => Ok(How::Sent),
        }
    })?;
    let missing: Vec<&Parcel> =
        parcels.iter().zip(&there).filter(|(_, how)| **how == How::Sent).map(|(p, _)| p).collect();
    let size = missing.iter().map(|parcel| parcel.size).sum();
    let what = format!("pushing to {}", registry.reference().repository());
    let progress = Progress::new(what, Unit::Bytes, Some(size));
    spread(&missing, |parcel| parcel.send(registry, &progress))?;
    let sent = parcels.iter().zip(there).map(|(parcel, how)| Sent {
        digest: parcel.digest.named(),
        size: parcel.size,
        how,
    });
    if !missing.is_empty() {
        let line = format!("pushed {} of {} blobs, {}", missing.len(), parcels.len(), bytes(size));
        progress.finish(&line);
    }
    Ok((sent.collect(), size))
}

impl Parcel {
    fn send(&self, registry: &Registry, progress: &Progress) -> Result<()> {
        if let Bytes::File(path) = &self.bytes {
            let found = Sha256::of_file(path)?;
            if found != self.digest {
                let message =
                    format!("`{}`: expected sha256 {}, found {found}", path.display(), self.digest);
                return Err(Error::new(Kind::Digest, message).hint("run `cargo xtask image`"));
            }
        }
        let open = |from: u64| -> Result<Box<dyn Read + '_>> {
            let bytes: Box<dyn Read + '_> = match &self.bytes {
                Bytes::Here(bytes) => {
                    Box::new(Cursor::new(bytes.get(from as usize..).unwrap_or(&[])))
                }
                Bytes::File(path) => {
                    let mut file = File::open(path).at("open", path)?;
                    file.seek(SeekFrom::Start(from)).at("read", path)?;
                    Box::new(file)
                }
            };
            Ok(Box::new(Counted { bytes, sent: 0, progress }))
        };
        registry.upload(&self.digest, self.size, &open)
    }
}

/// Bytes that count as progress until they have to be sent again.
struct Counted<'a> {
    bytes: Box<dyn Read + 'a>,
    sent: u64,
    progress: &'a Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        interrupt::check().map_err(|error| io::Error::other(error.message().to_owned()))?;
        let count = self.bytes.read(buffer)?;
        self.sent += count as u64;
        self.progress.add(count as u64);
        Ok(count)
    }
}

/// Gives the image its tag, and reads it back by its digest. Returns bytes that were sent.
fn name(registry: &Registry, tag: &str, manifest: &super::oci::Document) -> Result<u64> {
    let found = registry.manifest(tag, &MANIFESTS)?;
    let sent = match found.is_some_and(|found| found.digest == manifest.digest) {
        true => 0,
        false => {
            registry.put_manifest(tag, MANIFESTS[0], &manifest.text)?;
            manifest.text.len() as u64
        }
    };
    let exact = manifest.digest.named();
    match registry.manifest(&exact, &MANIFESTS)? {
        Some(_) => Ok(sent),
        None => Err(Error::new(
            Kind::Fetch,
            format!(
                "{}: the registry took the image and has no {exact} now",
                registry.reference().repository()
            ),
        )
        .hint("run the same command again; only what is missing is sent")),
    }
}

/// Signs by the user's own cosign, which asks them what it needs.
fn sign(name: &str, key: &str) -> Result<()> {
    let mut arguments = vec!["sign".to_owned()];
    if !key.is_empty() {
        arguments.extend(["--key".to_owned(), key.to_owned()]);
    }
    arguments.push(name.to_owned());
    let env = fetch::Options::from_env(false).env;
    let own = command::NETWORK.iter().copied().chain(COSIGNS);
    let names: Vec<&str> = own.chain(of_clouds(&env)).collect();
    command::attended(COSIGN, &arguments, &Env::host(&names)).map_err(|error| {
        error.context(format!("{name} is pushed and not signed")).hint(format!(
            "sign it with `cosign {}`, or run the same command again",
            arguments.join(" ")
        ))
    })
}
