//! Whole-file writes: a reader, a crash or a power loss sees the old bytes or the new.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::error::{Error, IoContext as _, Kind, Result};

/// Begins the name of a temporary file.
pub const TEMPORARY: &str = ".lockstep-";

/// Writes `bytes` to `path`: temporary file beside it, fsync, rename, fsync of the folder.
/// On any error the old file is as it was and the temporary one is gone.
///
/// Each file has one temporary name. What a killed process left there is taken over by the
/// next write, so killing leaves at most one file and the same command removes it; of two
/// processes that write at once, one waits (`flock`, which dies with its process).
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, |file| file.write_all(bytes).at("write", path))
}

/// [`write`] for what is too large to hold: `fill` writes it to the empty temporary file.
pub fn replace(path: &Path, fill: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        let message = format!("`{}` is no place for a file", path.display());
        return Err(Error::new(Kind::Io, message));
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::fs::create_dir_all(folder).at("create", folder)?;
    let mut temporary = std::ffi::OsString::from(TEMPORARY);
    temporary.push(name);
    let temporary = folder.join(temporary);
    let mut file = alone(&temporary).at("create a file in", folder)?;
    let replaced = (file.set_len(0).at("write", path))
        .and_then(|()| fill(&mut file))
        .and_then(|()| file.sync_all().at("write", path))
        .and_then(|()| std::fs::rename(&temporary, path).at("replace", path));
    if replaced.is_err() {
        let _gone = std::fs::remove_file(&temporary);
    }
    replaced?;
    File::open(folder).and_then(|folder| folder.sync_all()).at("sync", folder)
}

/// The file at `temporary`, which no other process writes to.
fn alone(temporary: &Path) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false); // another's bytes, until we hold it
        options.mode(0o644).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(temporary)?;
        file.lock()?;
        // Who held it has renamed it: it is no longer temporary, and not ours.
        let ours = file.metadata()?;
        let there = temporary.symlink_metadata();
        if there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())) {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_bytes_stay_when_the_new_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        std::fs::create_dir(folder.path().join("d")).unwrap();
        assert!(write(&folder.path().join("d"), b"x").is_err());
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            2,
            "a temporary file is left"
        );
    }

    #[test]
    fn what_a_killed_process_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".lockstep-a"), "half of something longer").unwrap();
        write(&folder.path().join("a"), b"whole").unwrap();
        assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"whole");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn many_at_once_leave_one_whole_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::thread::scope(|scope| {
            for letter in b'a'..=b'h' {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..10 {
                        write(path, &vec![letter; 100 * usize::from(letter)]).unwrap();
                        let read = std::fs::read(path).unwrap();
                        assert_eq!(read, vec![read[0]; 100 * usize::from(read[0])]);
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
