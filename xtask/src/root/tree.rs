//! Writing a tree: below one open folder, following no link, replacing nothing.
//!
//! Several [`Hand`]s may write one tree at once. What already lies at a path stays; the
//! later writer still learns the digest of what it brought, and [`super::merged`] decides,
//! by contents alone and whatever the order was, whether the two agree.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, UtimensatFlags, fchmod, futimens, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{linkat, symlinkat};

use crate::digest::Hasher;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::store::{Entry, Manifest, Node, write_error};

use super::path::TreePath;

/// Entries by path.
pub type Entries = BTreeMap<TreePath, Entry>;

/// A tree that is being made.
pub struct Tree {
    folder: OwnedFd,
    place: PathBuf,
    time: TimeSpec,
}

impl Tree {
    /// A tree in the empty folder `place`; every time in it will be `epoch`.
    pub fn at(place: &Path, epoch: u64) -> Result<Self> {
        let folder = File::open(place).at("open", place)?.into();
        let seconds = i64::try_from(epoch)
            .map_err(|_| Error::new(Kind::Lock, format!("the epoch {epoch} is no time")))?;
        Ok(Tree { folder, place: place.to_owned(), time: TimeSpec::new(seconds, 0) })
    }

    /// A new hand, one for each thread.
    pub fn hand(&self) -> Hand<'_> {
        Hand { tree: self, open: Vec::new() }
    }

    /// Gives every folder its mode and time, now that nothing more is written into it, and
    /// returns what the tree holds.
    pub fn finish(self, entries: Entries) -> Result<Manifest> {
        let mut hand = self.hand();
        for (path, entry) in entries.iter().rev() {
            if entry.node == Node::Folder {
                let folder = hand.folder(Some(path))?.ok_or_else(|| self.blocked(path))?;
                let mode = Mode::from_bits_truncate(entry.mode);
                self.done(path, fchmod(folder, mode).and_then(|()| self.stamp(folder)))?;
            }
        }
        self.stamp(self.folder.as_fd()).map_err(std::io::Error::from).at("stamp", &self.place)?;
        Ok(entries.into_iter().collect())
    }

    fn stamp(&self, file: BorrowedFd<'_>) -> nix::Result<()> {
        futimens(file, &self.time, &self.time)
    }

    fn done<T>(&self, path: &TreePath, result: nix::Result<T>) -> Result<T> {
        result.map_err(|cause| write_error(&self.place.join(path), 0, &cause.into()))
    }

    /// Like [`Tree::done`]; what is there already is nobody's fault.
    fn done_or_there(&self, path: &TreePath, result: nix::Result<()>) -> Result<bool> {
        match result {
            Err(Errno::EEXIST) => Ok(false),
            other => self.done(path, other).map(|()| true),
        }
    }

    fn blocked(&self, path: &TreePath) -> Error {
        Error::new(Kind::Io, format!("`{}` is no folder", self.place.join(path).display()))
    }
}

/// Writes a tree. Keeps the folders on the way to the last path open.
pub struct Hand<'t> {
    tree: &'t Tree,
    open: Vec<(String, OwnedFd)>,
}

impl Hand<'_> {
    /// Makes the folder `path` and all above it. Its mode is set in the end.
    pub fn make_folder(&mut self, path: &TreePath, mode: u32) -> Result<Entry> {
        self.folder(Some(path))?;
        Ok(Entry::folder(mode))
    }

    /// Begins the file `path`, if nothing lies there.
    pub fn file(&mut self, path: &TreePath, mode: u32) -> Result<Writing> {
        let tree = self.tree;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let made = self.folder(path.parent().as_ref())?.map(|folder| {
            openat(folder, path.name(), flags | OFlag::O_CLOEXEC, Mode::S_IRUSR | Mode::S_IWUSR)
        });
        let file = match made {
            None | Some(Err(Errno::EEXIST)) => None,
            Some(made) => Some(File::from(tree.done(path, made)?)),
        };
        let place = tree.place.join(path);
        Ok(Writing { file, place, mode, time: tree.time, hasher: Hasher::default(), size: 0 })
    }

    /// A whole file at once.
    pub fn whole_file(&mut self, path: &TreePath, mode: u32, bytes: &[u8]) -> Result<Entry> {
        let mut writing = self.file(path, mode)?;
        writing.write(bytes)?;
        writing.finish()
    }

    /// Makes the symbolic link `path`, if nothing lies there.
    pub fn link(&mut self, path: &TreePath, target: &str) -> Result<Entry> {
        let tree = self.tree;
        if let Some(folder) = self.folder(path.parent().as_ref())?
            && tree.done_or_there(path, symlinkat(target, folder, path.name()))?
        {
            let (time, keep) = (&tree.time, UtimensatFlags::NoFollowSymlink);
            tree.done(path, utimensat(folder, path.name(), time, time, keep))?;
        }
        Ok(Entry::link(target))
    }

    /// Makes `path` one more name of the file `target`, if nothing lies there.
    pub fn hard_link(&mut self, path: &TreePath, target: &TreePath) -> Result<()> {
        let tree = self.tree;
        let mut other = tree.hand();
        let from = other.folder(target.parent().as_ref())?;
        if let (Some(from), Some(to)) = (from, self.folder(path.parent().as_ref())?) {
            let linked = linkat(from, target.name(), to, path.name(), AtFlags::empty());
            tree.done_or_there(path, linked)?;
        }
        Ok(())
    }

    /// The open folder `path` (or the tree's own), made where it is missing; `None` when
    /// something that is no folder lies on the way.
    fn folder(&mut self, path: Option<&TreePath>) -> Result<Option<BorrowedFd<'_>>> {
        let wanted: Vec<_> = path.into_iter().flat_map(TreePath::components).collect();
        let common = self.open.iter().zip(&wanted).take_while(|((a, _), b)| a == *b).count();
        self.open.truncate(common);
        for name in &wanted[common..] {
            match self.step(name) {
                Err(Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
                Err(cause) => {
                    let place = self.tree.place.join(wanted.join("/"));
                    return Err(write_error(&place, 0, &cause.into()));
                }
                Ok(folder) => self.open.push(((*name).to_owned(), folder)),
            }
        }
        Ok(Some(self.last()))
    }

    /// Opens the folder `name` in the last open one, after making it if need be.
    fn step(&self, name: &str) -> nix::Result<OwnedFd> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let open = || openat(self.last(), name, flags, Mode::empty());
        match open() {
            Err(Errno::ENOENT) => match mkdirat(self.last(), name, Mode::S_IRWXU) {
                Ok(()) | Err(Errno::EEXIST) => open(),
                Err(cause) => Err(cause),
            },
            other => other,
        }
    }

    fn last(&self) -> BorrowedFd<'_> {
        self.open.last().map_or(self.tree.folder.as_fd(), |(_, folder)| folder.as_fd())
    }
}

