//! A layer's stream, read back: what is in it, and whether Lockstep could have written it.
//!
//! The reader is as strict as a reader can be: each header that it understands is written
//! again, and must come out byte for byte. So nothing hides in a field that is not looked at.

use std::io::{self, BufReader, Read};

use crate::digest::{Hasher, Sha256};
use crate::error::{Error, Kind, Result};
use crate::image::tar::{self, BLOCK, Sort};
use crate::image::unpack::unpacked;
use crate::interrupt;
use crate::root::path::TreePath;
use crate::store::Entry;

/// Most bytes of an extended header.
const EXTENDED: u64 = 8192;

/// A layer as it was found.
#[derive(Debug)]
pub struct Found {
    /// Of the bytes as they are stored.
    pub digest: Sha256,
    /// Bytes as they are stored.
    pub size: u64,
    /// Of the tar stream.
    pub diff_id: Sha256,
    /// Why Lockstep did not write it.
    pub foreign: Option<String>,
}

/// Reads a layer, compressed or not, to its end. Nothing of it is kept: a few bytes may be
/// millions of members.
pub fn read(source: impl Read) -> io::Result<Found> {
    read_each(source, |_, _| {})
}

/// [`read`] that gives every entry to `each`, up to the first that Lockstep did not write.
pub fn read_each(source: impl Read, each: impl FnMut(TreePath, Entry)) -> io::Result<Found> {
    let mut stored = BufReader::with_capacity(256 << 10, Hashing::new(source));
    let (foreign, diff_id) = stream(&mut unpacked(&mut stored)?, each)?;
    io::copy(&mut stored, &mut io::sink())?;
    let Hashing { hasher, size, .. } = stored.into_inner();
    Ok(Found { digest: hasher.finish(), size, diff_id, foreign })
}

fn stream(
    source: &mut impl Read,
    each: impl FnMut(TreePath, Entry),
) -> io::Result<(Option<String>, Sha256)> {
    let mut source = Hashing::new(source);
    let foreign = match entries(&mut source, each) {
        Ok(()) => None,
        Err(Failure::Foreign(why)) => Some(why),
        Err(Failure::Read(cause)) => return Err(cause),
    };
    io::copy(&mut source, &mut io::sink())?;
    Ok((foreign, source.hasher.finish()))
}

enum Failure {
    Read(io::Error),
    Foreign(String),
}

impl From<io::Error> for Failure {
    fn from(cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::UnexpectedEof => Failure::Foreign("it is cut off".to_owned()),
            _ => Failure::Read(cause),
        }
    }
}

fn foreign<T>(why: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Foreign(why.into()))
}

fn entries(source: &mut impl Read, mut each: impl FnMut(TreePath, Entry)) -> Result<(), Failure> {
    let mut last: Option<TreePath> = None;
    while let Some((path, entry)) = member(source)? {
        interrupt::check().map_err(|e| io::Error::other(e.message().to_owned()))?;
        if let Some(last) = last.filter(|last| *last >= path) {
            return foreign(format!("`{path}` stands behind `{last}`"));
        }
        last = Some(path.clone());
        each(path, entry);
    }
    let mut rest = Vec::new();
    source.take(1).read_to_end(&mut rest)?;
    if !rest.is_empty() {
        return foreign("bytes follow its end");
    }
    Ok(())
}

