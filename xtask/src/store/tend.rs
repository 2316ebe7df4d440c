//! Looking after the store: checking all of it, making room.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::check::{self, Finding};
use super::hold::Hold;
use super::object::digest_of;
use super::remove::remove;
use super::tree::{find, seal_of};
use super::{Store, write_error};
use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::interrupt;
use crate::progress::{Progress, Unit};

/// What was found sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sound {
    /// Objects.
    pub objects: usize,
    /// Trees.
    pub trees: usize,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Freed {
    /// Objects, trees and remains.
    pub items: usize,
    /// Bytes on disk.
    pub bytes: u64,
}

impl Store {
    /// Reads all bytes of all objects and trees. What is damaged is set aside, so that it is
    /// fetched or made again, and named in the error. A tree that was never finished is no
    /// damage: it is removed.
    pub fn verify(&self) -> Result<Sound> {
        self.enter()?;
        let (objects, trees) = (self.objects()?, self.trees()?);
        let total = (objects.len() + trees.len()) as u64;
        let progress = Progress::new("verifying", Unit::Items, Some(total));
        let (mut damaged, mut sound) = (Vec::new(), 0);
        for (path, digest) in &objects {
            interrupt::check()?;
            match (digest, digest_of(path)) {
                (Some(digest), Ok(found)) if found == *digest => {}
                (_, Ok(found)) => damaged.push((path, format!("found sha256 {found}"))),
                (_, Err(error)) => damaged.push((path, error.message().to_owned())),
            }
            progress.add(1);
        }
        for (path, _) in &damaged {
            self.set_aside(path)?;
        }
        for path in &trees {
            interrupt::check()?;
            match self.tended(path)? {
                Some(Finding::Broken(why)) => damaged.push((path, why)),
                Some(Finding::Whole | Finding::Healed(_)) => sound += 1,
                Some(Finding::Unfinished) | None => {}
            }
            progress.add(1);
        }
        if damaged.is_empty() {
            return Ok(Sound { objects: objects.len(), trees: sound });
        }
        let lines = damaged.iter().map(|(path, why)| format!("\n  {}: {why}", path.display()));
        let lines: String = lines.collect();
        let message = format!("the store is damaged; set aside in `aside/`:{lines}");
        Err(Error::new(Kind::Digest, message).hint("run `cargo xtask fetch`"))
    }

