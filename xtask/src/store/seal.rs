//! A seal: a tree's manifest and how each entry looked to `lstat` when the tree was
//! finished. Looking again at 16,000 entries takes hundredths of a second; hashing them
//! takes seconds.
//!
//! Whatever changes an entry changes its `ctime`, which no program can set back: an edit in
//! place with the old modification time too, an added or removed file (the folder's). After
//! a crash of the machine files may be torn without a trace in their times; so a seal names
//! the boot that it was made under, and counts for nothing more than a list of digests under
//! another.
//!
//! The file, all numbers little-endian: the line `lockstep seal 1`, the boot id, the number
//! of records (u32), the records, and the SHA-256 of all before it. Text is a u16 length and
//! its bytes. A record: path, a byte for the kind, mode, uid, gid (u32), inode (u64), size
//! (u64), mtime and ctime (i64 seconds, i64 nanoseconds), then a file's digest or a link's
//! target.

use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;

use super::manifest::{Entry, Node};
use crate::digest::Sha256;

const MAGIC: &[u8] = b"lockstep seal 1\n";

/// A finished tree, as its seal file says. The first record is the tree's own folder, with
/// an empty path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    /// `/proc/sys/kernel/random/boot_id` of then; empty when it could not be read.
    pub boot: String,
    pub records: Vec<Record>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub path: OsString,
    pub entry: Entry,
    pub stat: Stat,
}

/// What `lstat` said, as far as content or protection depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub uid: u32,
    pub gid: u32,
    pub inode: u64,
    pub size: u64,
    /// Seconds and nanoseconds.
    pub mtime: (i64, i64),
    pub ctime: (i64, i64),
}

impl From<&Metadata> for Stat {
    fn from(stat: &Metadata) -> Self {
        Stat {
            uid: stat.uid(),
            gid: stat.gid(),
            inode: stat.ino(),
            size: stat.size(),
            mtime: (stat.mtime(), stat.mtime_nsec()),
            ctime: (stat.ctime(), stat.ctime_nsec()),
        }
    }
}

/// The id of this boot of the machine; empty when the machine does not say.
pub(super) fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}

impl Seal {
    /// Whether `lstat` alone may be believed.
    pub fn is_of_this_boot(&self) -> bool {
        !self.boot.is_empty() && self.boot == boot_id()
    }

    /// As written to disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 * self.records.len() + 128);
        out.extend_from_slice(MAGIC);
        text(&mut out, self.boot.as_bytes());
        out.extend_from_slice(&(self.records.len() as u32).to_le_bytes());
        self.records.iter().for_each(|record| record.encode(&mut out));
        let digest = Sha256::of(&out);
        out.extend_from_slice(digest.bytes());
        out
    }

    /// Reads what [`Seal::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, digest) = bytes.split_last_chunk::<32>()?;
        if Sha256::of(body).bytes() != digest {
            return None;
        }
        let mut input = Input(body);
        if input.bytes(MAGIC.len())? != MAGIC {
            return None;
        }
        let boot = String::from_utf8(input.text()?.into_vec()).ok()?;
        let count = u32::from_le_bytes(input.array()?);
        let records = (0..count).map(|_| Record::decode(&mut input)).collect::<Option<_>>()?;
        input.0.is_empty().then_some(Seal { boot, records })
    }
}

impl Record {
    fn encode(&self, out: &mut Vec<u8>) {
        text(out, self.path.as_bytes());
        out.push(match self.entry.node {
            Node::Folder => b'd',
            Node::File { .. } => b'f',
            Node::Link { .. } => b'l',
        });
        for word in [self.entry.mode, self.stat.uid, self.stat.gid] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let Stat { inode, size, mtime, ctime, .. } = self.stat;
        let times = [mtime.0, mtime.1, ctime.0, ctime.1];
        for word in [inode, size].into_iter().chain(times.map(i64::cast_unsigned)) {
            out.extend_from_slice(&word.to_le_bytes());
        }
        match &self.entry.node {
            Node::Folder => {}
            Node::File { digest, .. } => out.extend_from_slice(digest.bytes()),
            Node::Link { target } => text(out, target.as_bytes()),
        }
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let path = input.text()?;
        let [kind] = input.array()?;
        let mut half = || Some(u32::from_le_bytes(input.array()?));
        let (mode, uid, gid) = (half()?, half()?, half()?);
        let mut word = || Some(u64::from_le_bytes(input.array()?));
        let (inode, size) = (word()?, word()?);
        let mut time = || Some((word()?.cast_signed(), word()?.cast_signed()));
        let (mtime, ctime) = (time()?, time()?);
        let node = match kind {
            b'd' => Node::Folder,
            b'f' => Node::File { size, digest: Sha256::from_bytes(input.array()?) },
            b'l' => Node::Link { target: input.text()? },
            _ => return None,
        };
        let stat = Stat { uid, gid, inode, size, mtime, ctime };
        Some(Record { path, entry: Entry { mode, node }, stat })
    }
}

/// Linux has no path and no link target longer than 4095 bytes.
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    debug_assert!(bytes.len() <= usize::from(u16::MAX));
    out.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// What is still to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn text(&mut self) -> Option<OsString> {
        let length = u16::from_le_bytes(self.array()?);
        Some(OsString::from_vec(self.bytes(usize::from(length))?.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal() -> Seal {
        let stat =
            Stat { uid: 1, gid: 2, inode: 3, size: 4, mtime: (-5, 999_999_999), ctime: (7, 8) };
        let record = |path: &str, entry| Record { path: path.into(), entry, stat: stat.clone() };
        let records = vec![
            record("", Entry::folder(0o755)),
            record("a b/é", Entry::file(0o4755, 4, Sha256::of(b"four"))),
            record("l", Entry::link("../x")),
        ];
        Seal { boot: "b".to_owned(), records }
    }

    #[test]
    fn round_trips() {
        assert_eq!(Seal::decode(&seal().encode()), Some(seal()));
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_seen() {
        let whole = seal().encode();
        for byte in 0..whole.len() {
            let mut torn = whole.clone();
            torn[byte] ^= 1 << (byte % 8);
            assert_eq!(Seal::decode(&torn), None, "byte {byte}");
            assert_eq!(Seal::decode(&whole[..byte]), None, "cut at {byte}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_body_with_a_right_digest_is_read_or_refused(body: Vec<u8>) {
            let mut bytes = [MAGIC, &body[..]].concat();
            let digest = Sha256::of(&bytes);
            bytes.extend_from_slice(digest.bytes());
            Seal::decode(&bytes);
        }
    }
}
