//! What is in a tree: every entry below it, by content. No times, no owners: two makings
//! of one tree have equal manifests.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::digest::{Key, Sha256};
use crate::error::{Error, IoContext as _, Kind, Result};

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Permission bits, `0o7777` of `st_mode`; [`LINK_MODE`] for a symbolic link.
    pub mode: u32,
    /// What it is.
    pub node: Node,
}

/// Linux shows every symbolic link with this mode.
pub const LINK_MODE: u32 = 0o777;

/// What an entry is. A tree has nothing else: no device, no socket, no fifo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A folder.
    Folder,
    /// A regular file (a hard link is one more of them).
    File {
        /// Bytes.
        size: u64,
        /// Of its bytes.
        digest: Sha256,
    },
    /// A symbolic link.
    Link {
        /// As `readlink` gives it.
        target: OsString,
    },
}

/// All entries of a tree by their path below it (`usr/bin/python3`), in the order of the
/// paths' bytes: a folder comes before what is in it. The tree's own folder is no entry.
///
/// Who makes a tree knows the digests already and collects `(path, entry)` pairs; who does
/// not takes [`Manifest::of_tree`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest(BTreeMap<OsString, Entry>);

impl Manifest {
    /// Reads all of the tree at `root`.
    pub fn of_tree(root: &Path) -> Result<Self> {
        let mut manifest = Manifest::default();
        for (path, stat) in walk(root)? {
            let entry = Entry::read(&root.join(&path), &stat)?;
            manifest.insert(path, entry);
        }
        Ok(manifest)
    }

    /// Adds an entry; of two with one path the later holds.
    pub fn insert(&mut self, path: impl Into<PathBuf>, entry: Entry) {
        self.0.insert(path.into().into_os_string(), entry);
    }

    /// The entry at `path`.
    pub fn get(&self, path: impl AsRef<Path>) -> Option<&Entry> {
        self.0.get(path.as_ref().as_os_str())
    }

    /// All entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.0.iter().map(|(path, entry)| (Path::new(path), entry))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the tree is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sum of the files' sizes in bytes.
    pub fn bytes(&self) -> u64 {
        self.0
            .values()
            .map(|entry| if let Node::File { size, .. } = entry.node { size } else { 0 })
            .sum()
    }

    /// The digest of all of it: equal for equal trees.
    pub fn digest(&self) -> Sha256 {
        let mut key = Key::new("manifest 1");
        for (path, entry) in &self.0 {
            key = key.field("path", path.as_bytes()).field("mode", entry.mode.to_le_bytes());
            key = match &entry.node {
                Node::Folder => key.field("folder", ""),
                Node::File { digest, .. } => key.field("file", digest.bytes()),
                Node::Link { target } => key.field("link", target.as_bytes()),
            };
        }
        key.finish()
    }
}

impl<P: Into<PathBuf>> FromIterator<(P, Entry)> for Manifest {
    fn from_iter<I: IntoIterator<Item = (P, Entry)>>(entries: I) -> Self {
        let mut manifest = Manifest::default();
        entries.into_iter().for_each(|(path, entry)| manifest.insert(path, entry));
        manifest
    }
}

impl Entry {
    /// A folder.
    pub fn folder(mode: u32) -> Self {
        Entry { mode, node: Node::Folder }
    }

    /// A regular file.
    pub fn file(mode: u32, size: u64, digest: Sha256) -> Self {
        Entry { mode, node: Node::File { size, digest } }
    }

    /// A symbolic link.
    pub fn link(target: impl Into<OsString>) -> Self {
        Entry { mode: LINK_MODE, node: Node::Link { target: target.into() } }
    }

    /// The entry at `path`, whose `lstat` is `stat`; reads the whole file.
    pub fn read(path: &Path, stat: &Metadata) -> Result<Self> {
        let kind = stat.file_type();
        if kind.is_symlink() {
            return Ok(Entry::link(std::fs::read_link(path).at("read", path)?));
        }
        let mode = stat.permissions().mode() & 0o7777;
        if kind.is_dir() {
            return Ok(Entry::folder(mode));
        }
        if !kind.is_file() {
            return Err(Error::new(
                Kind::Io,
                format!("`{}` is neither file, folder nor symbolic link", path.display()),
            ));
        }
        let mut file = std::fs::File::open(path).at("open", path)?;
        let (digest, size) = Sha256::of_reader(&mut file).at("read", path)?;
        Ok(Entry::file(mode, size, digest))
    }
}

/// Every path below `root` with its `lstat`, folders before what is in them, otherwise in
/// no order. Symbolic links are not followed.
pub(super) fn walk(root: &Path) -> Result<Vec<(PathBuf, Metadata)>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let place = root.join(&folder);
        for item in std::fs::read_dir(&place).at("read", &place)? {
            let item = item.at("read", &place)?;
            let path = folder.join(item.file_name());
            let stat = item.metadata().at("read", &item.path())?;
            if stat.is_dir() {
                folders.push(path.clone());
            }
            found.push((path, stat));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn reads_a_tree_and_its_digest_sees_content_mode_and_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir(at("bin")).unwrap();
        std::fs::write(at("bin/sh"), "dash").unwrap();
        std::os::unix::fs::symlink("sh", at("bin/bash")).unwrap();
        std::fs::set_permissions(at("bin"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(at("bin/sh"), std::fs::Permissions::from_mode(0o755)).unwrap();

        let read = Manifest::of_tree(folder.path()).unwrap();
        let known: Manifest = [
            ("bin/sh", Entry::file(0o755, 4, Sha256::of(b"dash"))),
            ("bin/bash", Entry::link("sh")),
            ("bin", Entry::folder(0o755)),
        ]
        .into_iter()
        .collect();
        assert_eq!(read, known);
        assert_eq!(read.bytes(), 4);

        let mut other = known.clone();
        other.insert("bin/bash", Entry::link("dash"));
        assert_ne!(other.digest(), known.digest());
        other.insert("bin/bash", Entry::link("sh"));
        assert_eq!(other.digest(), known.digest());
        other.insert("bin/sh", Entry::file(0o644, 4, Sha256::of(b"dash")));
        assert_ne!(other.digest(), known.digest());
    }
}
