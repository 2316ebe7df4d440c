//! An OCI image layout on disk (OCI image specification v1.1, "Image Layout"), and the
//! folders beside it.
//!
//! Everything is written into a draft, which takes the place of the last image at once: an
//! image under its final name is whole. Blobs that have not changed are links to the last
//! image's, after their bytes were hashed.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::digest::{Hasher, Sha256};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::store::{Hold, Manifest, Store, remove, write_error};

use super::layer::Layer;
use super::oci::{Blob, Documents, LAYOUT};

/// The layout's folder in an image's.
pub const OCI: &str = "oci";
const BLOBS: &str = "oci/blobs/sha256";

/// An image that is being written.
pub struct Draft {
    place: PathBuf,
    last: PathBuf,
    _hold: Hold,
}

impl Draft {
    /// A draft of the image `name` in the folder `dist`; waits for another process's.
    pub fn begin(dist: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(dist).at("create", dist)?;
        let hold = Hold::take(&dist.join(format!(".{name}.lock")), "another `cargo xtask image`")?;
        let place = dist.join(format!(".{name}.draft"));
        remove(&place)?;
        fs::create_dir_all(place.join(BLOBS)).map_err(|cause| write_error(&place, 0, &cause))?;
        Ok(Draft { place, last: dist.join(name), _hold: hold })
    }

    /// Puts the blob of `layer` there.
    ///
    /// What comes out is remembered in the store by all that went in, so that a layer is
    /// inflated for its diff id once.
    pub fn layer(&self, store: &Store, layer: &Layer<'_>) -> Result<Blob> {
        let mut written = None;
        let record = store.tree("layer", &layer.key(), |folder| {
            let blob = self.make(layer)?;
            written = Some(blob);
            let path = folder.join("blob");
            fs::write(&path, render(&blob)).map_err(|cause| write_error(&path, 0, &cause))?;
            set_mode(&path)?;
            Manifest::of_tree(folder)
        })?;
        if let Some(blob) = written {
            return Ok(blob);
        }
        let path = record.join("blob");
        let known = parse(&fs::read_to_string(&path).at("read", &path)?);
        let known = known
            .ok_or_else(|| Error::new(Kind::Io, format!("`{}` is damaged", path.display())))?;
        if !self.take_over(&known)? {
            let (digest, size) = self.write(layer)?;
            if (digest, size) != (known.digest, known.size) {
                return Err(changed(layer, &known.digest, &digest));
            }
        }
        Ok(known)
    }

    /// Writes the blob and takes the diff id, both at once.
    fn make(&self, layer: &Layer<'_>) -> Result<Blob> {
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| self.write(layer));
            let diff_id = layer.diff_id();
            let written = writing.join().map_err(|_| Error::new(Kind::Io, "a thread failed"))?;
            let (diff_id, (digest, size)) = (diff_id?, written?);
            Ok(Blob { digest, size, diff_id })
        })
    }

    /// Links the blob from the last image, when it is there and right.
    fn take_over(&self, blob: &Blob) -> Result<bool> {
        let name = format!("{BLOBS}/{}", blob.digest);
        let (old, new) = (self.last.join(&name), self.place.join(&name));
        if !old.is_file() || Sha256::of_file(&old)? != blob.digest {
            return Ok(false);
        }
        match fs::hard_link(&old, &new) {
            Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => Ok(false),
            _ => Ok(true),
        }
    }

    fn write(&self, layer: &Layer<'_>) -> Result<(Sha256, u64)> {
        let path = self.place.join(BLOBS).join(layer.name());
        let failed = |cause: std::io::Error| write_error(&path, 0, &cause);
        let file = File::create_new(&path).map_err(failed)?;
        let out = BufWriter::with_capacity(
            256 << 10,
            Hashing { file, hasher: Hasher::default(), size: 0 },
        );
        let out = layer.compress(out, &path)?;
        let Hashing { file, hasher, size } =
            out.into_inner().map_err(|e| failed(e.into_error()))?;
        file.sync_all().map_err(failed)?;
        set_mode(&path)?;
        let digest = hasher.finish();
        let name = self.place.join(BLOBS).join(digest.to_string());
        fs::rename(&path, &name).at("rename a blob to", &name)?;
        Ok((digest, size))
    }

    /// Ends the layout: the texts around the layers.
    pub fn documents(&self, documents: &Documents) -> Result<()> {
        for document in [&documents.config, &documents.manifest] {
            self.file(&format!("{BLOBS}/{}", document.digest), &document.text)?;
        }
        self.file("oci/index.json", &documents.index.text)?;
        self.file("oci/oci-layout", LAYOUT.as_bytes())
    }

    /// Writes one file of the draft.
    pub fn file(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.place.join(name);
        let written = fs::create_dir_all(path.parent().unwrap_or(&self.place))
            .and_then(|()| File::create(&path))
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
        written.map_err(|cause| write_error(&path, bytes.len() as u64, &cause))?;
        set_mode(&path)
    }

    /// Where a blob is, until the draft is published.
    pub fn blob(&self, blob: &Blob) -> PathBuf {
        self.place.join(BLOBS).join(blob.digest.to_string())
    }

    /// Another name for a blob, in the draft.
    pub fn link(&self, blob: &Blob, name: &str) -> Result<()> {
        let (from, to) = (self.blob(blob), self.place.join(name));
        fs::hard_link(&from, &to).map_err(|cause| write_error(&to, 0, &cause))
    }

    /// Makes the draft the image: both change places in one step, and the last one goes.
    pub fn publish(self) -> Result<PathBuf> {
        for folder in [BLOBS, OCI, ""].map(|name| self.place.join(name)) {
            File::open(&folder).and_then(|folder| folder.sync_all()).at("sync", &folder)?;
        }
        let Draft { place, last, .. } = &self;
        let exchanged = renameat2(AT_FDCWD, place, AT_FDCWD, last, RenameFlags::RENAME_EXCHANGE);
        if exchanged.is_err() {
            // There is no last image, or this file system cannot exchange.
            remove(last)?;
            fs::rename(place, last).at("rename the finished image to", last)?;
        }
        let dist = last.parent().unwrap_or(last);
        File::open(dist).and_then(|folder| folder.sync_all()).at("sync", dist)?;
        remove(place)?;
        Ok(last.clone())
    }
}