/// The next member; none at the end.
fn member(source: &mut impl Read) -> Result<Option<(TreePath, Entry)>, Failure> {
    let mut raw = block(source)?;
    if raw == [0; BLOCK] {
        let second = block(source)?;
        return if second == raw { Ok(None) } else { foreign("a block of zeros within it") };
    }
    let (mut long_path, mut long_target) = (None, None);
    if raw[156] == b'x' {
        let size = number(&raw[124..136])?;
        if size > EXTENDED {
            return foreign("a giant extended header");
        }
        let padded = size as usize + tar::padding(size);
        let at = raw.len();
        raw.resize(at + padded, 0);
        source.read_exact(&mut raw[at..])?;
        (long_path, long_target) = records(&raw[at..at + size as usize])?;
        raw.extend(block(source)?);
    }
    let head = raw[raw.len() - BLOCK..].to_vec();
    let path = match long_path {
        Some(path) => path,
        None if head[345] == 0 => text(&head[..100])?,
        None => format!("{}/{}", text(&head[345..500])?, text(&head[..100])?),
    };
    let target = long_target.map_or_else(|| text(&head[157..257]), Ok)?;
    let size = number(&head[124..136])?;
    let sort = match head[156] {
        b'5' => Sort::Folder,
        b'0' => Sort::File { size },
        b'2' => Sort::Link { target: &target },
        other => return foreign(format!("a member of type `{}`", other.escape_ascii())),
    };
    let path = path.strip_suffix('/').unwrap_or(&path);
    let mode = u32::try_from(number(&head[100..108])?).unwrap_or(u32::MAX);
    let mut again = Vec::new();
    let written = tar::header(&mut again, path, mode, sort, number(&head[136..148])?);
    if written.is_err() || again != raw {
        return foreign(format!(
            "the header of `{}` is not as Lockstep writes it",
            path.escape_debug()
        ));
    }
    let path =
        TreePath::parse(path.as_bytes()).map_err(|e| Failure::Foreign(e.message().to_owned()))?;
    let entry = match sort {
        Sort::Folder => Entry::folder(mode),
        Sort::Link { target } => Entry::link(target),
        Sort::File { size } => Entry::file(mode, size, content(source, size)?),
    };
    Ok(Some((path, entry)))
}

fn block(source: &mut impl Read) -> Result<Vec<u8>, Failure> {
    let mut block = vec![0; BLOCK];
    source.read_exact(&mut block)?;
    Ok(block)
}

fn content(source: &mut impl Read, size: u64) -> Result<Sha256, Failure> {
    let (digest, read) = Sha256::of_reader(&mut source.take(size))?;
    let mut padding = vec![0; tar::padding(size)];
    source.read_exact(&mut padding)?;
    match read == size && padding.iter().all(|byte| *byte == 0) {
        true => Ok(digest),
        false => foreign("it is cut off, or its padding holds something"),
    }
}

/// Up to the first NUL.
fn text(field: &[u8]) -> Result<String, Failure> {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    match std::str::from_utf8(&field[..end]) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => foreign("a name that is not UTF-8"),
    }
}

fn number(field: &[u8]) -> Result<u64, Failure> {
    let digits = text(field)?;
    let number = u64::from_str_radix(&digits, 8);
    number.map_or_else(|_| foreign(format!("`{}` is no number", digits.escape_debug())), Ok)
}

/// Path and link target of an extended header.
fn records(mut bytes: &[u8]) -> Result<(Option<String>, Option<String>), Failure> {
    let (mut path, mut target) = (None, None);
    while !bytes.is_empty() {
        let length = bytes.iter().position(|byte| *byte == b' ');
        let length = length.and_then(|at| std::str::from_utf8(&bytes[..at]).ok()?.parse().ok());
        let record = length.and_then(|length: usize| bytes.split_at_checked(length));
        let Some((record, rest)) = record.filter(|(record, _)| !record.is_empty()) else {
            return foreign("a damaged extended header");
        };
        bytes = rest;
        let record = text(record)?;
        let value =
            record.split_once(' ').and_then(|(_, pair)| pair.strip_suffix('\n')?.split_once('='));
        match value {
            Some(("path", value)) => path = Some(value.to_owned()),
            Some(("linkpath", value)) => target = Some(value.to_owned()),
            _ => return foreign("an extended header with more than names"),
        }
    }
    Ok((path, target))
}

/// What is read is hashed.
struct Hashing<R> {
    inner: R,
    hasher: Hasher,
    size: u64,
}

impl<R> Hashing<R> {
    fn new(inner: R) -> Self {
        Hashing { inner, hasher: Hasher::default(), size: 0 }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }
}

