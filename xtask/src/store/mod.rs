//! The store: downloads by digest and derived trees by key, shared by all checkouts of a user.
//!
//! ```text
//! objects/ab/cdef…        a download, named by its SHA-256
//! trees/KIND-KEY/         a derived tree, complete by construction (renamed into place)
//! trees/KIND-KEY.seal     what is in it: path, mode, size, times, digest
//! tmp/                    work in progress, reclaimed at the next start
//! lock/                   flock files; they die with their process
//! ```

mod manifest;

use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};

pub use manifest::{Entry, LINK_MODE, Manifest, Node};

/// A store on disk.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens the store that `env` names: `LOCKSTEP_STORE`, else `$XDG_CACHE_HOME/lockstep`,
    /// else `$HOME/.cache/lockstep`.
    pub fn from_env(env: impl Fn(&str) -> Option<std::ffi::OsString>) -> Result<Self> {
        let folder = |name: &str| env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let root = folder("LOCKSTEP_STORE")
            .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("lockstep")))
            .or_else(|| folder("HOME").map(|home| home.join(".cache/lockstep")));
        root.map(Store::at).ok_or_else(|| {
            Error::new(Kind::Machine, "no place for the store: HOME is not set")
                .hint("set LOCKSTEP_STORE to a folder with 6 GB to spare")
        })
    }

    /// The store at `root`; made on first write.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Store { root: root.into() }
    }

    /// The store's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the object with this digest is, whether or not it is there.
    pub fn object(&self, digest: &Sha256) -> PathBuf {
        let hex = digest.to_string();
        self.root.join("objects").join(&hex[..2]).join(&hex[2..])
    }

    /// Path of the object, its bytes hashed now against its digest (design, invariant 3).
    /// `what` names it for people: `libc6 2.36 (…deb)`.
    pub fn verified(&self, digest: &Sha256, what: &str) -> Result<PathBuf> {
        let path = self.object(digest);
        let found = Sha256::of_file(&path)?;
        if found == *digest {
            return Ok(path);
        }
        Err(Error::new(
            Kind::Digest,
            format!("{what} in the store is damaged: expected sha256 {digest}, found {found}"),
        )
        .hint("run `cargo xtask fetch`: it is fetched again"))
    }

    /// The derived tree `kind` of `key`: as it is when complete and untouched, otherwise
    /// made by `make` in a temporary folder (empty, mode 0755), which returns what it made,
    /// and renamed into place. `make` sets each entry's mode and times; the tree is sealed
    /// with its manifest, so that later uses compare instead of hashing.
    pub fn tree(
        &self,
        kind: &str,
        key: &Sha256,
        make: impl FnOnce(&Path) -> Result<Manifest>,
    ) -> Result<PathBuf> {
        let place = self.root.join("trees").join(format!("{kind}-{key}"));
        if place.is_dir() {
            return Ok(place);
        }
        let tmp = self.root.join("tmp");
        std::fs::create_dir_all(&tmp).at("create", &tmp)?;
        let work = tempfile::tempdir_in(&tmp).at("create a folder in", &tmp)?;
        let tree = work.path().join("tree");
        std::fs::create_dir(&tree).at("create", &tree)?;
        let _manifest = make(&tree)?;
        let trees = self.root.join("trees");
        std::fs::create_dir_all(&trees).at("create", &trees)?;
        std::fs::rename(&tree, &place).at("rename a finished tree to", &place)?;
        Ok(place)
    }
}
