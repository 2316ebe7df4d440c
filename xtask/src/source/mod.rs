//! The lane `source`: TensorFlow's wheel, built by Bazel from the pinned revision.
//!
//! [`checkout`] has the commit, [`gateway`] is the one thing outside that the build can
//! reach and gives out what is on its [`shelf`], [`gather`] lets it record everything external (the *vault*: records in the lock,
//! bytes in the store), [`build`] builds from the vault alone, [`wheel`] packs what came out
//! anew. All stages after this one take that wheel as they take any ([`complete`]).

pub mod bazel;
pub mod build;
pub mod checkout;
pub mod compare;
pub mod gateway;
pub mod gather;
pub mod machine;
pub mod outcome;
pub mod pack;
pub mod plan;
pub mod shelf;
pub mod vault;
pub mod wheel;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::digest::{Key, Sha256};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::lock::{self, Lock, Source};
use crate::root;
use crate::store::Store;

/// A wheel that was built, by the key of all that went into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// Its file name.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// Of the file, which is in the store.
    pub sha256: Sha256,
}

impl Built {
    /// The wheel of `lock`, when it was built and is in the store.
    pub fn find(lock: &Lock, source: &Source, store: &Store) -> Result<Option<Built>> {
        let Some(built) = Built::recorded(lock, source, store)? else { return Ok(None) };
        Ok(store.has(&built.sha256, built.size)?.then_some(built))
    }

    /// The wheel of `lock` by its record, wherever it is.
    pub fn recorded(lock: &Lock, source: &Source, store: &Store) -> Result<Option<Built>> {
        let path = place(lock, source, store);
        let bytes = match std::fs::read(&path) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.at("read", &path)?,
        };
        // A record that cannot be read is as good as none.
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// Records the wheel, which is in the store.
    fn record(&self, lock: &Lock, source: &Source, store: &Store) -> Result<()> {
        let text = serde_json::to_vec(self).map_err(|e| Error::new(Kind::Io, e.to_string()))?;
        atomic::write(&place(lock, source, store), &text)
    }
}

fn place(lock: &Lock, source: &Source, store: &Store) -> PathBuf {
    store.root().join("built").join(key(lock, source).to_string())
}

/// Of all that goes into the wheel.
pub fn key(lock: &Lock, source: &Source) -> Sha256 {
    let externals = source.externals.iter().map(|e| format!("{} {}\n", e.from, e.sha256));
    Key::new("tensorflow wheel 1")
        .field("vault", source.vault.to_string())
        .field("externals", externals.collect::<String>())
        .field("package", &lock.tensorflow.package)
        .field("version", &lock.tensorflow.version)
        .finish()
}

/// Of all that decides what a build asks for: the commit, Bazel and its root, the flags.
pub fn vault_key(lock: &Lock, source: &Source) -> Sha256 {
    let machine = machine::Machine { processors: 1, memory: 0 };
    let flags = plan::flags(lock, source, machine, plan::Step::Gather);
    let flags: Vec<String> = flags.into_iter().map(|flag| flag.word).collect();
    Key::new("tensorflow vault 1")
        .field("revision", &lock.tensorflow.revision)
        .field("describe", &lock.tensorflow.git_version)
        .field("bazel", &lock.bazel.version)
        .field("builder", root::builder::recipe(lock).key().to_string())
        .field("flags", flags.join("\n"))
        .field("target", &source.target)
        .field("epoch", lock.epoch.to_string())
        .finish()
}

/// In the lane `source`, the lock with the wheel that was built from it among its wheels; in
/// the lane `wheel`, the lock as it is.
pub fn complete(mut lock: Lock, store: &Store) -> Result<Lock> {
    let Some(source) = &lock.source else { return Ok(lock) };
    let Some(built) = Built::find(&lock, source, store)? else {
        let (package, version) = (&lock.tensorflow.package, &lock.tensorflow.version);
        let message =
            format!("{package} {version} is not built yet (`tensorflow.lane` is `source`)");
        return Err(Error::new(Kind::Lock, message).hint("run `cargo xtask build-tf`"));
    };
    let (name, version) = (lock.tensorflow.package.clone(), lock.tensorflow.version.clone());
    let Built { file, size, sha256 } = built;
    lock.wheels.push(lock::Wheel { name, version, file, size, sha256 });
    lock.wheels.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(lock)
}
