//! A layer: members in order of their paths, as a tar stream and as a compressed blob.
//!
//! Neither is ever in memory, nor is a wheel unpacked on the way: the blob takes the
//! wheel's own deflate streams ([`super::gzip`]), and only for its digest ([`super::diff`])
//! the stream is made, once ([`super::press`]).

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::digest::{Hasher, Key, Sha256};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::pieces;
use crate::root::path::TreePath;
use crate::root::wheel::Wheel;
use crate::root::zip::Member as Packed;
use crate::store::{Entry, Node};

use super::diff::{self, Records};
use super::identity::SHARE;
use super::press::press;
use super::tar::{self, Sort};

/// Raise it when the same members become other bytes.
const FORM: &str = "image layer 1";

/// Where a member's bytes are.
#[derive(Debug)]
pub enum Content<'w> {
    /// A folder or a link has none.
    Nothing,
    /// Here.
    Bytes(Vec<u8>),
    /// In a file of a store's tree.
    File(PathBuf),
    /// In a wheel.
    Packed(&'w Wheel, &'w Packed),
}

/// One member of a layer.
#[derive(Debug)]
pub struct Member<'w> {
    /// Its mode, and what it is.
    pub entry: Entry,
    /// Its bytes.
    pub content: Content<'w>,
}

/// A layer.
#[derive(Debug)]
pub struct Layer<'w> {
    name: &'static str,
    epoch: u64,
    /// Files whose own compressed bytes are in the blob.
    sources: Vec<Sha256>,
    members: BTreeMap<TreePath, Member<'w>>,
}

