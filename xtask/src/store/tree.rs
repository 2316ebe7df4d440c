//! Trees: derived folders by the digest of all that went into them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::check::{self, Finding};
use super::remove::remove;
use super::room::write_error;
use super::seal::Seal;
use super::{Manifest, Store};
use crate::digest::Sha256;
use crate::error::{IoContext as _, Result};
use crate::progress;

impl Store {
    /// The derived tree `kind` of `key`: as it is when complete and untouched, otherwise
    /// made by `make` in a temporary folder (empty, mode 0755), which returns what it made,
    /// and renamed into place. `make` sets each entry's mode and times; the tree is sealed
    /// with its manifest, so that later uses compare instead of hashing.
    ///
    /// A tree that was changed behind the store's back is set aside and made again.
    pub fn tree(
        &self,
        kind: &str,
        key: &Sha256,
        make: impl FnOnce(&Path) -> Result<Manifest>,
    ) -> Result<PathBuf> {
        self.enter()?;
        let name = format!("{kind}-{key}");
        let place = self.root.join("trees").join(&name);
        if find(&place, check::look) == Some(Finding::Whole) {
            return Ok(place);
        }
        let hold = self.hold(&name, &format!("the tree {kind}-{}", key.short()));
        match (find(&place, check::look), hold) {
            (Some(Finding::Whole), _) => {}
            // What is right can be used from a store that cannot be written.
            (Some(Finding::Healed(_)), Err(_)) => {}
            (_, Err(unwritable)) => return Err(unwritable),
            (Some(Finding::Healed(seal)), Ok(_hold)) => self.write_seal(&name, &seal)?,
            (None | Some(Finding::Unfinished), Ok(_hold)) => self.make_tree(&name, make)?,
            (Some(Finding::Broken(why)), Ok(_hold)) => {
                self.set_aside(&place)?;
                progress::say(&format!(
                    "warning: the tree {kind}-{} was changed by somebody: {why}; \
                     it is made again, the old one is in `{}`",
                    key.short(),
                    self.root.join("aside").display()
                ));
                self.make_tree(&name, make)?;
            }
        }
        Ok(place)
    }

    /// What is in the tree at `place`, as its seal says: [`Store::tree`] just compared the two.
    pub fn manifest(&self, place: &Path) -> Result<Manifest> {
        let path = seal_of(place);
        let seal = Seal::decode(&std::fs::read(&path).at("read", &path)?);
        match seal {
            Some(seal) => Ok(seal.records.into_iter().skip(1).map(|r| (r.path, r.entry)).collect()),
            None => Manifest::of_tree(place),
        }
    }

    fn make_tree(&self, name: &str, make: impl FnOnce(&Path) -> Result<Manifest>) -> Result<()> {
        self.reclaim()?;
        let work = self.folder("tmp")?.join(name);
        remove(&work)?;
        std::fs::create_dir(&work).map_err(|cause| write_error(&work, 0, &cause))?;
        std::fs::set_permissions(&work, Permissions::from_mode(0o755)).at("set mode of", &work)?;
        let made = make(&work).and_then(|manifest| self.finish_tree(name, &work, manifest));
        if made.is_err() {
            remove(&work)?;
        }
        made
    }

    /// The seal goes first and comes last: a tree that has one was whole.
    fn finish_tree(&self, name: &str, work: &Path, manifest: Manifest) -> Result<()> {
        let place = self.folder("trees")?.join(name);
        remove(&seal_of(&place))?;
        remove(&place)?;
        std::fs::rename(work, &place).at("rename a finished tree to", &place)?;
        self.write_seal(name, &check::seal(&place, manifest)?)
    }

    fn write_seal(&self, name: &str, seal: &Seal) -> Result<()> {
        let work = self.folder("tmp")?.join(format!("{name}.seal"));
        std::fs::write(&work, seal.encode()).map_err(|cause| write_error(&work, 0, &cause))?;
        let path = seal_of(&self.root.join("trees").join(name));
        std::fs::rename(&work, &path).at("rename a seal to", &path)
    }
}

/// What is at `place`, as `compare` finds it by its seal; `None` when nothing is.
pub(super) fn find(place: &Path, compare: fn(&Path, Seal) -> Finding) -> Option<Finding> {
    match std::fs::read(seal_of(place)) {
        Ok(bytes) => Some(match Seal::decode(&bytes) {
            Some(seal) => compare(place, seal),
            None => Finding::Broken("its seal is damaged".to_owned()),
        }),
        Err(_) => place.symlink_metadata().ok().map(|_| Finding::Unfinished),
    }
}

