//! A root from locked packages: unpack, join, fix up. [`super::builder`] and
//! [`super::runtime`] say what each of the two has besides.

use std::path::{Path, PathBuf};

use crate::digest::{Key, Sha256};
use crate::error::{Error, Kind, Result};
use crate::lock::{Binary, Lock, Package, RootKind};
use crate::pieces;
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
        merged.check()?; // the fix-ups read what is there
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
    let mut writing = hand.file(path, 0o755)?;
    pieces::each(&object, |piece| writing.write(piece))?;
    writing.finish()
}

#[cfg(test)]
mod tests {
    use super::super::closure::closure;
    use super::super::{builder, runtime};
    use super::*;

    /// The committed lock, and the store when all that `recipe` needs is in it.
    fn real() -> Option<(Lock, Store)> {
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workspace.lock");
        let lock = Lock::load(&lock).ok()?;
        let store = Store::from_env(|name| std::env::var_os(name)).ok()?;
        let there = |package: &Package| store.has(&package.sha256, package.size).ok() == Some(true);
        lock.packages.iter().all(there).then_some((lock, store))
    }

    #[test]
    fn real_packages_in_any_order_are_one_whole_root() {
        let Some((lock, store)) = real() else {
            println!("skipped: the locked packages are not in the store: `cargo xtask fetch`");
            return;
        };
        for recipe in [builder::recipe(&lock), runtime::recipe(&lock)] {
            // That in the store may be older than a rule that was changed without its number.
            let kept = recipe.ensure(&store).unwrap();
            let mut order = packages::largest_first(&recipe.packages);
            order.reverse();
            let place = tempfile::tempdir_in(store.root()).unwrap();
            let said = recipe.assemble(&store, place.path(), &order).unwrap();
            assert_eq!(Manifest::of_tree(place.path()).unwrap(), said);
            assert_eq!(Manifest::of_tree(&kept).unwrap(), said);
            let missing = closure(place.path()).unwrap();
            assert!(missing.iter().all(|missing| missing.excuse().is_some()), "{missing:?}");
        }
    }

    #[test]
    fn the_key_moves_with_all_that_goes_in() {
        let package = |name: &str, digest: &[u8]| Package {
            name: name.to_owned(),
            version: "1".to_owned(),
            architecture: "all".to_owned(),
            path: String::new(),
            size: 1,
            sha256: Sha256::of(digest),
            roots: std::collections::BTreeSet::new(),
        };
        let (a, b) = (package("a", b"1"), package("a", b"2"));
        let binary = |digest: &[u8]| Binary {
            url: "https://mirror.example/bazel".to_owned(),
            size: 1,
            sha256: Sha256::of(digest),
        };
        let (one, two) = (binary(b"1"), binary(b"2"));
        let key = |packages: &[&Package], epoch, place: &str, programs: &[&Binary]| {
            let programs = programs.iter().map(|binary| ("usr/bin/bazel", *binary)).collect();
            let (packages, mount_points) = (packages.to_vec(), vec![place.to_owned()]);
            Recipe { kind: "test", packages, epoch, mount_points, programs }.key()
        };
        let keys = std::collections::BTreeSet::from([
            key(&[&a], 0, "out", &[]),
            key(&[&b], 0, "out", &[]),
            key(&[&a, &b], 0, "out", &[]),
            key(&[&a], 1, "out", &[]),
            key(&[&a], 0, "in", &[]),
            key(&[&a], 0, "out", &[&one]),
            key(&[&a], 0, "out", &[&two]),
        ]);
        assert_eq!(keys.len(), 7);
    }
}