    /// Reads the tree at `path`; a broken one is set aside, an unfinished one removed. What
    /// another command is just making only looks so: it is looked at again once that is done.
    fn tended(&self, path: &Path) -> Result<Option<Finding>> {
        let bad =
            |found: &Option<Finding>| !matches!(found, Some(Finding::Whole | Finding::Healed(_)));
        let found = find(path, check::read_again);
        if !bad(&found) {
            return Ok(found);
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let _hold = self.hold(&name, &format!("the tree {name}"))?;
        let found = find(path, check::read_again);
        if bad(&found) {
            remove(&seal_of(path))?;
        }
        match found {
            Some(Finding::Broken(_)) => self.set_aside(path)?,
            Some(Finding::Unfinished) => remove(path)?,
            _ => {}
        }
        Ok(found)
    }

    /// Removes what is neither in `keep`, which is asked for when the store stands still (it must
    /// not use the store itself), nor needed to run: other objects, parts of other
    /// downloads, what was set aside, and with `trees` all derived trees (they are made again
    /// when they are wanted). Waits until no other command uses the store.
    pub fn collect(
        &self,
        keep: impl FnOnce() -> Result<BTreeSet<Sha256>>,
        trees: bool,
    ) -> Result<Freed> {
        if !self.root.is_dir() {
            return Ok(Freed::default());
        }
        let in_use = self.folder("lock")?.join("in-use");
        self.leave();
        let _alone = Hold::take(&in_use, "other commands to end: they use the store")?;
        let keep = keep()?;
        let kept = |digest: &Option<Sha256>| digest.is_some_and(|digest| keep.contains(&digest));
        let objects = self.objects()?.into_iter().filter(|(_, digest)| !kept(digest));
        let mut doomed: Vec<PathBuf> = objects.map(|(path, _)| path).collect();
        let part = |path: &Path| path.file_stem()?.to_str()?.parse().ok();
        doomed.extend(list(&self.root.join("tmp"))?.into_iter().filter(|path| !kept(&part(path))));
        doomed.extend(list(&self.root.join("aside"))?);
        doomed.extend(list(&self.root.join("lock"))?.into_iter().filter(|path| *path != in_use));
        if trees {
            // A tree without its seal counts for nothing: seals go first.
            let (seals, folders): (Vec<_>, Vec<_>) =
                list(&self.root.join("trees"))?.into_iter().partition(|path| path.is_file());
            doomed.extend(seals.into_iter().chain(folders));
        }
        let mut freed = Freed::default();
        for path in doomed {
            interrupt::check()?;
            freed.bytes += size(&path);
            freed.items += 1;
            remove(&path)?;
        }
        Ok(freed)
    }

    /// All objects and the digest that each is named by.
    fn objects(&self) -> Result<Vec<(PathBuf, Option<Sha256>)>> {
        let mut found = Vec::new();
        for folder in list(&self.root.join("objects"))? {
            for path in list(&folder)? {
                let name = path.strip_prefix(self.root.join("objects")).unwrap_or(&path);
                let digest = name.to_string_lossy().replace('/', "").parse().ok();
                found.push((path, digest));
            }
        }
        Ok(found)
    }

    fn trees(&self) -> Result<Vec<PathBuf>> {
        let all = list(&self.root.join("trees"))?.into_iter();
        Ok(all.filter(|path| path.extension().is_none_or(|e| e != "seal")).collect())
    }
}

/// What is in a folder, sorted; nothing when there is no folder.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let items = match folder.read_dir() {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        items => items.at("read", folder)?,
    };
    let mut paths = items
        .map(|item| item.map(|item| item.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(|cause| write_error(folder, 0, &cause))?;
    paths.sort();
    Ok(paths)
}

/// Bytes on disk of all below `path`, as far as it can be read.
pub fn size(path: &Path) -> u64 {
    let Ok(stat) = path.symlink_metadata() else { return 0 };
    let own = stat.blocks() * 512;
    match stat.is_dir() {
        true => own + list(path).unwrap_or_default().iter().map(|path| size(path)).sum::<u64>(),
        false => own,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::Manifest;

    fn filled() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        for bytes in ["kept", "old"] {
            let digest = Sha256::of(bytes.as_bytes());
            let mut partial = store.partial(&digest, bytes.len() as u64, "x").unwrap().unwrap();
            partial.write(bytes.as_bytes()).unwrap();
            partial.commit().unwrap();
        }
        let make = |place: &Path| {
            fs::write(place.join("file"), "bytes").unwrap();
            Manifest::of_tree(place)
        };
        store.tree("root", &Sha256::of(b"key"), make).unwrap();
        // A store of another process: this one's says that it is in use.
        (folder, Store::at(store.root()))
    }

    fn nothing() -> Result<BTreeSet<Sha256>> {
        Ok(BTreeSet::new())
    }

    fn place(store: &Store) -> PathBuf {
        store.trees().unwrap().remove(0)
    }

    #[test]
    fn a_sound_store_is_counted() {
        let (_folder, store) = filled();
        assert_eq!(store.verify().unwrap(), Sound { objects: 2, trees: 1 });
        assert_eq!(Store::at("/nonexistent").collect(nothing, true).unwrap(), Freed::default());
    }

    #[test]
    fn all_damage_is_named_and_set_aside() {
        let (_folder, store) = filled();
        let object = store.object(&Sha256::of(b"old"));
        fs::remove_file(&object).unwrap();
        fs::write(&object, "odd").unwrap();
        fs::write(object.with_file_name("stranger"), "").unwrap();
        fs::write(place(&store).join("file"), "bytez").unwrap();
        let error = store.verify().unwrap_err();
        assert_eq!(error.kind(), Kind::Digest);
        for name in [&object, &object.with_file_name("stranger"), &store.root().join("trees/root-")]
        {
            assert!(error.message().contains(&name.display().to_string()), "{error}");
        }
        assert_eq!(list(&store.root().join("aside")).unwrap().len(), 3);
        assert_eq!(store.verify().unwrap(), Sound { objects: 1, trees: 0 });
    }

    #[test]
    fn a_tree_that_was_never_finished_is_no_damage() {
        let (_folder, store) = filled();
        fs::remove_file(seal_of(&place(&store))).unwrap();
        assert_eq!(store.verify().unwrap(), Sound { objects: 2, trees: 0 });
        assert_eq!(list(&store.root().join("trees")).unwrap(), [] as [PathBuf; 0]);
        assert_eq!(list(&store.root().join("aside")).unwrap(), [] as [PathBuf; 0]);
    }

    #[test]
    fn a_tree_that_another_command_is_finishing_is_left_to_it() {
        let (_folder, store) = filled();
        let place = place(&store);
        let seal = fs::read(seal_of(&place)).unwrap();
        let name = place.file_name().unwrap().to_str().unwrap().to_owned();
        let hold = Store::at(store.root()).hold(&name, "x").unwrap();
        fs::remove_file(seal_of(&place)).unwrap();
        std::thread::scope(|scope| {
            let verified = scope.spawn(|| store.verify());
            fs::write(seal_of(&place), seal).unwrap();
            drop(hold);
            assert_eq!(verified.join().unwrap().unwrap(), Sound { objects: 2, trees: 1 });
        });
    }

    #[test]
    fn only_what_is_named_stays() {
        let (_folder, store) = filled();
        let kept = Sha256::of(b"kept");
        let tmp = store.root().join("tmp");
        fs::write(tmp.join(format!("{kept}.part")), "k").unwrap();
        fs::write(tmp.join(format!("{}.part", Sha256::of(b"x"))), "x").unwrap();
        fs::create_dir_all(store.root().join("aside/tree")).unwrap();
        let keep = BTreeSet::from([kept]);
        let freed = store.collect(|| Ok(keep.clone()), false).unwrap();
        assert_eq!(freed.items, 3, "an object, a part, what was aside");
        assert!(freed.bytes > 0);
        assert!(store.has(&kept, 4).unwrap() && !store.has(&Sha256::of(b"old"), 3).unwrap());
        assert_eq!(store.trees().unwrap().len(), 1);
        store.collect(|| Ok(keep), true).unwrap();
        assert_eq!(list(&store.root().join("trees")).unwrap().len(), 0);
        assert_eq!(list(&tmp).unwrap().len(), 1);
    }

    #[test]
    fn what_a_command_uses_stays_while_others_collect_again_and_again() {
        let (_folder, store) = filled();
        let digest = Sha256::of(b"used");
        let make = |place: &Path| {
            fs::write(place.join("file"), "bytes").unwrap();
            Manifest::of_tree(place)
        };
        let used = || {
            let store = Store::at(store.root()); // as a process of its own has it
            if let Some(mut partial) = store.partial(&digest, 4, "x").unwrap() {
                partial.restart().unwrap();
                partial.write(b"used").unwrap();
                partial.commit().unwrap();
            }
            let tree = store.tree("root", &Sha256::of(b"key"), make).unwrap();
            assert_eq!(fs::read(store.verified(&digest, "x").unwrap()).unwrap(), b"used");
            assert_eq!(fs::read(tree.join("file")).unwrap(), b"bytes");
        };
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..50).for_each(|_| used()));
            }
            for _ in 0..100 {
                Store::at(store.root()).collect(nothing, true).unwrap();
            }
        });
        used();
    }

    #[test]
    fn who_only_asks_for_an_object_or_waits_for_a_hold_uses_the_store() {
        let (_folder, store) = filled();
        let free = || Hold::try_take(&store.root().join("lock/in-use")).unwrap().is_some();
        let asks = Store::at(store.root());
        assert!(free() && asks.has(&Sha256::of(b"kept"), 4).unwrap() && !free());
        asks.collect(nothing, false).unwrap(); // who collects does not wait for itself
        let holds = Store::at(store.root());
        assert!(free());
        let _hold = holds.hold("fetch", "x").unwrap();
        assert!(!free());
    }

    #[test]
    fn nothing_is_removed_under_a_command_that_runs() {
        let (_folder, store) = filled();
        let other = Store::at(store.root());
        let path = other.verified(&Sha256::of(b"kept"), "x").unwrap();
        std::thread::scope(|scope| {
            let collector = scope.spawn(|| store.collect(nothing, true).unwrap());
            assert!(path.exists());
            assert!(Hold::try_take(&store.root().join("lock/in-use")).unwrap().is_none());
            drop(other);
            assert!(collector.join().unwrap().items > 0);
        });
        assert!(!path.exists());
    }
}