/// Where the seal of the tree at `place` is.
pub(super) fn seal_of(place: &Path) -> PathBuf {
    place.with_added_extension("seal")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;
    use crate::error::{Error, Kind};
    use crate::store::{Entry, Hold};

    /// A store with one tree in it, and how often that was made.
    struct Case {
        _folder: tempfile::TempDir,
        store: Store,
        made: Cell<u32>,
    }

    impl Case {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::at(folder.path().join("store"));
            let case = Case { _folder: folder, store, made: Cell::new(0) };
            case.tree();
            case
        }

        fn tree(&self) -> PathBuf {
            let key = Sha256::of(b"key");
            self.store
                .tree("root", &key, |place| {
                    self.made.set(self.made.get() + 1);
                    fill(place);
                    Manifest::of_tree(place)
                })
                .unwrap()
        }

        /// After `damage` the tree is as it should be, having been made `times` in all.
        fn survives(&self, name: &str, times: u32, damage: impl FnOnce(&Path)) {
            let place = self.tree();
            damage(&place);
            let place = self.tree();
            assert_eq!(fs::read(place.join("usr/bin/sh")).unwrap(), b"dash", "{name}");
            assert_eq!(Manifest::of_tree(&place).unwrap().len(), 5, "{name}");
            assert_eq!(self.made.get(), times, "{name}");
            self.tree();
            assert_eq!(self.made.get(), times, "{name}, once more");
        }
    }

    fn fill(place: &Path) {
        fs::create_dir_all(place.join("usr/bin")).unwrap();
        fs::write(place.join("usr/bin/sh"), "dash").unwrap();
        fs::write(place.join("usr/empty"), "").unwrap();
        symlink("usr/bin", place.join("bin")).unwrap();
        chmod(&place.join("usr"), 0o755); // whatever the umask of whoever runs the tests
        chmod(&place.join("usr/bin"), 0o755);
        chmod(&place.join("usr/bin/sh"), 0o644);
        chmod(&place.join("usr/empty"), 0o644);
        set_mtime(&place.join("usr/bin/sh"), 1_000_000_000);
    }

    fn set_mtime(path: &Path, seconds: u64) {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn a_tree_is_made_once() {
        let case = Case::new();
        let place = case.tree();
        let sealed = case.store.manifest(&place).unwrap();
        assert_eq!(sealed, Manifest::of_tree(&place).unwrap());
        assert_eq!(case.made.get(), 1);
        assert_eq!(place.metadata().unwrap().mode() & 0o7777, 0o755);
        assert_eq!(fs::read_dir(case.store.root().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn every_change_of_content_or_protection_is_seen_and_the_tree_made_again() {
        type Damage = fn(&Path);
        let damages: [(&str, Damage); 13] = [
            ("an edit in place with the old time", |p| {
                fs::write(p.join("usr/bin/sh"), "bash").unwrap();
                set_mtime(&p.join("usr/bin/sh"), 1_000_000_000);
            }),
            ("truncated", |p| fs::write(p.join("usr/bin/sh"), "").unwrap()),
            ("a file added", |p| fs::write(p.join("usr/bin/x"), "").unwrap()),
            ("a file added at the top", |p| fs::write(p.join("x"), "").unwrap()),
            ("a file removed", |p| fs::remove_file(p.join("usr/empty")).unwrap()),
            ("a mode", |p| chmod(&p.join("usr/bin/sh"), 0o777)),
            ("a folder's mode", |p| chmod(&p.join("usr/bin"), 0o777)),
            ("the top folder's mode", |p| chmod(p, 0o777)),
            ("a file is a link now", |p| {
                fs::rename(p.join("usr/bin/sh"), p.parent().unwrap().join("sh")).unwrap();
                symlink(p.parent().unwrap().join("sh"), p.join("usr/bin/sh")).unwrap();
            }),
            ("a file is a fifo now", |p| {
                fs::remove_file(p.join("usr/empty")).unwrap();
                nix::unistd::mkfifo(&p.join("usr/empty"), nix::sys::stat::Mode::S_IRWXU).unwrap();
            }),
            ("a link leads elsewhere", |p| {
                fs::remove_file(p.join("bin")).unwrap();
                symlink("/usr/bin", p.join("bin")).unwrap();
            }),
            ("the seal is torn", |p| fs::write(seal_of(p), "lockstep seal 1\n").unwrap()),
            ("the tree is gone", |p| fs::remove_dir_all(p).unwrap()),
        ];
        for (name, damage) in damages {
            Case::new().survives(name, 2, damage);
        }
    }

    #[test]
    fn an_owner_or_a_capability_that_was_given_is_seen() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: only root gives files away");
            return;
        }
        Case::new().survives("an owner", 2, |p| {
            std::os::unix::fs::lchown(p.join("usr/bin/sh"), Some(1), None).unwrap();
        });
        Case::new().survives("a folder's group", 2, |p| {
            std::os::unix::fs::lchown(p.join("usr"), None, Some(1)).unwrap();
        });
        // `cap_setuid` effective and permitted: struct vfs_cap_data of linux/capability.h.
        let capability = [0x0200_0001_u32, 1 << 7, 0, 0, 0].map(u32::to_le_bytes).concat();
        Case::new().survives("a capability", 2, |p| {
            let (file, flags) = (p.join("usr/bin/sh"), rustix::fs::XattrFlags::empty());
            rustix::fs::setxattr(file, "security.capability", &capability, flags).unwrap();
        });
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_same_content_with_other_times_is_healed() {
        let case = Case::new();
        case.survives("touched", 1, |p| set_mtime(&p.join("usr/bin/sh"), 5));
        let sh = case.tree().join("usr/bin/sh").metadata().unwrap();
        assert_eq!(sh.mtime(), 1_000_000_000, "a tree's times are part of it");
        case.survives("written anew", 1, |p| {
            fs::remove_file(p.join("usr/bin/sh")).unwrap();
            fs::write(p.join("usr/bin/sh"), "dash").unwrap();
            chmod(&p.join("usr/bin/sh"), 0o644);
        });
        let seal = Seal::decode(&fs::read(seal_of(&case.tree())).unwrap()).unwrap();
        assert!(matches!(check::look(&case.tree(), seal), Finding::Whole), "not sealed anew");
    }

    #[test]
    fn after_a_reboot_everything_is_read_once() {
        let case = Case::new();
        let reboot = |place: &Path| {
            let mut seal = Seal::decode(&fs::read(seal_of(place)).unwrap()).unwrap();
            seal.boot = "another".to_owned();
            fs::write(seal_of(place), seal.encode()).unwrap();
        };
        case.survives("reboot", 1, reboot);
        // A crash leaves zeros where data was not written back; no time tells of it.
        let place = case.tree();
        fs::write(place.join("usr/bin/sh"), [0; 4]).unwrap();
        let mut seal = Seal::decode(&fs::read(seal_of(&place)).unwrap()).unwrap();
        for record in &mut seal.records {
            let stat = place.join(&record.path).symlink_metadata().unwrap();
            record.stat = super::super::seal::Stat::from(&stat);
        }
        seal.boot = "another".to_owned();
        fs::write(seal_of(&place), seal.encode()).unwrap();
        case.survives("torn by the crash", 2, |_| {});
    }

    #[test]
    fn a_tree_without_seal_is_not_taken_for_a_whole_one() {
        let case = Case::new();
        case.survives("killed before the seal", 2, |p| {
            fs::remove_file(seal_of(p)).unwrap();
            fs::remove_file(p.join("usr/empty")).unwrap();
        });
        assert!(!case.store.root().join("aside").exists(), "nobody changed anything");
    }

    #[test]
    fn a_maker_that_fails_leaves_nothing_and_the_next_one_may_succeed() {
        let case = Case::new();
        let key = Sha256::of(b"other");
        let error = case.store.tree("root", &key, |place| {
            fill(place);
            chmod(&place.join("usr"), 0);
            Err(Error::new(Kind::Archive, "hostile"))
        });
        assert_eq!(error.unwrap_err().message(), "hostile");
        assert_eq!(fs::read_dir(case.store.root().join("tmp")).unwrap().count(), 0);
        let made = case.store.tree("root", &key, |place| {
            fill(place);
            Manifest::of_tree(place)
        });
        assert!(made.is_ok());
    }

    #[test]
    fn a_maker_that_says_something_else_than_it_made_is_caught() {
        let case = Case::new();
        type Lie = fn(&mut Manifest);
        let lies: [(&str, Lie); 3] = [
            ("`usr/bin/x` is missing", |m| m.insert("usr/bin/x", Entry::folder(0o755))),
            ("`usr/empty` has another type, mode or size", |m| {
                m.insert("usr/empty", Entry::file(0o600, 0, Sha256::of(b"")));
            }),
            ("`bin` is not in its manifest", |m| {
                *m = m.iter().filter(|(p, _)| *p != Path::new("bin")).map(own).collect();
            }),
        ];
        for (n, (expected, lie)) in lies.into_iter().enumerate() {
            let made = case.store.tree("root", &Sha256::of(&[n as u8]), |place| {
                fill(place);
                let mut manifest = Manifest::of_tree(place)?;
                lie(&mut manifest);
                Ok(manifest)
            });
            let error = made.unwrap_err();
            assert!(error.message().ends_with(expected), "{error}");
        }
    }

    fn own((path, entry): (&Path, &Entry)) -> (PathBuf, Entry) {
        (path.to_owned(), entry.clone())
    }

    #[test]
    fn what_killed_makers_left_is_reclaimed_but_not_what_living_ones_hold() {
        let case = Case::new();
        let tmp = case.store.root().join("tmp");
        for left in ["root-dead", "root-alive"] {
            fs::create_dir(tmp.join(left)).unwrap();
        }
        fs::write(tmp.join("root-dead.seal"), "").unwrap();
        fs::write(tmp.join("0123.part"), "").unwrap();
        let hold = Hold::take(&case.store.root().join("lock/root-alive"), "x").unwrap();
        case.store.reclaim().unwrap();
        let mut left: Vec<_> =
            fs::read_dir(&tmp).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["0123.part", "root-alive"]);
        drop(hold);
    }

    #[test]
    fn two_at_once_make_it_once() {
        let folder = tempfile::tempdir().unwrap();
        let made = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let store = Store::at(folder.path());
                    let tree = store.tree("root", &Sha256::of(b"k"), |place| {
                        made.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        fill(place);
                        Manifest::of_tree(place)
                    });
                    assert_eq!(fs::read(tree.unwrap().join("bin/sh")).unwrap(), b"dash");
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }
}
