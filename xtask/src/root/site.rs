//! Site-packages: all locked wheels in one folder.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

use crate::digest::{Key, Sha256};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::lock::{self, Lock};
use crate::pieces;
use crate::progress::{Progress, Unit};
use crate::store::{Manifest, Node, Store};

use super::merged::Merged;
use super::tree::{Hand, Tree};
use super::wheel::{Content, Installed, Replaced, Wheel};
use super::work::spread;

/// Files from this size on are jobs of their own.
const LARGE: u64 = 1 << 20;
/// Most files and bytes of a job of small ones.
const FILES: usize = 256;
const BYTES: u64 = 8 << 20;

/// The site-packages of all wheels of `lock`, from the store, or made now. What `pip
/// install --target` makes, without byte code: programs are in `bin/`.
pub fn ensure(lock: &Lock, store: &Store) -> Result<PathBuf> {
    store.tree("site", &key(lock), |place| {
        let mut largest_first: Vec<_> = lock.wheels.iter().collect();
        largest_first.sort_by_key(|wheel| Reverse(wheel.size));
        let wheels = spread(&largest_first, |wheel| open(wheel, store))?;
        install(&wheels, place, lock.epoch)
    })
}

/// The same as a slim image has it, `replaced` in place of the wheels' own.
pub fn ensure_slim(lock: &Lock, store: &Store, replaced: &Replaced) -> Result<PathBuf> {
    let key = Key::new("slim site 1").field("site", key(lock).bytes());
    let key = replaced.iter().fold(key, |key, (path, (_, _, digest))| {
        key.field("path", path.as_str()).field("sha256", digest.bytes())
    });
    store.tree("site", &key.finish(), |place| {
        let wheels = spread(&lock.wheels, |wheel| open(wheel, store))?;
        let plan = |wheel: &Wheel| wheel.slim(wheel.installed()?, replaced);
        let plans = wheels.iter().map(plan).collect::<Result<Vec<_>>>()?;
        carry_out(&wheels, &plans, place, lock.epoch)
    })
}

/// The digest of all that goes in.
fn key(lock: &Lock) -> Sha256 {
    let key = Key::new("site 1").field("epoch", lock.epoch.to_le_bytes());
    let wheels = lock.wheels.iter();
    wheels
        .fold(key, |key, w| key.field("wheel", &w.file).field("sha256", w.sha256.bytes()))
        .finish()
}

/// The wheel, once its bytes are the lock's. Its headers are read meanwhile: one wheel is
/// three quarters of all.
fn open(locked: &lock::Wheel, store: &Store) -> Result<Wheel> {
    let path = store.object(&locked.sha256);
    let (verified, read) = std::thread::scope(|scope| {
        let read = scope.spawn(|| Wheel::open(&path, &locked.file));
        (store.verified(&locked.sha256, &locked.file), read.join())
    });
    verified?;
    let unread = |_| Err(Error::new(Kind::Io, format!("`{}` cannot be read", locked.file)));
    let wheel = read.unwrap_or_else(unread)?;
    if wheel.file_name().is(&locked.name, &locked.version) {
        return Ok(wheel);
    }
    let lock::Wheel { name, version, file, .. } = locked;
    let message = format!("workspace.lock: `{file}` is no wheel of {name} {version}");
    Err(Error::new(Kind::Lock, message).hint("run `cargo xtask update`"))
}

/// Installs `wheels` together into the empty folder `place`; every time in it is `epoch`.
/// What will be there is known from RECORD, and whether the wheels agree, before the first
/// byte is written.
pub fn install(wheels: &[Wheel], place: &Path, epoch: u64) -> Result<Manifest> {
    let plans = wheels.iter().map(Wheel::installed).collect::<Result<Vec<_>>>()?;
    carry_out(wheels, &plans, place, epoch)
}

fn carry_out(
    wheels: &[Wheel],
    plans: &[Vec<Installed>],
    place: &Path,
    epoch: u64,
) -> Result<Manifest> {
    let mut merged = Merged::default();
    for (wheel, files) in wheels.iter().zip(plans) {
        merged.add(wheel.name(), files.iter().map(|file| (file.path.clone(), file.entry())))?;
    }
    let entries = merged.finish()?;
    let tree = Tree::at(place, epoch)?;
    let jobs = jobs(wheels, plans);
    let total = jobs.iter().map(Job::bytes).sum();
    let progress =
        Progress::new(format!("unpacking {} wheels", wheels.len()), Unit::Bytes, Some(total));
    spread(&jobs, |job| {
        let mut hand = tree.hand();
        job.files.iter().try_for_each(|file| write(job.wheel, file, &mut hand, &progress))
    })?;
    tree.finish(entries)
}

/// Files of one wheel that are written one after the other.
struct Job<'a> {
    wheel: &'a Wheel,
    files: &'a [Installed],
}

impl Job<'_> {
    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }
}

