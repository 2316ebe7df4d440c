//! Objects: downloads by their digest. They are verified when they come and when they are
//! used.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Seek as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::room::write_error;
use super::{Hold, Store};
use crate::digest::{Hasher, Sha256};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::pieces;

/// An object on its way into the store: `tmp/DIGEST.part`, held by one process. It stays
/// when that process dies, for the next to go on with.
///
/// There is no way to publish anything but the bytes of the digest.
pub struct Partial {
    store: Store,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    length: u64,
    size: u64,
    digest: Sha256,
    _hold: Hold,
}

impl Store {
    /// Whether an object of this digest and size is there. Its bytes are hashed when they
    /// are used; a file that cannot be right is set aside now.
    pub fn has(&self, digest: &Sha256, size: u64) -> Result<bool> {
        if self.root.is_dir() {
            self.enter()?; // what is said to be there stays
        }
        let path = self.object(digest);
        match path.symlink_metadata() {
            Ok(stat) if stat.is_file() && stat.len() == size => Ok(true),
            Ok(_) => self.set_aside(&path).map(|()| false),
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(false),
            Err(cause) => Err(cause).at("look at", &path),
        }
    }

    /// Path of the object, its bytes hashed now against its digest.
    /// `what` names it for people: `libc6 2.36 (…deb)`. A damaged object is set aside.
    pub fn verified(&self, digest: &Sha256, what: &str) -> Result<PathBuf> {
        self.enter()?;
        let path = self.object(digest);
        if path.symlink_metadata().is_err_and(|e| e.kind() == ErrorKind::NotFound) {
            return Err(Error::new(Kind::Fetch, format!("{what} is not in the store"))
                .hint("run `cargo xtask fetch` while the network is there"));
        }
        let found = match digest_of(&path) {
            Ok(found) if found == *digest => return Ok(path),
            Ok(found) => format!("sha256 {found}"),
            Err(error) => error.message().to_owned(),
        };
        let _unless_read_only = self.set_aside(&path);
        Err(Error::new(
            Kind::Digest,
            format!("{what} in the store is damaged: expected sha256 {digest}, found {found}"),
        )
        .hint("run `cargo xtask fetch`: it is fetched again"))
    }

    /// Makes an object of the file at `path`, whose digest nobody knew; returns it and the size.
    pub fn admit(&self, path: &Path, what: &str) -> Result<(Sha256, u64)> {
        let digest = digest_of(path)?;
        let size = path.metadata().at("read", path)?.len();
        let Some(mut partial) = self.partial(&digest, size, what)? else {
            return Ok((digest, size));
        };
        partial.restart()?;
        pieces::each(path, |piece| partial.write(piece))?;
        partial.commit()?;
        Ok((digest, size))
    }

    /// Starts or goes on with an object of `size` bytes; waits for another process that
    /// does. `None` when the object is there (by then).
    pub fn partial(&self, digest: &Sha256, size: u64, what: &str) -> Result<Option<Partial>> {
        self.enter()?;
        let hold = self.hold(&digest.to_string(), what)?;
        if self.has(digest, size)? {
            return Ok(None);
        }
        let path = self.folder("tmp")?.join(format!("{digest}.part"));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(&path).map_err(|cause| write_error(&path, size, &cause))?;
        let mut hasher = Hasher::default();
        let length = std::io::copy(&mut file, &mut hasher).at("read", &path)?;
        let mut partial = Partial {
            store: self.clone(),
            path,
            file,
            hasher,
            length,
            size,
            digest: *digest,
            _hold: hold,
        };
        if length > size {
            partial.restart()?;
        }
        Ok(Some(partial))
    }
}

impl Partial {
    /// Bytes that are there already.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether all bytes are there, right or wrong.
    pub fn is_full(&self) -> bool {
        self.length == self.size
    }

    /// Forgets all bytes.
    pub fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).at("write", &self.path)?;
        self.file.rewind().at("write", &self.path)?;
        self.hasher = Hasher::default();
        self.length = 0;
        Ok(())
    }

    /// Adds bytes; the caller keeps to the size.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let missing = self.size.saturating_sub(self.length);
        self.file.write_all(bytes).map_err(|cause| write_error(&self.path, missing, &cause))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The digest of the bytes that are there, when it is not the object's.
    pub fn mismatch(&self) -> Option<Sha256> {
        let found = self.hasher.clone().finish();
        (found != self.digest).then_some(found)
    }

    /// Publishes the object; an error when its bytes are not those of the digest.
    pub fn commit(self) -> Result<PathBuf> {
        if let Some(found) = self.mismatch() {
            let message = format!("expected sha256 {}, found {found}", self.digest);
            return Err(Error::new(Kind::Digest, message));
        }
        let place = self.store.object(&self.digest);
        self.publish(&place).inspect_err(|_| {
            // After a failed fsync nobody knows what is on disk: not even a part to go on with.
            let _gone = std::fs::remove_file(&self.path);
        })?;
        Ok(place)
    }

    /// Durable before it is visible.
    fn publish(&self, place: &Path) -> Result<()> {
        let failed = |cause| write_error(&self.path, 0, &cause);
        self.file.set_permissions(Permissions::from_mode(0o444)).map_err(failed)?;
        self.file.sync_all().map_err(failed)?;
        let folder = place.parent().unwrap_or(place);
        if !folder.is_dir() {
            self.store.folder("objects")?;
            std::fs::create_dir_all(folder).map_err(|cause| write_error(folder, 0, &cause))?;
            sync(&self.store.root().join("objects"))?;
        }
        std::fs::rename(&self.path, place).at("rename a download to", place)?;
        sync(folder)
    }
}