impl<'w> Layer<'w> {
    /// A layer without members, named `name`; each time in it is `epoch`.
    pub fn new(name: &'static str, epoch: u64) -> Self {
        Layer { name, epoch, sources: Vec::new(), members: BTreeMap::new() }
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Says that members come from the file with this digest, compressed as they are there.
    pub fn made_of(&mut self, digest: Sha256) {
        self.sources.push(digest);
    }

    /// Adds a member and the folders above it. Two owners of one path must agree on what is
    /// there; `owner` names the second to people.
    pub fn add(&mut self, path: TreePath, member: Member<'w>, owner: &str) -> Result<()> {
        let mut above = path.parent();
        while let Some(folder) = above {
            above = folder.parent();
            self.put(folder, Member::folder(0o755), owner)?;
        }
        self.put(path, member, owner)
    }

    fn put(&mut self, path: TreePath, member: Member<'w>, owner: &str) -> Result<()> {
        let folder = |member: &Member<'_>| member.entry.node == Node::Folder;
        match self.members.get(&path) {
            None => drop(self.members.insert(path, member)),
            Some(there) if folder(there) && folder(&member) || there.entry == member.entry => {}
            Some(_) => return Err(owned_twice(&path, self.name, owner)),
        }
        Ok(())
    }

    /// Adds a file with these bytes.
    pub fn add_bytes(&mut self, path: &str, mode: u32, bytes: Vec<u8>) -> Result<()> {
        let entry = Entry::file(mode, bytes.len() as u64, Sha256::of(&bytes));
        self.add(TreePath::try_from(path)?, Member { entry, content: Content::Bytes(bytes) }, path)
    }

    /// Adds a symbolic link.
    pub fn add_link(&mut self, path: &str, target: &str) -> Result<()> {
        let member = Member { entry: Entry::link(target), content: Content::Nothing };
        self.add(TreePath::try_from(path)?, member, path)
    }

    /// All members in order.
    pub fn members(&self) -> impl Iterator<Item = (&TreePath, &Member<'w>)> {
        self.members.iter()
    }

    /// Files below the image's own share, whose bytes are here.
    pub fn own_files(&self) -> impl Iterator<Item = (&TreePath, &[u8])> {
        self.members.iter().filter_map(|(path, member)| match &member.content {
            Content::Bytes(bytes) if path.below(SHARE).is_some() => Some((path, &bytes[..])),
            _ => None,
        })
    }

    /// Sum of its files' sizes in bytes.
    pub fn bytes(&self) -> u64 {
        self.members.values().map(Member::size).sum()
    }

    /// Refuses a path that is something else in a layer below, and takes the modes of the
    /// folders that are there already: an upper layer changes nothing of a lower one.
    pub fn stand_on(&mut self, below: &Layer<'_>) -> Result<()> {
        for (path, member) in &mut self.members {
            let folder = member.entry.node == Node::Folder;
            match below.members.get(path) {
                None => {}
                Some(there) if folder && there.entry.node == Node::Folder => {
                    member.entry.mode = there.entry.mode;
                }
                Some(there) if there.entry == member.entry => {}
                Some(_) => return Err(owned_twice(path, below.name, self.name)),
            }
        }
        Ok(())
    }

    /// The digest of all that its tar stream and its blob are a function of.
    pub fn key(&self) -> Sha256 {
        let mut key = Key::new(FORM).field("epoch", self.epoch.to_le_bytes());
        for source in &self.sources {
            key = key.field("source", source.bytes());
        }
        for (path, Member { entry, .. }) in &self.members {
            key = key.field("path", path.as_str()).field("mode", entry.mode.to_le_bytes());
            key = match &entry.node {
                Node::Folder => key.field("folder", ""),
                Node::File { digest, .. } => key.field("file", digest.bytes()),
                Node::Link { target } => key.field("link", target.as_encoded_bytes()),
            };
        }
        key.finish()
    }

    /// Writes the compressed blob to `out`, which people know as the file `place`.
    pub fn compress<W: Write>(&self, out: W, place: &Path) -> Result<W> {
        press(self, Records::Trust, out, place).map(|(out, _)| out)
    }

    /// Gives the tar stream to `sink`. What a file's own digest is compared with is as for
    /// [`super::diff::id`].
    pub fn stream(
        &self,
        records: Records,
        mut sink: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        for (path, member) in &self.members {
            interrupt::check()?;
            sink(&self.header(path, member)?)?;
            let packed = matches!(member.content, Content::Packed(..));
            match member.entry.node {
                Node::File { digest, .. } if !packed || records == Records::Check => {
                    let mut hasher = Hasher::default();
                    member.content.copy(|piece| {
                        hasher.update(piece);
                        sink(piece)
                    })?;
                    diff::compare(path, &digest, &hasher.finish())?;
                }
                _ => member.content.copy(&mut sink)?,
            }
            sink(member.padding())?;
        }
        sink(&tar::END)
    }

    /// What stands before a member in the tar stream.
    pub fn header(&self, path: &TreePath, member: &Member<'_>) -> Result<Vec<u8>> {
        let mut header = Vec::with_capacity(tar::BLOCK);
        let sort = match &member.entry.node {
            Node::Folder => Sort::Folder,
            Node::File { size, .. } => Sort::File { size: *size },
            Node::Link { target } => match target.to_str() {
                Some(target) => Sort::Link { target },
                None => {
                    return Err(Error::new(
                        Kind::Archive,
                        format!("`{path}` leads to {target:?}, which is not UTF-8"),
                    ));
                }
            },
        };
        tar::header(&mut header, path.as_str(), member.entry.mode, sort, self.epoch)?;
        Ok(header)
    }
}

impl Member<'_> {
    /// A folder.
    pub fn folder(mode: u32) -> Self {
        Member { entry: Entry::folder(mode), content: Content::Nothing }
    }

    /// Bytes of its content.
    pub fn size(&self) -> u64 {
        match self.entry.node {
            Node::File { size, .. } => size,
            _ => 0,
        }
    }

    /// What follows its bytes in the tar stream.
    pub fn padding(&self) -> &'static [u8] {
        const ZEROS: &[u8] = &[0; tar::BLOCK];
        &ZEROS[..tar::padding(self.size())]
    }
}

