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
    stamp: u32,
    directory: Vec<u8>,
    count: u16,
}

impl<'p> Pack<'p> {
    fn create(path: &'p Path, epoch: u64) -> Result<Self> {
        let file = File::create(path).at("create", path)?;
        let stamp = crate::date::dos(epoch);
        Ok(Pack { file, path, at: 0, stamp, directory: Vec::new(), count: 0 })
    }

    /// Adds a member with the name and mode of `member`; returns digest and size.
    fn add(
        &mut self,
        member: &Member,
        fill: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<(Sha256, u64)> {
        let name = member.name.as_str();
        let start = small(self.at, name)?;
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
        let common = self.common(name, crc.sum(), small(packed, name)?, small(size, name)?)?;
        let local = [b"PK\x03\x04", &common[..], name.as_bytes()].concat();
        self.file.seek(SeekFrom::Start(self.at)).at("write", path)?;
        self.file.write_all(&local).at("write", path)?;
        self.at += header + packed;
        self.directory.extend(b"PK\x01\x02\x14\x03"); // made by version 2.0 on Unix
        self.directory.extend(common);
        self.directory.extend([0; 6]); // comment length, disk, internal attributes
        self.directory.extend((mode(member) << 16).to_le_bytes());
        self.directory.extend(start.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.count = self.count.checked_add(1).ok_or_else(|| too_big("the number of files"))?;
        Ok((hasher.finish(), size))
    }

    /// The fields that local and central header share.
    fn common(&self, name: &str, crc: u32, packed: u32, size: u32) -> Result<Vec<u8>> {
        let length = u16::try_from(name.len()).map_err(|_| too_big(name))?;
        let mut common = vec![20, 0, 0, 8, 8, 0]; // version 2.0, names are UTF-8, deflate
        for field in [self.stamp, crc, packed, size] {
            common.extend(field.to_le_bytes());
        }
        common.extend(length.to_le_bytes());
        common.extend([0; 2]); // no extra field
        Ok(common)
    }

    fn finish(mut self) -> Result<()> {
        let start = small(self.at, "the directory")?;
        let length = small(self.directory.len() as u64, "the directory")?;
        let mut tail = std::mem::take(&mut self.directory);
        tail.extend(b"PK\x05\x06\0\0\0\0");
        tail.extend(self.count.to_le_bytes().repeat(2));
        tail.extend(length.to_le_bytes());
        tail.extend(start.to_le_bytes());
        tail.extend([0; 2]);
        self.file.seek(SeekFrom::Start(self.at)).at("write", self.path)?;
        self.file.write_all(&tail).at("write", self.path)?;
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

fn small(length: u64, what: &str) -> Result<u32> {
    u32::try_from(length).map_err(|_| too_big(what))
}

fn too_big(what: &str) -> Error {
    let limits = "over the limits of a plain zip (4 GiB, 65,535 files)";
    Error::new(Kind::Archive, format!("the wheel cannot hold `{what}`: {limits}"))
}
