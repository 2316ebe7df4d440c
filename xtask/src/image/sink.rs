//! A file that is hashed as it is written, and on its way to the disk meanwhile: a disk that
//! first hears of it in the end lets everybody wait.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::digest::{Hasher, Sha256};

/// Bytes after which the disk hears of what was written.
const OFTEN: u64 = 16 << 20;

/// A new file that is being written.
pub struct Sink {
    file: File,
    hasher: Hasher,
    size: u64,
    told: u64,
    tell: SyncSender<()>,
    syncing: JoinHandle<io::Result<()>>,
}

impl Sink {
    /// The new file at `path`.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::create_new(path)?;
        let other = file.try_clone()?;
        let (tell, told) = sync_channel(1);
        let sync = move || told.into_iter().try_for_each(|()| other.sync_data());
        let syncing = std::thread::Builder::new().spawn(sync)?;
        Ok(Sink { file, hasher: Hasher::default(), size: 0, told: 0, tell, syncing })
    }

    /// Digest and size of the file, which is on the disk then. A failure is told to one of
    /// those who sync and to no other: all are asked.
    pub fn finish(self) -> io::Result<(Sha256, u64)> {
        drop(self.tell);
        self.syncing.join().map_err(|_| io::Error::other("the thread that syncs failed"))??;
        self.file.sync_all()?;
        Ok((self.hasher.finish(), self.size))
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        if self.size - self.told > OFTEN {
            let _unless_it_is_at_it = self.tell.try_send(());
            self.told = self.size;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_there_under_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let piece = vec![7; 5 << 20];
        let mut sink = Sink::create(&path).unwrap();
        (0..7).for_each(|_| sink.write_all(&piece).unwrap());
        let whole = piece.repeat(7);
        assert_eq!(sink.finish().unwrap(), (Sha256::of(&whole), whole.len() as u64));
        assert!(std::fs::read(&path).unwrap() == whole);
        assert!(Sink::create(&path).is_err(), "it is there already");
    }
}