impl Content<'_> {
    /// Gives all bytes to `sink`, piece by piece.
    pub fn copy(&self, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match self {
            Content::Nothing => Ok(()),
            Content::Bytes(bytes) => sink(bytes),
            Content::Packed(wheel, packed) => wheel.copy(packed, sink),
            Content::File(path) => pieces::each(path, sink),
        }
    }
}

fn owned_twice(path: &TreePath, one: &str, other: &str) -> Error {
    let message = format!("`{path}` has two owners in the image: {one} and {other}");
    Error::new(Kind::Archive, message)
        .hint("leave one of them out of workspace.toml, then run `cargo xtask update`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pieces::PIECE;
    use std::io::Read;

    /// A layer with one file of each sort of content.
    fn layer(folder: &std::path::Path) -> Layer<'static> {
        let path = folder.join("f");
        std::fs::write(&path, vec![7; 3 * PIECE]).unwrap();
        let mut layer = Layer::new("test", 1_772_669_760);
        layer.add_bytes("usr/bin/a", 0o755, b"abc".to_vec()).unwrap();
        layer.add_link("bin", "usr/bin").unwrap();
        let entry = Entry::file(0o644, 3 * PIECE as u64, Sha256::of(&vec![7; 3 * PIECE]));
        let member = Member { entry, content: Content::File(path) };
        layer.add(TreePath::try_from("usr/f").unwrap(), member, "x").unwrap();
        layer
    }

    #[test]
    fn the_diff_id_is_that_of_the_blobs_content() {
        let folder = tempfile::tempdir().unwrap();
        let layer = layer(folder.path());
        let blob = layer.compress(Vec::new(), "b".as_ref()).unwrap();
        let mut stream = Vec::new();
        flate2::read::MultiGzDecoder::new(&blob[..]).read_to_end(&mut stream).unwrap();
        assert_eq!(diff::id(&layer, Records::Check).unwrap(), Sha256::of(&stream));
        let mut again = Vec::new();
        let put = |piece: &[u8]| {
            again.extend_from_slice(piece);
            Ok(())
        };
        layer.stream(Records::Check, put).unwrap();
        assert!(again == stream);
        let mut archive = ::tar::Archive::new(&stream[..]);
        let names =
            archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string());
        assert_eq!(names.collect::<Vec<_>>(), ["bin", "usr/", "usr/bin/", "usr/bin/a", "usr/f"]);
    }

    #[test]
    fn one_path_has_one_owner() {
        let folder = tempfile::tempdir().unwrap();
        let below = layer(folder.path());
        let mut above = Layer::new("above", 0);
        above.add_bytes("usr/bin/b", 0o644, Vec::new()).unwrap();
        above.stand_on(&below).unwrap();
        insta::assert_snapshot!(above.add_bytes("usr/bin", 0o644, Vec::new()).unwrap_err(), @"
        error: `usr/bin` has two owners in the image: above and usr/bin
        hint: leave one of them out of workspace.toml, then run `cargo xtask update`
        ");
        above.add_bytes("bin", 0o644, Vec::new()).unwrap();
        insta::assert_snapshot!(above.stand_on(&below).unwrap_err(), @"
        error: `bin` has two owners in the image: test and above
        hint: leave one of them out of workspace.toml, then run `cargo xtask update`
        ");
    }

    #[test]
    fn the_key_knows_every_part_of_a_member() {
        let key = |path: &str, mode, bytes: &[u8], epoch| {
            let mut layer = Layer::new("t", epoch);
            layer.add_bytes(path, mode, bytes.to_vec()).unwrap();
            layer.key()
        };
        let one = key("a", 0o644, b"x", 0);
        for other in [
            key("b", 0o644, b"x", 0),
            key("a", 0o755, b"x", 0),
            key("a", 0o644, b"y", 0),
            key("a", 0o644, b"x", 1),
        ] {
            assert_ne!(one, other);
        }
    }
}
