//! A root from locked packages: unpack, join, fix up. [`super::builder`] and
//! [`super::runtime`] say what each of the two has besides.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::digest::{Key, Sha256};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::lock::{Binary, Lock, Package, RootKind};
use crate::store::{Entry, Manifest, Store};

use super::merged::Merged;
use super::path::TreePath;
use super::tree::{Entries, Hand, Tree};
use super::{debian, fixups, packages};

/// All that a root is a function of.
pub struct Recipe<'l> {
    /// What it is called in the store.
    pub kind: &'static str,
    /// Its packages, in the lock's order.
    pub packages: Vec<&'l Package>,
    /// Every time in it.
    pub epoch: u64,
    /// Folders for mounts besides those of every root.
    pub mount_points: Vec<String>,
    /// Programs pinned by URL, by the path that they get.
    pub programs: Vec<(&'static str, &'l Binary)>,
}

impl<'l> Recipe<'l> {
    /// The packages of `root` and nothing else.
    pub fn of(lock: &'l Lock, root: RootKind, kind: &'static str) -> Self {
        let packages = lock.packages_of(root).collect();
        let (mount_points, programs) = (Vec::new(), Vec::new());
        Recipe { kind, packages, epoch: lock.epoch, mount_points, programs }
    }

    /// The root in the store, assembled when it is not there yet.
    pub fn ensure(&self, store: &Store) -> Result<PathBuf> {
        if self.packages.is_empty() {
            return Err(Error::new(
                Kind::Lock,
                format!("workspace.lock names no package for the {} root", self.kind),
            )
            .hint("run `cargo xtask update`"));
        }
        store.tree(self.kind, &self.key(), |place| {
            let order = packages::largest_first(&self.packages);
            self.assemble(store, place, &order)
        })
    }

    /// The digest of all that goes in.
    pub fn key(&self) -> Sha256 {
        let mut key = Key::new("root")
            .field("rules", debian::RULES.to_le_bytes())
            .field("fix-ups", fixups::LIST.to_le_bytes())
            .field("epoch", self.epoch.to_le_bytes());
        for package in &self.packages {
            key = key
                .field("package", &package.name)
                .field("version", &package.version)
                .field("sha256", package.sha256.bytes());
        }
        for place in &self.mount_points {
            key = key.field("mount point", place);
        }
        for (path, binary) in &self.programs {
            key = key.field("program", path).field("sha256", binary.sha256.bytes());
        }
        key.finish()
    }

    /// Fills the empty folder `place`. The packages are unpacked in `order`, which the
    /// result does not depend on.
    pub fn assemble(&self, store: &Store, place: &Path, order: &[usize]) -> Result<Manifest> {
        let tree = Tree::at(place, self.epoch)?;
        let contents = packages::unpack(&self.packages, order, store, &tree)?;
        let mut merged = Merged::default();
        for (package, entries) in self.packages.iter().zip(contents) {
            merged.add(packages::label(package), entries)?;
        }
        let mut hand = tree.hand();
        for (path, binary) in &self.programs {
            let path = TreePath::try_from(*path)?;
            let entry = program(&path, binary, store, &mut hand)?;
            merged.add(&*binary.url, Entries::from([(path, entry)]))?;
        }
        let more: Vec<_> = self.mount_points.iter().map(String::as_str).collect();
        let fixups = fixups::list(&merged, &more)?;
        merged.add("Lockstep's fix-ups", fixups::write(&fixups, &mut hand, place)?)?;
        tree.finish(merged.finish()?)
    }
}

/// Copies a pinned program, which anybody may execute, out of the store.
fn program(path: &TreePath, binary: &Binary, store: &Store, hand: &mut Hand<'_>) -> Result<Entry> {
    let object = store.verified(&binary.sha256, &binary.url)?;
    let mut file = File::open(&object).at("open", &object)?;
    let mut writing = hand.file(path, 0o755)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer).at("read", &object)? {
            0 => return writing.finish(),
            n => writing.write(&buffer[..n])?,
        }
    }
}
