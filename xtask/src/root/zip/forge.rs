//! Archives for tests, written as told: each field of each header can be made to lie.

use std::io::Write as _;
use std::path::Path;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// One header, central or local.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub packed: u32,
    pub size: u32,
    pub name: Vec<u8>,
    pub extra: Vec<u8>,
}

/// One member.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub local: Header,
    pub central: Header,
    /// What stands between the local header and the next member.
    pub raw: Vec<u8>,
    /// Unix mode with file type; the host system, 3 for Unix.
    pub mode: u32,
    pub system: u8,
    /// Another offset than the true one.
    pub offset: Option<u32>,
}

/// An archive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forged {
    pub parts: Vec<Part>,
    /// What stands before the first member, before the directory, and before the end record.
    pub prefix: Vec<u8>,
    pub gap: Vec<u8>,
    pub before_end: Vec<u8>,
    /// Another number of entries, size and offset of the directory than the true ones.
    pub entries: Option<u16>,
    pub size: Option<u32>,
    pub offset: Option<u32>,
    pub comment: Vec<u8>,
}

pub(crate) fn deflated(content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

impl Part {
    /// An honest, deflated member; a folder when the name ends with `/`.
    pub fn new(name: &str, content: &[u8]) -> Self {
        let folder = name.ends_with('/');
        let raw = if folder { Vec::new() } else { deflated(content) };
        let mut part = Part::stored(name, content);
        if !folder {
            part.pack(8, raw);
        }
        part
    }

    /// An honest, stored member.
    pub fn stored(name: &str, content: &[u8]) -> Self {
        let mut crc = Crc::new();
        crc.update(content);
        let header = Header {
            flags: if name.is_ascii() { 0 } else { 1 << 11 },
            method: 0,
            crc: crc.sum(),
            packed: content.len() as u32,
            size: content.len() as u32,
            name: name.as_bytes().to_vec(),
            extra: Vec::new(),
        };
        let mode = if name.ends_with('/') { 0o040_755 } else { 0o100_644 };
        let (local, central) = (header.clone(), header);
        Part { local, central, raw: content.to_vec(), mode, system: 3, offset: None }
    }

    /// Replaces how the content is stored.
    pub fn pack(&mut self, method: u16, raw: Vec<u8>) {
        self.both(|header| {
            header.method = method;
            header.packed = raw.len() as u32;
        });
        self.raw = raw;
    }

    /// Changes both headers alike.
    pub fn both(&mut self, change: impl Fn(&mut Header)) {
        change(&mut self.local);
        change(&mut self.central);
    }
}

impl Header {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![20, 0];
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.method.to_le_bytes());
        bytes.extend([0, 0, 0x21, 0]);
        for number in [self.crc, self.packed, self.size] {
            bytes.extend(number.to_le_bytes());
        }
        for field in [&self.name, &self.extra] {
            bytes.extend((field.len() as u16).to_le_bytes());
        }
        bytes
    }
}

impl Forged {
    /// An honest archive.
    pub fn of(parts: impl IntoIterator<Item = Part>) -> Self {
        Forged { parts: parts.into_iter().collect(), ..Forged::default() }
    }

    /// The archive's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.prefix.clone();
        let mut directory = Vec::new();
        for part in &self.parts {
            let offset = part.offset.unwrap_or(bytes.len() as u32);
            bytes.extend(b"PK\x03\x04");
            bytes.extend(part.local.bytes());
            bytes.extend([&part.local.name[..], &part.local.extra, &part.raw].concat());
            directory.extend(b"PK\x01\x02\x14");
            directory.push(part.system);
            directory.extend(part.central.bytes());
            directory.extend([0; 6]);
            directory.extend((part.mode << 16).to_le_bytes());
            directory.extend(offset.to_le_bytes());
            directory.extend([&part.central.name[..], &part.central.extra].concat());
        }
        bytes.extend(&self.gap);
        let (offset, size) = (bytes.len() as u32, directory.len() as u32);
        bytes.extend([directory, self.before_end.clone()].concat());
        bytes.extend(b"PK\x05\x06\0\0\0\0");
        let entries = self.entries.unwrap_or(self.parts.len() as u16).to_le_bytes();
        bytes.extend([entries, entries].concat());
        bytes.extend(self.size.unwrap_or(size).to_le_bytes());
        bytes.extend(self.offset.unwrap_or(offset).to_le_bytes());
        bytes.extend((self.comment.len() as u16).to_le_bytes());
        bytes.extend(&self.comment);
        bytes
    }

    /// Writes the archive to `path`.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.bytes()).unwrap();
    }
}
