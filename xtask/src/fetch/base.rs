//! The image that ours starts from: its blobs, from its registry or from an OCI layout on
//! disk (`LOCKSTEP_BASE`), each verified by its digest.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use super::Options;
use super::registry::{Purpose, Registry};
use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::lock::{Base, BaseLayer};
use crate::progress::{Progress, Unit};
use crate::store::{Store, check_room};

/// An OCI layout to use instead of the base's registry.
const VARIABLE: &str = "LOCKSTEP_BASE";

/// Where a base is.
pub enum Place {
    /// In its registry.
    Registry(Box<Registry>),
    /// In an OCI layout: a folder.
    Layout(PathBuf),
}

impl Place {
    /// Where the image called `repository` is.
    pub fn open(repository: &str, options: &Options) -> Result<Self> {
        if let Some(folder) = options.env.get(VARIABLE).filter(|folder| !folder.is_empty()) {
            return Ok(Place::Layout(PathBuf::from(folder)));
        }
        let wrong = |why: String| Error::new(Kind::Lock, format!("`{repository}`: {why}"));
        let reference = repository.parse().map_err(wrong)?;
        let registry = Registry::open(&reference, Purpose::Pull, false, options)?;
        Ok(Place::Registry(Box::new(registry)))
    }

    /// Whether another machine is asked.
    pub fn is_remote(&self) -> bool {
        matches!(self, Place::Registry(registry) if !registry.reference().is_loopback())
    }

    /// The manifest of this digest, verified.
    pub fn manifest(&self, digest: &Sha256, accept: &[&str]) -> Result<Vec<u8>> {
        let Place::Registry(registry) = self else { return self.small(digest, 0) };
        let found = registry.manifest(&digest.named(), accept)?;
        found.map(|manifest| manifest.text).ok_or_else(|| {
            let name = registry.reference();
            Error::new(Kind::Fetch, format!("{name}: the registry has no image sha256:{digest}"))
                .hint(format!("{VARIABLE} names an OCI layout to use instead"))
        })
    }

    /// The whole of a small blob, verified.
    pub fn small(&self, digest: &Sha256, size: u64) -> Result<Vec<u8>> {
        let path = match self {
            Place::Registry(registry) => return registry.small(digest, size),
            Place::Layout(folder) => folder.join(digest.blob()),
        };
        let mut text = Vec::new();
        let file = File::open(&path).at("open", &path)?;
        file.take(4 << 20).read_to_end(&mut text).at("read", &path)?;
        match Sha256::of(&text) {
            found if found == *digest => Ok(text),
            found => Err(Error::new(
                Kind::Digest,
                format!("`{}`: expected sha256 {digest}, found {found}", path.display()),
            )),
        }
    }

    fn blob(&self, layer: &BaseLayer) -> Result<Box<dyn Read + Send>> {
        match self {
            Place::Registry(registry) => Ok(Box::new(registry.blob(&layer.sha256, layer.size)?)),
            Place::Layout(folder) => {
                let path = folder.join(layer.sha256.blob());
                Ok(Box::new(File::open(&path).at("open", &path)?.take(layer.size)))
            }
        }
    }
}

/// What a layer of `base` is for people.
pub fn what(base: &Base, layer: &BaseLayer) -> String {
    format!("layer {} of {}", layer.sha256.short(), base.name)
}

/// Has all layers of `base` in the store.
pub fn ensure(base: &Base, store: &Store, options: &Options) -> Result<()> {
    let mut missing = Vec::new();
    for layer in &base.layers {
        if !store.has(&layer.sha256, layer.size)? {
            missing.push(layer);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let place = Place::open(&base.name, options)?;
    if options.offline && place.is_remote() {
        let message = format!("the layers of {} are not in the store", base.name);
        return Err(Error::new(Kind::Fetch, format!("{message}, and --offline is given"))
            .hint("run `cargo xtask fetch` while the network is there"));
    }
    let total = missing.iter().map(|layer| layer.size).sum();
    check_room(store.root(), total)?;
    let what = format!("fetching the layers of {}", base.name);
    let progress = Progress::new(what, Unit::Bytes, Some(total));
    missing.iter().try_for_each(|layer| {
        let mut again = options.limits.attempts;
        loop {
            again -= again.min(1);
            match fetch(&place, base, layer, store, &progress) {
                Err(error) if error.kind() == Kind::Fetch && again > 0 => continue,
                done => return done,
            }
        }
    })
}

fn fetch(
    place: &Place,
    base: &Base,
    layer: &BaseLayer,
    store: &Store,
    progress: &Progress,
) -> Result<()> {
    let what = what(base, layer);
    let Some(mut partial) = store.partial(&layer.sha256, layer.size, &what)? else {
        return Ok(());
    };
    partial.restart()?;
    let mut blob = place.blob(layer)?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        crate::interrupt::check()?;
        let count = blob.read(&mut buffer).map_err(|cause| {
            progress.take_back(partial.length());
            Error::new(Kind::Fetch, format!("cannot fetch {what}: {cause}"))
        })?;
        if count == 0 || partial.length() + count as u64 > layer.size {
            break;
        }
        partial.write(&buffer[..count])?;
        progress.add(count as u64);
    }
    match partial.mismatch() {
        None => partial.commit().map(drop),
        Some(found) => {
            partial.restart()?;
            let expected = layer.sha256;
            let message = format!("cannot fetch {what}: expected sha256 {expected}, found {found}");
            Err(Error::new(Kind::Digest, message)
                .hint("nothing of it was used; ask who runs the registry"))
        }
    }
}
