//! Holds: one process at a time, by `flock(2)`. A hold ends with its process, however that
//! ends, so nothing is ever left locked.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::room::{is_unwritable, write_error};
use crate::error::{IoContext as _, Result};
use crate::{interrupt, progress};

/// Between two looks at a hold that another process has.
const PAUSE: Duration = Duration::from_millis(20);

/// A hold on one name; ends when dropped.
#[derive(Debug)]
pub struct Hold {
    path: PathBuf,
    _file: File,
}

impl Hold {
    /// Takes the hold that the file at `path` stands for, waiting for its holder; `what`
    /// says to people what is waited for.
    pub fn take(path: &Path, what: &str) -> Result<Self> {
        let mut said = false;
        loop {
            if let Some(hold) = Hold::try_take(path)? {
                return Ok(hold);
            }
            if !said {
                progress::say(&format!("waiting for {what}, held by {}", holder(path)));
                said = true;
            }
            interrupt::check()?;
            std::thread::sleep(PAUSE);
        }
    }

    /// Takes the hold if nobody has it.
    pub fn try_take(path: &Path) -> Result<Option<Self>> {
        let failed = |cause| write_error(path, 0, &cause);
        let mut file = open(path).map_err(failed)?;
        if !locked(file.try_lock(), path)? || !still_at(&file, path)? {
            return Ok(None);
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Some(Hold { path: path.to_owned(), _file: file }))
    }

    /// Shares the file at `path` with everybody but a [`Hold`], for as long as the returned
    /// file is open. `None` where it cannot be written: nobody can hold it there either.
    pub(super) fn share(path: &Path, what: &str) -> Result<Option<File>> {
        let mut said = false;
        loop {
            let file = match open(path) {
                Ok(file) => file,
                Err(cause) if is_unwritable(&cause) => return Ok(None),
                Err(cause) => return Err(write_error(path, 0, &cause)),
            };
            if locked(file.try_lock_shared(), path)? && still_at(&file, path)? {
                let _no_longer_a_killed_holders_name = file.set_len(0);
                return Ok(Some(file));
            }
            if !said {
                progress::say(&format!("waiting for {what}, held by {}", holder(path)));
                said = true;
            }
            interrupt::check()?;
            std::thread::sleep(PAUSE);
        }
    }
}

/// The file is removed while it is still held: who waits for it sees that and opens anew.
impl Drop for Hold {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_file(&self.path);
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).open(path)
}

fn locked(outcome: Result<(), TryLockError>, path: &Path) -> Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(cause)) => Err(cause).at("lock", path),
    }
}

/// Whether `path` is still the file that was opened: its last holder may have removed it.
fn still_at(file: &File, path: &Path) -> Result<bool> {
    let opened = file.metadata().at("read", path)?;
    Ok(std::fs::metadata(path).is_ok_and(|now| now.ino() == opened.ino()))
}

fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    match text.trim().parse::<u32>() {
        Ok(pid) if read.is_ok() => format!("pid {pid}"),
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_the_next_waits_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tree-1");
        let hold = Hold::take(&path, "a tree").unwrap();
        assert_eq!(holder(&path), format!("pid {}", std::process::id()));
        assert!(Hold::try_take(&path).unwrap().is_none());
        std::thread::scope(|scope| {
            let next = scope.spawn(|| Hold::take(&path, "a tree").map(drop));
            drop(hold);
            next.join().unwrap().unwrap();
        });
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_left_by_a_killed_holder_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tree-1");
        std::fs::write(&path, "1\n").unwrap();
        assert!(Hold::try_take(&path).unwrap().is_some());
    }

    #[test]
    fn many_threads_never_hold_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let inside = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let _hold = Hold::take(&path, "x").unwrap();
                        let before = inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert_eq!(before, 0);
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
