//! A strict reader of zip archives (APPNOTE 6.3.10), with random access.
//!
//! The format says everything twice or more, and its readers differ in what they believe.
//! So an archive is taken only when there is nothing to choose: its members lie one behind
//! the other from the first byte to the directory, each has one name, and both of its
//! headers say the same. It is never in memory as a whole.

mod end;
mod fields;
#[cfg(test)]
pub(crate) mod forge;
mod header;
mod inflate;
mod layout;
pub mod pack;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::error::{Error, IoContext as _, Kind, Result};

use super::budget::Budget;
use super::path::{TreePath, shown};

use end::End;
use fields::Fields;
use header::{Central, Common};
pub use inflate::Both;

/// Most bytes of a central directory; it is read as a whole. TensorFlow's has 2 MB.
const DIRECTORY: u64 = 32 << 20;
/// Most bytes of a member that is wanted as a whole.
const WHOLE: u64 = 64 << 20;

/// How a member's bytes are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// As they are.
    Stored,
    /// As one raw deflate stream (RFC 1951).
    Deflated,
}

/// A file in an archive; folders are nothing of their own.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its path.
    pub name: TreePath,
    /// Unix permission bits; `None` when the archive was not made on Unix.
    pub mode: Option<u32>,
    /// How its bytes are stored.
    pub method: Method,
    /// CRC-32 of its content (ISO 3309), true once the content was read.
    pub crc: u32,
    /// Bytes in the archive.
    pub packed: u64,
    /// Bytes of its content.
    pub size: u64,
    /// Where its bytes begin in the archive.
    data: u64,
}

/// An archive whose directory has been checked. The contents are when they are read.
#[derive(Debug)]
pub struct Archive {
    file: File,
    /// For people: the archive's own name, not where the store keeps it.
    name: String,
    members: Vec<Member>,
}

impl Archive {
    /// Opens the archive at `path`, which people know as `name`, and checks all its headers.
    pub fn open(path: &Path, name: &str) -> Result<Self> {
        let file = File::open(path).at("open", path)?;
        let length = file.metadata().at("read", path)?.len();
        let mut archive = Archive { file, name: name.to_owned(), members: Vec::new() };
        archive.members = archive.read_members(length)?;
        Ok(archive)
    }