/// A read that failed, as an error that names `what`; or the signal that ended it.
pub fn unreadable(what: &str, cause: &io::Error) -> Error {
    let kind = match cause.kind() {
        io::ErrorKind::ConnectionAborted => Kind::Fetch, // by a registry, in the midst of a blob
        _ => Kind::Archive,
    };
    let error = || Error::new(kind, format!("cannot read {what}: {cause}"));
    interrupt::check().err().unwrap_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::diff::{self, Records};
    use crate::image::layer::{Layer, Member};
    use crate::root::tree::Entries;
    use ruzstd::encoding::CompressionLevel;

    fn layer() -> Layer<'static> {
        let mut layer = Layer::new("t", 1_772_669_760);
        layer.add_bytes("usr/bin/a", 0o755, b"abc".to_vec()).unwrap();
        layer.add_bytes(&format!("usr/{}/ő", "d".repeat(180)), 0o644, vec![1; 600]).unwrap();
        layer.add_link("bin", "usr/bin").unwrap();
        layer.add_link("far", &"t".repeat(150)).unwrap();
        layer.add(TreePath::try_from("tmp").unwrap(), Member::folder(0o1777), "t").unwrap();
        layer
    }

    fn tar() -> Vec<u8> {
        let blob = layer().compress(Vec::new(), "b".as_ref()).unwrap();
        let mut tar = Vec::new();
        unpacked(&blob[..]).unwrap().read_to_end(&mut tar).unwrap();
        tar
    }

    /// What is in a layer, and how it was found.
    fn all(bytes: &[u8]) -> (Entries, Found) {
        let mut entries = Entries::new();
        let found = read_each(bytes, |path, entry| drop(entries.insert(path, entry))).unwrap();
        (entries, found)
    }

    #[test]
    fn what_was_written_is_read_back() {
        let layer = layer();
        let blob = layer.compress(Vec::new(), "b".as_ref()).unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(&*tar(), CompressionLevel::Fastest);
        for bytes in [&blob, &zstd, &tar()] {
            let (entries, found) = all(bytes);
            assert_eq!(found.digest, Sha256::of(bytes));
            assert_eq!(found.diff_id, diff::id(&layer, Records::Check).unwrap());
            let expected: Entries = layer
                .members()
                .map(|(path, member)| (path.clone(), member.entry.clone()))
                .collect();
            assert_eq!((entries, found.foreign), (expected, None));
        }
    }

    #[test]
    fn every_changed_byte_of_a_header_is_seen() {
        let whole = tar();
        let (expected, _) = all(&whole);
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            let (entries, found) = all(&changed);
            assert_ne!(found.diff_id, Sha256::of(&whole));
            assert!(found.foreign.is_some() || entries != expected, "byte {at}");
        }
    }

    /// What a registry gives whose connection ends.
    struct Cut<'b>(&'b [u8]);

    impl Read for Cut<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::ErrorKind::ConnectionAborted.into()),
                count => Ok(count),
            }
        }
    }

    #[test]
    fn a_connection_that_ends_is_no_damaged_archive() {
        let gzip = layer().compress(Vec::new(), "b".as_ref()).unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(&*tar(), CompressionLevel::Fastest);
        for bytes in [&gzip, &zstd, &tar()] {
            let error = read(Cut(&bytes[..bytes.len() / 2])).unwrap_err();
            assert_eq!(unreadable("it", &error).kind(), Kind::Fetch, "{error}");
        }
        let error = read(&gzip[..gzip.len() / 2]).map(|found| found.foreign);
        assert!(error.is_err_and(|error| unreadable("it", &error).kind() == Kind::Archive));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes: Vec<u8>, at in 0usize..4000, with: u8) {
            let _whatever = read(&bytes[..]);
            let mut tar = tar();
            let at = at % tar.len();
            tar[at] = with;
            tar.truncate(at.max(600));
            let _whatever = read(&tar[..]);
        }
    }
}
