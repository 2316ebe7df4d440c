//! Is a sealed tree still what it was? One `lstat` an entry; only what looks touched is
//! read again.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::stat::UtimensatFlags;
use nix::sys::time::TimeSpec;

use super::manifest::{Entry, LINK_MODE, Manifest, Node, walk};
use super::seal::{Record, Seal, Stat, boot_id};
use crate::error::{Error, IoContext as _, Kind, Result};

/// What a look at a sealed tree found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Untouched.
    Whole,
    /// Touched, but of the same content; this is its seal now.
    Healed(Seal),
    /// Not the tree that was sealed; the reason, for people.
    Broken(String),
    /// It has no seal: whoever made it was killed.
    Unfinished,
}

/// Looks at all of the tree at `place`.
pub(super) fn look(place: &Path, seal: Seal) -> Finding {
    let believe = seal.is_of_this_boot();
    find(place, seal, believe)
}

/// Reads all of the tree at `place`, whatever `lstat` says.
pub(super) fn read_again(place: &Path, seal: Seal) -> Finding {
    find(place, seal, false)
}

fn find(place: &Path, mut seal: Seal, believe: bool) -> Finding {
    let touched = pick(&seal.records, |record| is_touched(place, record, believe));
    let touched = match touched {
        Err(why) => return Finding::Broken(why),
        Ok(none) if none.is_empty() && believe => return Finding::Whole,
        Ok(some) => some,
    };
    let read_again: Vec<&Record> = touched.iter().map(|&index| &seal.records[index]).collect();
    let known: BTreeSet<&OsStr> =
        seal.records.iter().map(|record| record.path.as_os_str()).collect();
    let read = pick(&read_again, |record| content(place, record, &known).map(|()| false));
    if let Err(why) = read {
        return Finding::Broken(why);
    }
    for index in touched {
        let record = &mut seal.records[index];
        restore_mtime(&place.join(&record.path), record.stat.mtime);
        match lstat(place, record) {
            Ok(stat) => record.stat = Stat::from(&stat),
            Err(why) => return Finding::Broken(why),
        }
    }
    seal.boot = boot_id();
    Finding::Healed(seal)
}

/// Runs `test` on all items, on two threads, and returns the indices of those that it
/// picks, or its first error in the order of the items.
fn pick<T: Sync>(
    items: &[T],
    test: impl Fn(&T) -> Result<bool, String> + Sync,
) -> Result<Vec<usize>, String> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut picked = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return Ok(picked) };
            match test(item) {
                Ok(true) => picked.push(index),
                Ok(false) => {}
                Err(why) => return Err((index, why)),
            }
        }
    };
    let (one, two) = std::thread::scope(|scope| {
        let other = scope.spawn(run);
        let here = run();
        (here, other.join().unwrap_or_else(|_| Err((0, "the check itself failed".to_owned()))))
    });
    match (one, two) {
        (Ok(mut one), Ok(two)) => {
            one.extend(two);
            one.sort_unstable();
            Ok(one)
        }
        (Err(one), Err(two)) => Err(one.min(two).1),
        (Err((_, why)), Ok(_)) | (Ok(_), Err((_, why))) => Err(why),
    }
}

/// Whether the entry must be read again, or why the tree is broken for certain.
fn is_touched(place: &Path, record: &Record, believe: bool) -> Result<bool, String> {
    let stat = lstat(place, record)?;
    if believe && Stat::from(&stat) == record.stat {
        return Ok(false);
    }
    protection(record, &stat).map(|()| true)
}

fn lstat(place: &Path, record: &Record) -> Result<Metadata, String> {
    let path = place.join(&record.path);
    path.symlink_metadata().map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => format!("{} is missing", named(record)),
        _ => format!("{} cannot be looked at: {cause}", named(record)),
    })
}

fn named(record: &Record) -> String {
    match record.path.is_empty() {
        true => "its own folder".to_owned(),
        false => format!("`{}`", Path::new(&record.path).display()),
    }
}

/// Kind, mode and owner must be as sealed; reading the bytes cannot excuse them.
fn protection(record: &Record, stat: &Metadata) -> Result<(), String> {
    let differs = |what: &str, expected: String, found: String| {
        Err(format!("{}: expected {what} {expected}, found {found}", named(record)))
    };
    let kind = match record.entry.node {
        Node::Folder => stat.is_dir(),
        Node::File { .. } => stat.is_file(),
        Node::Link { .. } => stat.is_symlink(),
    };
    if !kind {
        return Err(format!("{} was replaced by something else", named(record)));
    }
    let mode = stat.permissions().mode() & 0o7777;
    if mode != record.entry.mode && !stat.is_symlink() {
        return differs("mode", format!("{:o}", record.entry.mode), format!("{mode:o}"));
    }
    let now = Stat::from(stat);
    if (now.uid, now.gid) != (record.stat.uid, record.stat.gid) {
        let owner = |stat: &Stat| format!("{}:{}", stat.uid, stat.gid);
        return differs("owner", owner(&record.stat), owner(&now));
    }
    if stat.is_file() && now.size != record.stat.size {
        return differs("size", record.stat.size.to_string(), now.size.to_string());
    }
    Ok(())
}

