//! A wheel packed anew: what is in it and nothing of when or by whom it was packed.
//!
//! Format: "Binary distribution format" (PEP 427) in a zip (APPNOTE 6.3.10): members sorted
//! with RECORD last, one time stamp, two modes, raw deflate at one level. No zip64, no data
//! descriptors, no extra fields.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use crate::digest::{Hasher, Sha256};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::root::wheel::Wheel;
use crate::root::zip::Member;
use crate::root::zip::pack::{Directory, Packed, TooBig};

/// Packs `wheel` anew into the file at `path`; `epoch` is the one time stamp.
pub fn repack(wheel: &Wheel, path: &Path, epoch: u64) -> Result<()> {
    let mut members: Vec<&Member> = wheel.entries().iter().collect();
    members.sort_by(|a, b| a.name.cmp(&b.name));
    let own = members
        .iter()
        .position(|member| is_record(member.name.as_str()))
        .ok_or_else(|| refused(wheel, "it has no RECORD"))?;
    let own = members.remove(own);
    let mut pack = Pack::create(path, epoch)?;
    let mut record = String::new();
    for member in members {
        if member.name.as_str().contains([',', '"', '\n']) {
            return Err(refused(
                wheel,
                &format!("`{}` is no name that RECORD can hold", member.name),
            ));
        }
        let (digest, size) = pack.add(member, |sink| wheel.copy(member, sink))?;
        record += &format!("{},sha256={},{size}\n", member.name, digest.base64());
    }
    record += &format!("{},,\n", own.name);
    pack.add(own, |sink| sink(record.as_bytes()))?;
    pack.finish()
}

fn is_record(name: &str) -> bool {
    name.split_once('/').is_some_and(|(top, rest)| top.ends_with(".dist-info") && rest == "RECORD")
}

fn refused(wheel: &Wheel, why: &str) -> Error {
    Error::new(Kind::Archive, format!("`{}`: {why}", wheel.name()))
}

/// A zip that is being written.
struct Pack<'p> {
    file: File,
    path: &'p Path,
    at: u64,
    directory: Directory,
}

impl<'p> Pack<'p> {
    fn create(path: &'p Path, epoch: u64) -> Result<Self> {
        let file = File::create(path).at("create", path)?;
        Ok(Pack { file, path, at: 0, directory: Directory::new(epoch) })
    }

    /// Adds a member with the name and mode of `member`; returns digest and size.
    fn add(
        &mut self,
        member: &Member,
        fill: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<(Sha256, u64)> {
        let name = member.name.as_str();
        let header = 30 + name.len() as u64;
        self.file.seek(SeekFrom::Start(self.at + header)).at("write", self.path)?;
        let (mut hasher, mut crc) = (Hasher::default(), flate2::Crc::new());
        let mut size = 0;
        let mut encoder = DeflateEncoder::new(&self.file, Compression::new(6));
        let path = self.path;
        let mut sink = |piece: &[u8]| {
            hasher.update(piece);
            crc.update(piece);
            size += piece.len() as u64;
            encoder.write_all(piece).at("write", path)
        };
        fill(&mut sink)?;
        encoder.try_finish().at("write", path)?;
        let packed = encoder.total_out();
        drop(encoder);
        let (mode, crc, at) = (mode(member), crc.sum(), self.at);
        let local = self.directory.add(&Packed { name, mode, crc, packed, size, at });
        self.file.seek(SeekFrom::Start(at)).at("write", path)?;
        self.file.write_all(&local.map_err(too_big)?).at("write", path)?;
        self.at += header + packed;
        Ok((hasher.finish(), size))
    }

    fn finish(mut self) -> Result<()> {
        let end = self.directory.end(self.at).map_err(too_big)?;
        self.file.seek(SeekFrom::Start(self.at)).at("write", self.path)?;
        self.file.write_all(&end).at("write", self.path)?;
        self.file.sync_all().at("write", self.path)
    }
}

/// A regular file, executable when it was or when it is a library.
fn mode(member: &Member) -> u32 {
    let name = member.name.name();
    let library = name.ends_with(".so") || name.contains(".so.");
    let executable = library || member.mode.is_some_and(|mode| mode & 0o111 != 0);
    if executable { 0o100_755 } else { 0o100_644 }
}

fn too_big(TooBig(what): TooBig) -> Error {
    let limits = "over the limits of a plain zip (4 GiB, 65,535 files)";
    Error::new(Kind::Archive, format!("the wheel cannot hold `{what}`: {limits}"))
}