/// What was not published is nothing.
impl Drop for Draft {
    fn drop(&mut self) {
        let _next_one_removes_it = remove(&self.place);
    }
}

/// The same for whoever reads it, whatever the umask is.
fn set_mode(path: &Path) -> Result<()> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(path, mode).at("set mode of", path)
}

/// A file that is hashed as it is written.
struct Hashing {
    file: File,
    hasher: Hasher,
    size: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

fn render(blob: &Blob) -> String {
    format!("{} {} {}\n", blob.diff_id, blob.digest, blob.size)
}

fn parse(text: &str) -> Option<Blob> {
    let mut words = text.split_whitespace();
    let (diff_id, digest) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Blob { diff_id, digest, size: words.next()?.parse().ok()? })
}

fn changed(layer: &Layer<'_>, expected: &Sha256, found: &Sha256) -> Error {
    let name = layer.name();
    let message = format!(
        "the image's layer `{name}`: expected sha256 {expected}, as it was made before, found {found}"
    );
    Error::new(Kind::Digest, message)
        .hint("run it again; should it persist, another process writes to the store")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::oci::{Image, Start};
    use std::os::unix::fs::MetadataExt as _;

    struct Case {
        folder: tempfile::TempDir,
        store: Store,
    }

    impl Case {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::at(folder.path().join("store"));
            Case { folder, store }
        }

        fn dist(&self) -> PathBuf {
            self.folder.path().join("dist")
        }

        fn layer(text: &str) -> Layer<'static> {
            let mut layer = Layer::new("ops", 0);
            layer.add_bytes("a", 0o644, text.as_bytes().to_vec()).unwrap();
            layer
        }

        /// Writes an image with one layer that holds `text`.
        fn image(&self, text: &str) -> Blob {
            let draft = Draft::begin(&self.dist(), "image").unwrap();
            let blob = draft.layer(&self.store, &Case::layer(text)).unwrap();
            let image = Image {
                platform: "linux/amd64".to_owned(),
                epoch: 0,
                start: Start::default(),
                labels: Default::default(),
                layers: Vec::new(),
            };
            draft.documents(&image.documents("t").unwrap()).unwrap();
            draft.publish().unwrap();
            blob
        }

        fn blob(&self, blob: &Blob) -> PathBuf {
            self.dist().join("image").join(BLOBS).join(blob.digest.to_string())
        }
    }

    #[test]
    fn a_blob_is_named_by_its_digest_and_taken_over_while_it_is_right() {
        let case = Case::new();
        let blob = case.image("one");
        let path = case.blob(&blob);
        assert_eq!(Sha256::of_file(&path).unwrap(), blob.digest);
        assert_eq!(path.metadata().unwrap().len(), blob.size);
        let inode = path.metadata().unwrap().ino();
        assert_eq!(case.image("one"), blob);
        assert_eq!(path.metadata().unwrap().ino(), inode, "written again");
        fs::write(&path, "damaged").unwrap();
        assert_eq!(case.image("one"), blob);
        assert_eq!(Sha256::of_file(&path).unwrap(), blob.digest);
    }

    #[test]
    fn the_last_image_stays_until_the_next_is_whole() {
        let case = Case::new();
        let one = case.image("one");
        let draft = Draft::begin(&case.dist(), "image").unwrap();
        draft.layer(&case.store, &Case::layer("two")).unwrap();
        drop(draft); // it failed: nothing of it is left
        fs::create_dir_all(case.dist().join(".image.draft/oci")).unwrap(); // killed, another time
        assert!(case.blob(&one).is_file());
        let two = case.image("two");
        assert!(case.blob(&two).is_file() && !case.blob(&one).exists());
        let left: Vec<_> =
            fs::read_dir(case.dist()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["image"]);
    }

    #[test]
    fn a_blob_that_comes_out_otherwise_is_refused() {
        let case = Case::new();
        let blob = case.image("one");
        fs::remove_dir_all(case.dist()).unwrap();
        let record = fs::read_dir(case.store.root().join("trees")).unwrap();
        let record = record.map(|e| e.unwrap().path()).find(|p| p.is_dir()).unwrap();
        let other = Blob { digest: Sha256::of(b"other"), ..blob };
        fs::remove_dir_all(&record).unwrap();
        case.store
            .tree("layer", &Case::layer("one").key(), |folder| {
                fs::write(folder.join("blob"), render(&other)).unwrap();
                set_mode(&folder.join("blob"))?;
                Manifest::of_tree(folder)
            })
            .unwrap();
        let draft = Draft::begin(&case.dist(), "image").unwrap();
        let error = draft.layer(&case.store, &Case::layer("one")).unwrap_err();
        assert!(error.message().contains(&blob.digest.to_string()), "{error}");
    }
}