/// The bytes, the link's target, or the names in the folder must be as sealed.
fn content(place: &Path, record: &Record, known: &BTreeSet<&OsStr>) -> Result<(), String> {
    let path = place.join(&record.path);
    let unread =
        |cause: &dyn std::fmt::Display| format!("{} is unreadable: {cause}", named(record));
    match &record.entry.node {
        Node::Folder => {
            for item in path.read_dir().map_err(|cause| unread(&cause))? {
                let name = item.map_err(|cause| unread(&cause))?.file_name();
                let below = Path::new(&record.path).join(name);
                if !known.contains(below.as_os_str()) {
                    return Err(format!("`{}` was added", below.display()));
                }
            }
        }
        Node::Link { target } => {
            let found = path.read_link().map_err(|cause| unread(&cause))?;
            if found.as_os_str() != target {
                let expected = Path::new(target).display();
                return Err(format!(
                    "{}: expected a link to `{expected}`, found one to `{}`",
                    named(record),
                    found.display()
                ));
            }
        }
        Node::File { digest, .. } => {
            capabilities(&path, record)?;
            let found =
                super::object::digest_of(&path).map_err(|error| unread(&error.message()))?;
            if found != *digest {
                return Err(format!("{}: expected sha256 {digest}, found {found}", named(record)));
            }
        }
    }
    Ok(())
}

/// File capabilities are rights that no mode shows (capabilities(7)).
fn capabilities(path: &Path, record: &Record) -> Result<(), String> {
    match rustix::fs::lgetxattr(path, "security.capability", &mut [0; 64]) {
        Ok(_) => Err(format!("{} was given capabilities", named(record))),
        Err(_) => Ok(()), // it has none, or the file system knows none
    }
}

/// A tree's times are part of what was made. Where they cannot be put back (a read-only
/// store), the bytes are right all the same.
fn restore_mtime(path: &Path, (seconds, nanoseconds): (i64, i64)) {
    let mtime = TimeSpec::new(seconds, nanoseconds);
    let _read_only = nix::sys::stat::utimensat(
        nix::fcntl::AT_FDCWD,
        path,
        &TimeSpec::UTIME_OMIT,
        &mtime,
        UtimensatFlags::NoFollowSymlink,
    );
}

/// Seals the finished tree at `place`, whose maker says that it is `manifest`; an error when
/// it is not.
pub(super) fn seal(place: &Path, manifest: Manifest) -> Result<Seal> {
    let wrong = |path: &Path, why: &str| {
        Err(Error::new(
            Kind::Io,
            format!("`{}` is not as its maker says: `{}` {why}", place.display(), path.display()),
        ))
    };
    let own = place.symlink_metadata().at("read", place)?;
    let mut records = vec![Record {
        path: OsString::new(),
        entry: Entry::folder(own.permissions().mode() & 0o7777),
        stat: Stat::from(&own),
    }];
    for (path, stat) in walk(place)? {
        let Some(entry) = manifest.get(&path) else {
            return wrong(&path, "is not in its manifest");
        };
        if !fits(entry, &stat) {
            return wrong(&path, "has another type, mode or size");
        }
        let stat = Stat::from(&stat);
        records.push(Record { path: path.into_os_string(), entry: entry.clone(), stat });
    }
    if records.len() != manifest.len() + 1 {
        let there: BTreeSet<&OsString> = records.iter().map(|record| &record.path).collect();
        let missing =
            manifest.iter().find(|(path, _)| !there.contains(&path.as_os_str().to_owned()));
        return wrong(missing.map_or(Path::new(""), |(path, _)| path), "is missing");
    }
    records.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    Ok(Seal { boot: boot_id(), records })
}

fn fits(entry: &Entry, stat: &Metadata) -> bool {
    let mode = stat.permissions().mode() & 0o7777;
    match entry.node {
        Node::Folder => stat.is_dir() && mode == entry.mode,
        Node::File { size, .. } => stat.is_file() && mode == entry.mode && stat.len() == size,
        Node::Link { .. } => stat.is_symlink() && entry.mode == LINK_MODE,
    }
}