    /// The archive's name for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All files, in the order of the directory.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The bytes of `member` as they are in the archive.
    pub fn raw(&self, member: &Member) -> Raw<'_> {
        Raw { file: &self.file, at: member.data, end: member.data + member.packed }
    }

    /// Gives the content of `member` to `sink`, piece by piece. Only after `Ok` were all
    /// pieces right: as many bytes as declared, with the declared CRC.
    pub fn copy(&self, member: &Member, sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        inflate::copy(self.raw(member), member, sink)
            .map_err(|error| error.context(self.place(member.name.as_str().as_bytes())))
    }

    /// Adds `member`, packed and not, to `both`; `full` takes out what is there whenever the
    /// content's room is used up. Only after `Ok` were all bytes right.
    pub fn pour(
        &self,
        member: &Member,
        both: &mut Both,
        full: impl FnMut(&mut Both) -> Result<()>,
    ) -> Result<()> {
        inflate::pour(self.raw(member), member, both, full)
            .map_err(|error| error.context(self.place(member.name.as_str().as_bytes())))
    }

    /// The whole content of a member of at most 64 MiB.
    pub fn read(&self, member: &Member) -> Result<Vec<u8>> {
        if member.size > WHOLE {
            let why = format!("its {} bytes are too many for what it is", member.size);
            return Err(self.refuse(member.name.as_str().as_bytes(), why));
        }
        let mut content = Vec::new();
        self.copy(member, |piece| {
            content.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(content)
    }

    fn read_members(&self, length: u64) -> Result<Vec<Member>> {
        let whole = |why: String| Error::new(Kind::Archive, format!("`{}`: {why}", self.name));
        let end = End::find(&self.file, length).map_err(whole)?;
        let directory = self.read_directory(&end).map_err(whole)?;
        let mut fields = Fields(&directory);
        let mut budget = Budget::of(length);
        let mut names = Names::default();
        let (mut members, mut spans) = (Vec::new(), Vec::new());
        for number in 1..=end.entries {
            let central = Central::read(&mut fields)
                .map_err(|why| whole(format!("member {number}: {why}")))?;
            let refuse = |why| self.refuse(central.name, why);
            budget
                .spend(central.name.len(), central.common.size)
                .map_err(|error| whole(error.message().to_owned()))?;
            let span = layout::span(&self.file, &central, end.offset).map_err(refuse)?;
            let (member, folder) = member(&central, span.data).map_err(refuse)?;
            names.add(&member.name, folder).map_err(refuse)?;
            members.extend((!folder).then_some(member));
            spans.push(span);
        }
        if !fields.0.is_empty() {
            return Err(whole("its directory has more than its members".to_owned()));
        }
        layout::tile(&self.file, spans, end.offset).map_err(whole)?;
        names.check().map_err(whole)?;
        Ok(members)
    }

    fn read_directory(&self, end: &End) -> Result<Vec<u8>, String> {
        if end.size > DIRECTORY {
            return Err(format!("its directory has more than {DIRECTORY} bytes"));
        }
        let mut directory = vec![0; usize::try_from(end.size).unwrap_or(0)];
        let read = self.file.read_exact_at(&mut directory, end.offset);
        read.map(|()| directory).map_err(|cause| format!("cannot read it: {cause}"))
    }

    fn refuse(&self, member: &[u8], why: String) -> Error {
        Error::new(Kind::Archive, format!("{}: {why}", self.place(member)))
    }

    fn place(&self, member: &[u8]) -> String {
        format!("`{}`: {}", self.name, shown(member))
    }
}

/// The member that a header describes, and whether it is a folder.
fn member(central: &Central<'_>, data: u64) -> Result<(Member, bool), String> {
    let Common { method, crc, packed, size, .. } = central.common;
    let (name, folder) = match central.name.strip_suffix(b"/") {
        Some(name) => (name, true),
        None => (central.name, false),
    };
    let name = TreePath::parse(name).map_err(|error| error.message().to_owned())?;
    let mode = mode(central, folder)?;
    if folder && (size, crc) != (0, 0) {
        return Err("it is a folder with content".to_owned());
    }
    let method = match method {
        0 if packed == size => Method::Stored,
        0 => return Err(format!("it is stored, but {size} bytes as {packed}")),
        8 => Method::Deflated,
        other => return Err(format!("compression method {other} is neither stored nor deflate")),
    };
    Ok((Member { name, mode, method, crc, packed, size, data }, folder))
}

/// The permission bits, when the archive's maker gave some.
fn mode(central: &Central<'_>, folder: bool) -> Result<Option<u32>, String> {
    const TYPE: u32 = 0o170_000;
    if !central.unix {
        return Ok(None);
    }
    let expected = if folder { 0o040_000 } else { 0o100_000 };
    match central.mode & TYPE {
        0 => {}
        kind if kind == expected => {}
        0o120_000 => return Err("it is a symbolic link".to_owned()),
        kind => return Err(format!("its file type {kind:#o} is neither file nor folder")),
    }
    match central.mode & 0o7000 {
        0 => Ok(Some(central.mode & 0o777)),
        special => Err(format!("it is setuid, setgid or sticky (mode {special:o})")),
    }
}

/// The names of all members: none twice, and nothing below a file.
#[derive(Default)]
struct Names {
    files: BTreeSet<TreePath>,
    /// Those that have an entry of their own.
    stated: BTreeSet<TreePath>,
    /// Those, and all that something is in.
    folders: BTreeSet<TreePath>,
}

impl Names {
    fn add(&mut self, name: &TreePath, folder: bool) -> Result<(), String> {
        let names = if folder { &mut self.stated } else { &mut self.files };
        if !names.insert(name.clone()) {
            return Err("it stands twice in the archive".to_owned());
        }
        let mut next = if folder { Some(name.clone()) } else { name.parent() };
        while let Some(folder) = next.filter(|folder| !self.folders.contains(folder)) {
            next = folder.parent();
            self.folders.insert(folder);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        match self.files.intersection(&self.folders).next() {
            None => Ok(()),
            Some(name) => Err(format!("`{name}` is a file and a folder")),
        }
    }
}

/// Bytes of one member as they are in the archive. Reads at a position of its own: several
/// threads may read one archive.
pub struct Raw<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        loop {
            match self.file.read_at(&mut buffer[..wanted], self.at) {
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                read => return read.inspect(|count| self.at += *count as u64),
            }
        }
    }
}
