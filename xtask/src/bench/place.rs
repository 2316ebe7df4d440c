//! Where benchmarks work: a folder of their own, with copies of the checkout and stores that
//! share the downloads. The user's checkout is only read; the user's store is used as `build-ops`
//! uses it.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::error::{IoContext as _, Result};
use crate::lock::Lock;
use crate::store::{self, Hold, Store};
use crate::workspace::Workspace;

/// `target/lockstep/bench/`: emptied at first, since a killed run leaves it, and in the end.
pub struct Place {
    folder: PathBuf,
    /// How many folders were made anew.
    old: Cell<u32>,
    _alone: Hold,
}

/// What a build reads, sorted.
pub const SOURCES: [&str; 5] =
    ["ops", "tests/snapshots", "toolchains", "workspace.lock", "workspace.toml"];

impl Place {
    /// The place of `workspace`, empty.
    pub fn take(workspace: &Workspace) -> Result<Self> {
        let scratch = workspace.scratch();
        fs::create_dir_all(&scratch).at("create", &scratch)?;
        let alone = Hold::take(&scratch.join("bench.lock"), "the benchmark of this checkout")?;
        let folder = scratch.join("bench");
        store::remove(&folder)?;
        fs::create_dir(&folder).at("create", &folder)?;
        Ok(Place { folder, old: Cell::new(0), _alone: alone })
    }

    /// The new, empty folder `name`. An earlier one goes with the place: whoever makes files just
    /// after many were removed waits for ext4, which gives out no number of a file that was
    /// removed within the last minute, and looks at each.
    pub fn fresh(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if folder.exists() {
            let old = self.folder.join(format!(".old-{}", self.old.replace(self.old.get() + 1)));
            fs::rename(&folder, &old).at("rename the folder to", &old)?;
        }
        fs::create_dir(&folder).at("create", &folder)?;
        Ok(folder)
    }

    /// A copy of what a build of `workspace` reads.
    pub fn checkout(&self, name: &str, workspace: &Workspace) -> Result<Workspace> {
        let root = self.fresh(name)?;
        for source in SOURCES {
            copy(&workspace.root().join(source), &root.join(source))?;
        }
        Ok(Workspace::at(root))
    }

    /// A store with the downloads of `lock` that are in `store`, and no tree.
    pub fn store(&self, name: &str, store: &Store, lock: &Lock) -> Result<Store> {
        fresh_store(&self.fresh(name)?, (lock, store))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _the_next_run_does = store::remove(&self.folder);
    }
}

/// A store at `root` with the downloads of `lock` that are in `store`, and no tree.
pub fn fresh_store(root: &Path, (lock, store): (&Lock, &Store)) -> Result<Store> {
    let fresh = Store::at(root);
    let packages = lock.packages.iter().map(|package| &package.sha256);
    let wheels = lock.wheels.iter().map(|wheel| &wheel.sha256);
    let binary = lock.bazel.binary.iter().map(|binary| &binary.sha256);
    for digest in packages.chain(wheels).chain(binary) {
        link(store, digest, &fresh.object(digest))?;
    }
    Ok(fresh)
}

/// The object as the file `to`, if it is there: a hard link where that can be.
pub fn link(store: &Store, digest: &Sha256, to: &Path) -> Result<()> {
    let object = store.object(digest);
    if !object.is_file() {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).at("create", folder)?;
    }
    if fs::hard_link(&object, to).is_err() {
        fs::copy(&object, to).at("copy to", to)?; // another file system
    }
    Ok(())
}

/// Copies a file, or a folder with all below.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).at("create", folder)?;
        }
        return fs::copy(from, to).map(drop).at("copy", from);
    }
    fs::create_dir_all(to).at("create", to)?;
    for entry in fs::read_dir(from).at("list", from)? {
        let entry = entry.at("list", from)?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_emptied_and_the_checkout_only_read() {
        let root = tempfile::tempdir().unwrap();
        for name in
            ["workspace.toml", "workspace.lock", "ops/a/BUILD", "toolchains/x", "tests/snapshots/y"]
        {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let workspace = Workspace::at(root.path());
        let left = workspace.scratch().join("bench/left");
        fs::create_dir_all(&left).unwrap();
        let place = Place::take(&workspace).unwrap();
        assert!(!left.exists());
        let copy = place.checkout("one", &workspace).unwrap();
        fs::write(copy.ops().join("a/BUILD"), "edited").unwrap();
        assert_eq!(fs::read_to_string(workspace.ops().join("a/BUILD")).unwrap(), "ops/a/BUILD");
        drop(place);
        assert!(!workspace.scratch().join("bench").exists());
    }
}