/// A file that is being written; without [`Writing::finish`] it has no mode and no time.
pub struct Writing {
    /// `None` when another file was there first.
    file: Option<File>,
    place: PathBuf,
    mode: u32,
    time: TimeSpec,
    hasher: Hasher,
    size: u64,
}

impl Writing {
    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        match &mut self.file {
            Some(file) => {
                file.write_all(bytes).map_err(|cause| write_error(&self.place, 0, &cause))
            }
            None => Ok(()),
        }
    }

    /// Sets mode and time.
    pub fn finish(self) -> Result<Entry> {
        if let Some(file) = &self.file {
            fchmod(file, Mode::from_bits_truncate(self.mode))
                .and_then(|()| futimens(file, &self.time, &self.time))
                .map_err(|cause| write_error(&self.place, 0, &cause.into()))?;
        }
        Ok(Entry::file(self.mode, self.size, self.hasher.finish()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;
    use crate::digest::Sha256;

    fn path(text: &str) -> TreePath {
        TreePath::try_from(text).unwrap()
    }

    #[test]
    fn what_it_says_is_what_lies_there() {
        let place = tempfile::tempdir().unwrap();
        let tree = Tree::at(place.path(), 1_700_000_000).unwrap();
        let mut hand = tree.hand();
        let mut entries = Entries::new();
        entries.insert(path("b"), hand.make_folder(&path("b"), 0o755).unwrap());
        entries.insert(path("b/s"), hand.make_folder(&path("b/s"), 0o1777).unwrap());
        entries.insert(path("b/sh"), hand.whole_file(&path("b/sh"), 0o755, b"dash").unwrap());
        entries.insert(path("b/bash"), hand.link(&path("b/bash"), "sh").unwrap());
        entries.insert(path("a"), entries[&path("b/sh")].clone());
        hand.hard_link(&path("a"), &path("b/sh")).unwrap();
        let manifest = tree.finish(entries).unwrap();

        assert_eq!(Manifest::of_tree(place.path()).unwrap(), manifest);
        for name in ["", "a", "b", "b/s", "b/sh", "b/bash"] {
            let stat = place.path().join(name).symlink_metadata().unwrap();
            assert_eq!((stat.mtime(), stat.mtime_nsec()), (1_700_000_000, 0), "`{name}`");
        }
    }

    #[test]
    fn writes_through_no_link_and_replaces_nothing() {
        let outside = tempfile::tempdir().unwrap();
        let place = tempfile::tempdir().unwrap();
        symlink(outside.path(), place.path().join("out")).unwrap();
        std::fs::write(place.path().join("old"), "old").unwrap();
        symlink(outside.path().join("new"), place.path().join("new")).unwrap();
        let tree = Tree::at(place.path(), 0).unwrap();
        let mut hand = tree.hand();
        for name in ["out/a", "out/b/c", "old", "old/a", "new"] {
            let entry = hand.whole_file(&path(name), 0o644, b"mine").unwrap();
            assert_eq!(entry, Entry::file(0o644, 4, Sha256::of(b"mine")), "the digest is known");
        }
        hand.make_folder(&path("out/d"), 0o755).unwrap();
        hand.link(&path("out/l"), "x").unwrap();
        hand.link(&path("old"), "x").unwrap();
        hand.hard_link(&path("out/h"), &path("old")).unwrap();
        hand.hard_link(&path("h"), &path("out/h")).unwrap();
        assert_eq!(outside.path().read_dir().unwrap().count(), 0);
        assert_eq!(std::fs::read(place.path().join("old")).unwrap(), b"old");
        let entries = Entries::from([(path("out"), Entry::folder(0o700))]);
        assert!(tree.finish(entries).unwrap_err().message().ends_with("is no folder"));
    }
}
