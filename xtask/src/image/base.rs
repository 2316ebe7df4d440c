//! The house's own base image, below our layers: its layers as they are, nothing else of it.
//!
//! Ours lie above all of it, so what we check is what runs. Three things could still lead a
//! process to other code: modules where Python looks for them, what the loader preloads, and
//! libraries that it prefers to ours: of a better processor, or by its cache, which an empty
//! one of ours replaces.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;

use crate::digest::{Hasher, Sha256};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::fetch::base::what;
use crate::interrupt;
use crate::lock::{Base, Compression, Lock};
use crate::root::work::spread;
use crate::store::Store;

use super::layer::Layer;
use super::layout::Draft;
use super::oci::{self, Blob};

/// Below these, a file that is not ours would be found before or beside ours.
const SEARCHED: [&str; 4] = ["usr/lib/python", "usr/local/lib/python", "etc/ld.so.preload", CACHE];

/// Where the loader's libraries are, by their names.
pub const CACHE: &str = "etc/ld.so.cache";

/// The base's layers as an image has them, the lowest first.
pub fn layers(lock: &Lock) -> Vec<oci::Layer> {
    let layers = lock.base.iter().flat_map(|base| base.layers.iter().map(move |l| (base, l)));
    let layers = layers.zip(1..).map(|((base, layer), at)| oci::Layer {
        name: format!("from {at}"),
        about: format!("layer {at} of {}@sha256:{}", base.name, base.digest),
        blob: Blob { digest: layer.sha256, size: layer.size, diff_id: layer.diff_id },
        compression: Compression::Gzip,
    });
    layers.collect()
}

/// Puts the base's layers there, each verified, and checked against `ours`, which will lie
/// above.
pub fn write(lock: &Lock, store: &Store, draft: &Draft, ours: &[Layer<'_>]) -> Result<()> {
    let Some(base) = &lock.base else { return Ok(()) };
    let paths: BTreeSet<&str> =
        ours.iter().flat_map(Layer::members).map(|(path, _)| path.as_str()).collect();
    let jobs: Vec<_> = base.layers.iter().collect();
    let strangers = spread(&jobs, |layer| {
        let what = what(base, layer);
        let path = store.verified(&layer.sha256, &what)?;
        let file = BufReader::with_capacity(256 << 10, File::open(&path).at("open", &path)?);
        let found = read(file, &paths).or_else(|cause| {
            interrupt::check()?;
            Err(Error::new(Kind::Archive, format!("cannot read {what}: {cause}")))
        })?;
        if found.diff_id != layer.diff_id {
            let (expected, found) = (layer.diff_id, found.diff_id);
            let message = format!("{what}: expected diff id {expected}, found {found}");
            return Err(Error::new(Kind::Digest, message));
        }
        draft.copy(&path, &layer.sha256)?;
        Ok(found.stranger)
    })?;
    match strangers.into_iter().flatten().next() {
        None => Ok(()),
        Some(path) => Err(stranger(base, &path)),
    }
}

fn stranger(base: &Base, path: &str) -> Error {
    let message = format!(
        "`image.base` {}@sha256:{}: it has `/{path}`, which a process in our image would find: \
         expected no Python modules and no preloaded library but ours",
        base.name, base.digest,
    );
    Error::new(Kind::Archive, message).hint("pin a base without Python, or one without that file")
}

struct Found {
    diff_id: Sha256,
    /// A file that would be found and is not replaced by ours.
    stranger: Option<String>,
}

fn read(file: impl Read, ours: &BTreeSet<&str>) -> io::Result<Found> {
    let mut stream = Hashing { inner: MultiGzDecoder::new(file), hasher: Hasher::default() };
    let mut stranger = None;
    let mut archive = tar::Archive::new(&mut stream);
    for entry in archive.entries()? {
        interrupt::check().map_err(|error| io::Error::other(error.message().to_owned()))?;
        let entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let path = resolved(&path);
        let searched = SEARCHED.iter().any(|start| path.starts_with(start))
            || path.starts_with("usr/lib/") && path.contains("/glibc-hwcaps/");
        let folder = entry.header().entry_type().is_dir();
        if searched && !folder && !ours.contains(&*path) {
            stranger.get_or_insert(path);
        }
    }
    io::copy(&mut stream, &mut io::sink())?;
    Ok(Found { diff_id: stream.hasher.finish(), stranger })
}

/// The path below the root, as who unpacks it does.
fn resolved(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(path: &str) -> Vec<u8> {
        let mut layer = Layer::new("t", 0);
        layer.add_bytes(path, 0o644, b"x".to_vec()).unwrap();
        layer.compress(Vec::new(), "b".as_ref()).unwrap()
    }

    #[test]
    fn what_a_process_would_find_is_seen_unless_ours_replaces_it() {
        let found = |path: &str, ours: &[&str]| {
            read(&layer(path)[..], &ours.iter().copied().collect()).unwrap().stranger
        };
        let module = "usr/local/lib/python3/dist-packages/x.py";
        let better = "usr/lib/x86_64-linux-gnu/glibc-hwcaps/x86-64-v3/libstdc++.so.6";
        for path in [module, "usr/lib/python3/x.py", "etc/ld.so.preload", CACHE, better] {
            assert_eq!(found(path, &[]).as_deref(), Some(path));
            assert_eq!(found(path, &[path]), None);
        }
        assert_eq!(found("etc/house", &[]), None);
        assert!(read(&b"no gzip"[..], &BTreeSet::new()).is_err());
    }

    #[test]
    fn a_path_is_what_it_is_unpacked_to() {
        for path in ["/usr/lib/x", "./usr//lib/x", "usr/./lib/x", "../etc/../usr/lib/x"] {
            assert_eq!(resolved(path), "usr/lib/x");
        }
    }
}
