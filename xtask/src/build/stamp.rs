//! What a file looked like when it was last hashed, so that it need not be hashed again.
//!
//! A file is taken for unchanged only when size, inode, modification *and* change time are
//! as recorded, and both times lie clearly before the record was made: an edit within the
//! clock's grain of the record is indistinguishable by times, so such a file is hashed
//! again (the rule that git calls "racy").

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};

/// Nanoseconds that a file's times must lie before the record's own to be trusted.
const RACY: i128 = 2_000_000_000;

/// The stat fields that any write to a file, or any tool that hides one, changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    size: u64,
    inode: u64,
    modified: i128,
    changed: i128,
}

impl Stat {
    /// The same without the time of the last change: another link to a file moves that, and
    /// no bit of the file.
    pub fn of_content(metadata: &Metadata) -> Self {
        Stat { changed: 0, ..Stat::of(metadata) }
    }

    /// The fields of `metadata`.
    pub fn of(metadata: &Metadata) -> Self {
        let nanoseconds = |s: i64, ns: i64| i128::from(s) * 1_000_000_000 + i128::from(ns);
        Stat {
            size: metadata.len(),
            inode: metadata.ino(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Digests by path, each with the stat it was taken at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamps {
    /// The file system's clock when the record was made, nanoseconds.
    made: i128,
    files: BTreeMap<String, (Stat, Sha256)>,
}

impl Stamps {
    /// Digest of the regular file at `path`: the recorded one when the file is surely
    /// unchanged, otherwise taken now. Whatever it is goes into `fresh` under `name`.
    pub fn digest(&self, name: &str, path: &Path, fresh: &mut Stamps) -> Result<Sha256> {
        let stat = stat_of(path)?;
        let digest = match self.files.get(name) {
            Some((known, digest)) if *known == stat && self.settled(&stat) => *digest,
            _ => digest_at_rest(path, &stat)?,
        };
        fresh.files.insert(name.to_owned(), (stat, digest));
        Ok(digest)
    }

    /// Names of all files in the record.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Whether both records name the same files with the same digests.
    pub fn same_digests(&self, other: &Stamps) -> bool {
        let digests = |stamps: &'_ Stamps| -> Vec<Sha256> {
            stamps.files.values().map(|(_, digest)| *digest).collect()
        };
        self.names().eq(other.names()) && digests(self) == digests(other)
    }

    /// Whether each of `digests` is in this record, unchanged.
    pub fn agree_with(&self, digests: &BTreeMap<String, Sha256>) -> bool {
        digests
            .iter()
            .all(|(name, digest)| self.files.get(name).is_some_and(|(_, known)| known == digest))
    }

    fn settled(&self, stat: &Stat) -> bool {
        stat.modified.max(stat.changed) < self.made - RACY
    }

    /// Dates the record by the clock of the file system that holds `probe`, a file that was
    /// written after all digests were taken.
    pub fn seal(&mut self, probe: &Metadata) {
        self.made = Stat::of(probe).changed;
    }
}

fn stat_of(path: &Path) -> Result<Stat> {
    let metadata = fs::symlink_metadata(path).at("read", path)?;
    if !metadata.is_file() {
        return Err(Error::new(
            Kind::Pins,
            format!(
                "`{}` is not a regular file: expected one, found a {}",
                path.display(),
                sort(&metadata)
            ),
        ));
    }
    Ok(Stat::of(&metadata))
}

fn sort(metadata: &Metadata) -> &'static str {
    if metadata.is_symlink() {
        "symbolic link"
    } else if metadata.is_dir() {
        "folder"
    } else {
        "special file"
    }
}

/// Hashes a file and makes sure that nobody wrote to it meanwhile.
fn digest_at_rest(path: &Path, before: &Stat) -> Result<Sha256> {
    let digest = Sha256::of_file(path)?;
    if stat_of(path)? == *before {
        return Ok(digest);
    }
    Err(Error::new(Kind::Io, format!("`{}` was changed while it was read", path.display()))
        .hint("run the command again when the file is at rest"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    /// A record of `path` that is dated `after` nanoseconds after the file's last change.
    fn record(path: &Path, after: i128) -> (Sha256, Stamps) {
        let mut stamps = Stamps::default();
        let digest = Stamps::default().digest("f", path, &mut stamps).unwrap();
        stamps.seal(&fs::metadata(path).unwrap());
        stamps.made += after;
        (digest, stamps)
    }

    #[test]
    fn a_settled_file_is_not_hashed_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "one").unwrap();
        let (_, mut stamps) = record(&path, 10 * RACY);
        let planted = Sha256::of(b"planted");
        stamps.files.get_mut("f").unwrap().1 = planted;
        assert_eq!(stamps.digest("f", &path, &mut Stamps::default()).unwrap(), planted);
    }

    #[test]
    fn an_edit_of_the_same_size_within_the_clocks_grain_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "one").unwrap();
        let (digest, mut stamps) = record(&path, 0);
        fs::write(&path, "two").unwrap();
        // The worst case: every stat field as recorded.
        stamps.files.get_mut("f").unwrap().0 = stat_of(&path).unwrap();
        assert_ne!(stamps.digest("f", &path, &mut Stamps::default()).unwrap(), digest);
    }

    #[test]
    fn an_edit_with_its_modification_time_put_back_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "one").unwrap();
        let before = fs::metadata(&path).unwrap();
        let (digest, stamps) = record(&path, 10 * RACY);
        fs::write(&path, "two").unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(before.modified().unwrap())
            .unwrap();
        assert_ne!(stamps.digest("f", &path, &mut Stamps::default()).unwrap(), digest);
    }

    #[test]
    fn a_link_is_no_source() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        let error = Stamps::default().digest("f", &path, &mut Stamps::default()).unwrap_err();
        assert!(error.message().ends_with("found a symbolic link"), "{error}");
    }
}
