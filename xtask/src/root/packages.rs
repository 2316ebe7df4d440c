//! Unpacking the Debian packages of a root, the largest first, on all cores.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use crate::error::{Error, IoContext as _, Kind, Result};
use crate::interrupt;
use crate::lock::Package;
use crate::progress::{Progress, Unit};
use crate::store::{Entry, Node, Store};

use super::deb::{Control, Deb};
use super::debian::admit;
use super::read_fault;
use super::tar::{Content, Member};
use super::tree::{Entries, Hand, Tree};
use super::work::spread;

/// Indices of `packages`, the largest first: the best start for several threads.
pub fn largest_first(packages: &[&Package]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..packages.len()).collect();
    order.sort_by_key(|at| Reverse(packages[*at].size));
    order
}

/// Unpacks `packages` into `tree`, begun in `order`; what each put there, in their own order.
pub fn unpack(
    packages: &[&Package],
    order: &[usize],
    store: &Store,
    tree: &Tree,
) -> Result<Vec<Entries>> {
    let total = packages.iter().map(|package| package.size).sum();
    let what = format!("unpacking {} packages", packages.len());
    let progress = Progress::new(what, Unit::Bytes, Some(total));
    let contents = spread(order, |at| one(packages[*at], store, tree, &progress))?;
    let by_package: BTreeMap<_, _> = order.iter().zip(contents).collect();
    Ok(by_package.into_values().collect())
}

/// A package for people: `libc6 2.36-9+deb12u14 (libc6_2.36-9+deb12u14_amd64.deb)`.
pub fn label(package: &Package) -> String {
    let file = package.path.rsplit('/').next().unwrap_or(&package.path);
    format!("{} {} ({file})", package.name, package.version)
}

fn one(package: &Package, store: &Store, tree: &Tree, progress: &Progress) -> Result<Entries> {
    let path = store.verified(&package.sha256, &label(package))?;
    let file = Watched { file: File::open(&path).at("open", &path)?, progress };
    unpack_one(file, package, &mut tree.hand()).map_err(|e| e.context(label(package)))
}

/// A package whose reading is progress.
struct Watched<'p> {
    file: File,
    progress: &'p Progress,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.progress.add(count as u64);
        Ok(count)
    }
}

impl Seek for Watched<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.file.seek(to)
    }
}

/// Unpacks one package, which must be what `locked` says.
pub fn unpack_one(
    archive: impl Read + Seek,
    locked: &Package,
    hand: &mut Hand<'_>,
) -> Result<Entries> {
    let mut deb = Deb::open(archive)?;
    check(&deb.control()?, locked)?;
    let mut tar = deb.data()?;
    let mut entries = Entries::new();
    let mut buffer = vec![0; 256 << 10];
    while let Some(member) = tar.next_member()? {
        let Some(member) = admit(member)? else { continue };
        let entry = match member.content {
            Content::Folder => hand.make_folder(&member.path, member.mode)?,
            Content::Link(ref target) => hand.link(&member.path, target)?,
            Content::HardLink(_) => hard_link(&member, &entries, hand)?,
            Content::File(_) => file(&member, &mut tar, &mut buffer, hand)?,
        };
        let double = |there: &Entry| *there != entry || entry.node != Node::Folder;
        if entries.get(&member.path).is_some_and(double) {
            let path = member.path;
            return Err(bad(format!("`{path}` is in the archive twice, below `usr` and not")));
        }
        entries.insert(member.path, entry);
    }
    tar.into_inner().finish()?;
    Ok(entries)
}

fn file(
    member: &Member,
    content: &mut impl Read,
    buffer: &mut [u8],
    hand: &mut Hand<'_>,
) -> Result<Entry> {
    let mut writing = hand.file(&member.path, member.mode)?;
    loop {
        match content.read(buffer) {
            Ok(0) => return writing.finish(),
            Ok(n) => {
                interrupt::check()?;
                writing.write(&buffer[..n])?;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(read_fault(e).context(format!("`{}`", member.path))),
        }
    }
}

fn hard_link(member: &Member, entries: &Entries, hand: &mut Hand<'_>) -> Result<Entry> {
    let Content::HardLink(target) = &member.content else {
        return Err(bad(format!("`{}` is no hard link", member.path)));
    };
    match entries.get(target) {
        Some(entry) if matches!(entry.node, Node::File { .. }) => {
            hand.hard_link(&member.path, target)?;
            Ok(entry.clone())
        }
        _ => Err(bad(format!(
            "`{}` is a hard link to `{target}`, which is no earlier file of the archive",
            member.path
        ))),
    }
}

/// A package under a name or version that is not its own is somebody else's.
fn check(found: &Control, locked: &Package) -> Result<()> {
    let pairs = [
        ("package", &locked.name, &found.package),
        ("version", &locked.version, &found.version),
        ("architecture", &locked.architecture, &found.architecture),
    ];
    for (what, expected, found) in pairs {
        if expected != found {
            return Err(bad(format!("{what} `{expected}` is locked, `{found}` is inside"))
                .hint("run `cargo xtask update`: the lock was edited by hand or damaged"));
        }
    }
    Ok(())
}

fn bad(message: String) -> Error {
    Error::new(Kind::Archive, message)
}