/// All files, the most work first: one library is half of all bytes.
fn jobs<'a>(wheels: &'a [Wheel], plans: &'a [Vec<Installed>]) -> Vec<Job<'a>> {
    let mut jobs = Vec::new();
    for (wheel, files) in wheels.iter().zip(plans) {
        let (mut start, mut bytes) = (0, 0);
        for (at, file) in files.iter().enumerate() {
            if at > start
                && (at - start >= FILES || bytes + file.size > BYTES || file.size >= LARGE)
            {
                jobs.push(Job { wheel, files: &files[start..at] });
                (start, bytes) = (at, 0);
            }
            bytes += file.size;
        }
        jobs.push(Job { wheel, files: &files[start..] });
    }
    jobs.sort_by_key(|job| Reverse(job.bytes()));
    jobs
}

fn write(wheel: &Wheel, file: &Installed, hand: &mut Hand<'_>, progress: &Progress) -> Result<()> {
    if let Content::Made(bytes) = &file.content {
        return hand.whole_file(&file.path, file.mode, bytes).map(drop);
    }
    let mut writing = hand.file(&file.path, file.mode)?;
    let put = |piece: &[u8]| {
        progress.add(piece.len() as u64);
        interrupt::check()?;
        writing.write(piece)
    };
    match &file.content {
        Content::Member(at) => wheel.copy(&wheel.entries()[*at], put)?,
        Content::File(path) => pieces::each(path, put)?,
        Content::Made(_) => {}
    }
    match (writing.finish()?.node, &file.content) {
        (Node::File { digest, .. }, _) if digest == file.digest => Ok(()),
        (Node::File { digest, .. }, Content::Member(at)) => {
            Err(wheel.differs(&wheel.entries()[*at], &file.digest, &digest))
        }
        _ => Err(Error::new(Kind::Digest, format!("`{}` is not what it was", file.path))
            .hint("run it again; should it persist, another process writes to the store")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::wheel::tests::{open, parts};
    use crate::root::zip::forge::Part;

    const A: &str = "a-1-py3-none-any.whl";
    const B: &str = "b-1-py3-none-any.whl";

    fn wheel(file: &str, files: &[(&str, &[u8])]) -> Wheel {
        open(file, parts(file, files)).unwrap()
    }

    #[test]
    fn what_was_planned_is_what_lies_there() {
        let large = vec![7; 3 << 20];
        let wheels = [
            wheel(A, &[("a/x.py", b"x"), ("a/large", &large), ("shared/y", b"same")]),
            wheel(B, &[("b.py", b""), ("shared/y", b"same"), ("shared/z", b"z")]),
        ];
        let place = tempfile::tempdir().unwrap();
        let manifest = install(&wheels, place.path(), 1_700_000_000).unwrap();
        assert_eq!(Manifest::of_tree(place.path()).unwrap(), manifest);
        let again = tempfile::tempdir().unwrap();
        let [a, b] = wheels;
        let other = install(&[b, a], again.path(), 1_700_000_000).unwrap();
        assert_eq!(other, manifest, "whatever their order");
    }

    #[test]
    fn a_file_of_two_wheels_is_refused_with_both_names_before_anything_is_written() {
        let wheels = [wheel(A, &[("x.py", b"one")]), wheel(B, &[("x.py", b"two")])];
        let place = tempfile::tempdir().unwrap();
        let error = install(&wheels, place.path(), 0).unwrap_err();
        assert!(error.message().starts_with("`x.py` belongs to two: a file (3 bytes"), "{error}");
        assert!(error.message().contains(A) && error.message().contains(B), "{error}");
        assert_eq!(place.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn content_that_is_not_what_record_says_is_refused_by_name() {
        let mut parts = parts(A, &[("a/x.py", b"good")]);
        parts[0] = Part::new("a/x.py", b"evil");
        let place = tempfile::tempdir().unwrap();
        let error = install(&[open(A, parts).unwrap()], place.path(), 0).unwrap_err();
        let start = format!("`{A}`: `a/x.py`: RECORD says sha256 {}", Sha256::of(b"good"));
        assert!(error.message().starts_with(&start), "{error}");
        assert_eq!(error.kind(), Kind::Archive);
    }

    #[test]
    fn real_wheels_become_what_pip_installs() {
        let Some(folder) = std::env::var_os("LOCKSTEP_TEST_WHEELS").map(PathBuf::from) else {
            println!("skipped: LOCKSTEP_TEST_WHEELS names no folder of wheels");
            return;
        };
        let mut files: Vec<_> =
            folder.read_dir().unwrap().map(|item| item.unwrap().path()).collect();
        files.sort();
        let open = |path: &PathBuf| {
            Sha256::of_file(path).unwrap();
            Wheel::open(path, &path.file_name().unwrap().to_string_lossy())
        };
        let wheels = spread(&files, open).unwrap();
        let place = tempfile::tempdir().unwrap();
        let start = std::time::Instant::now();
        let manifest = install(&wheels, place.path(), 1_700_000_000).unwrap();
        println!("{:?}: {} entries, {} bytes", start.elapsed(), manifest.len(), manifest.bytes());
        assert_eq!(Manifest::of_tree(place.path()).unwrap(), manifest);
    }
}
