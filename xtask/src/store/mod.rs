//! The store: downloads by digest and derived trees by key, shared by all checkouts of a user.
//!
//! ```text
//! objects/ab/cdef…        a download, named by its SHA-256
//! trees/KIND-KEY/         a derived tree, complete by construction (renamed into place)
//! trees/KIND-KEY.seal     what is in it: path, mode, size, times, digest
//! built/KEY               digest of a TensorFlow wheel that was built here
//! tmp/                    work in progress, reclaimed at the next start
//! lock/                   flock files; they die with their process
//! aside/                  what was found damaged, kept for looking at
//! ```

mod check;
mod hold;
mod manifest;
mod object;
mod remove;
mod room;
mod seal;
mod tend;
mod tree;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};

pub use hold::Hold;
pub use manifest::{Entry, LINK_MODE, Manifest, Node};
pub use object::Partial;
pub use remove::remove;
pub use room::{check_room, free, write_error};
pub use tend::{Freed, Sound, size};

/// A store on disk.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
    in_use: Arc<Mutex<Option<File>>>,
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
        Store { root: root.into(), in_use: Arc::default() }
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

    /// Tells other processes, until this one ends, that the store is in use: nothing is
    /// collected meanwhile. A store that cannot be written needs no such word.
    fn enter(&self) -> Result<()> {
        let mut in_use = self.in_use();
        if in_use.is_none() {
            let Ok(lock) = self.folder("lock") else { return Ok(()) };
            *in_use = Hold::share(&lock.join("in-use"), "the store's clean-up")?;
        }
        Ok(())
    }

    /// Takes that back: whoever collects does not wait for itself.
    fn leave(&self) {
        *self.in_use() = None;
    }

    fn in_use(&self) -> MutexGuard<'_, Option<File>> {
        self.in_use.lock().unwrap_or_else(|broken| broken.into_inner())
    }

    /// Waits until no other process holds `name`, and holds it until the result is dropped;
    /// `what` says to people what is waited for.
    pub fn hold(&self, name: &str, what: &str) -> Result<Hold> {
        self.enter()?;
        Hold::take(&self.folder("lock")?.join(name), what)
    }

    /// The folder `name` of the store, made when it is missing.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.root.join(name);
        if !folder.is_dir() {
            std::fs::create_dir_all(&folder).map_err(|cause| write_error(&folder, 0, &cause))?;
        }
        Ok(folder)
    }

    /// Moves what is damaged to `aside/`, in place of an earlier one of its name.
    fn set_aside(&self, path: &Path) -> Result<()> {
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        let name = below.to_string_lossy().replace('/', "-");
        let place = self.folder("aside")?.join(name);
        remove(&place)?;
        match std::fs::rename(path, &place) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                Err(write_error(path, 0, &cause))
            }
            _ => Ok(()),
        }
    }

    /// Removes what killed processes left in `tmp/`. Parts of downloads stay: they are gone
    /// on with.
    fn reclaim(&self) -> Result<()> {
        let tmp = self.folder("tmp")?;
        for item in std::fs::read_dir(&tmp).at("read", &tmp)? {
            let path = item.at("read", &tmp)?.path();
            if path.extension().is_some_and(|extension| extension == "part") {
                continue;
            }
            let Some(name) = path.file_stem() else { continue };
            if let Some(_hold) = Hold::try_take(&self.folder("lock")?.join(name))? {
                remove(&path)?;
            }
        }
        Ok(())
    }
}