/// Makes the names in `folder` durable.
fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).at("fsync", folder)
}

/// Digest of a regular file that is nothing else: no link is followed, no fifo waited for.
pub(super) fn digest_of(path: &Path) -> Result<Sha256> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let mut file = options.open(path).at("open", path)?;
    if !file.metadata().at("read", path)?.is_file() {
        let message = format!("`{}` is not a regular file", path.display());
        return Err(Error::new(Kind::Digest, message));
    }
    Ok(Sha256::of_reader(&mut file).at("read", path)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("päth with space"));
        (folder, store)
    }

    fn put(store: &Store, bytes: &[u8]) -> Sha256 {
        let digest = Sha256::of(bytes);
        let mut partial = store.partial(&digest, bytes.len() as u64, "x").unwrap().unwrap();
        partial.write(bytes).unwrap();
        partial.commit().unwrap();
        digest
    }

    fn files(folder: PathBuf) -> usize {
        folder.read_dir().map_or(0, Iterator::count)
    }

    #[test]
    fn what_was_committed_is_verified_on_use() {
        let (_folder, store) = store();
        let digest = put(&store, b"bytes");
        assert!(store.has(&digest, 5).unwrap());
        assert_eq!(std::fs::read(store.verified(&digest, "x").unwrap()).unwrap(), b"bytes");
        assert!(store.partial(&digest, 5, "x").unwrap().is_none());
        assert_eq!(files(store.root().join("tmp")), 0);
    }

    #[test]
    fn wrong_bytes_are_never_published() {
        let (_folder, store) = store();
        let digest = Sha256::of(b"right");
        let mut partial = store.partial(&digest, 5, "x").unwrap().unwrap();
        partial.write(b"wrong").unwrap();
        assert_eq!(partial.mismatch(), Some(Sha256::of(b"wrong")));
        assert_eq!(partial.commit().unwrap_err().kind(), Kind::Digest);
        assert!(!store.has(&digest, 5).unwrap());
    }

    #[test]
    fn a_part_left_by_a_killed_process_is_gone_on_with() {
        let (_folder, store) = store();
        let digest = Sha256::of(b"abcdef");
        let mut partial = store.partial(&digest, 6, "x").unwrap().unwrap();
        partial.write(b"abc").unwrap();
        drop(partial);
        let mut partial = store.partial(&digest, 6, "x").unwrap().unwrap();
        assert_eq!(partial.length(), 3);
        partial.write(b"def").unwrap();
        partial.commit().unwrap();
        assert!(store.verified(&digest, "x").is_ok());
    }

    #[test]
    fn a_part_that_is_too_long_starts_over() {
        let (_folder, store) = store();
        let digest = Sha256::of(b"abc");
        let part = store.folder("tmp").unwrap().join(format!("{digest}.part"));
        std::fs::write(&part, "abcdefgh").unwrap();
        assert_eq!(store.partial(&digest, 3, "x").unwrap().unwrap().length(), 0);
    }

    #[test]
    fn a_damaged_object_is_named_set_aside_and_missing_afterwards() {
        type Damage = fn(&Path);
        let damages: [(&str, Damage); 4] = [
            ("flipped", |path| std::fs::write(path, "bytez").unwrap()),
            ("a link", |path| std::os::unix::fs::symlink("/etc/passwd", path).unwrap()),
            ("a folder", |path| std::fs::create_dir(path).unwrap()),
            ("a fifo", |path| {
                nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
            }),
        ];
        for (name, damage) in damages {
            let (_folder, store) = store();
            let digest = put(&store, b"bytes");
            std::fs::remove_file(store.object(&digest)).unwrap();
            damage(&store.object(&digest));
            let error = store.verified(&digest, "libc6 (libc6.deb)").unwrap_err();
            assert_eq!(error.kind(), Kind::Digest, "{name}: {error}");
            assert!(error.message().starts_with("libc6 (libc6.deb) in the store is damaged"));
            assert_eq!(files(store.root().join("aside")), 1, "{name}");
            let error = store.verified(&digest, "libc6 (libc6.deb)").unwrap_err();
            assert_eq!(
                error.to_string(),
                "error: libc6 (libc6.deb) is not in the store\n\
                 hint: run `cargo xtask fetch` while the network is there"
            );
        }
    }

    #[test]
    fn an_object_of_the_wrong_size_or_type_is_not_there() {
        let (_folder, store) = store();
        let digest = put(&store, b"bytes");
        let path = store.object(&digest);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "byt").unwrap();
        assert!(!store.has(&digest, 5).unwrap());
        assert!(!path.exists());
        std::fs::create_dir(&path).unwrap();
        assert!(!store.has(&digest, 5).unwrap());
        assert_eq!(put(&store, b"bytes"), digest);
    }

    #[test]
    fn many_at_once_make_one_object() {
        let (_folder, store) = store();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                let store = store.clone();
                scope.spawn(move || {
                    let digest = Sha256::of(b"shared");
                    let Some(mut partial) = store.partial(&digest, 6, "x").unwrap() else { return };
                    partial.write(b"sha").unwrap();
                    partial.write(b"red").unwrap();
                    partial.commit().unwrap();
                });
            }
        });
        assert!(store.verified(&Sha256::of(b"shared"), "x").is_ok());
        assert_eq!(files(store.root().join("tmp")), 0);
    }
}
