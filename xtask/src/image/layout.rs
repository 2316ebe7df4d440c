//! An OCI image layout on disk (OCI image specification v1.1, "Image Layout"), and the
//! folders beside it.
//!
//! Everything is written into a draft, which takes the place of the last image at once: an
//! image under its final name is whole. Blobs that have not changed are links to the last
//! image's, after their bytes were hashed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use crate::digest::{Key, Sha256};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::store::{Hold, Manifest, Store, remove, write_error};

use super::diff::Records;
use super::layer::Layer;
use super::oci::{Blob, Documents, LAYOUT};
use super::press::press;
use super::sink::Sink;

/// The layout's folder in an image's.
pub const OCI: &str = "oci";
/// What an image's folder is called until it is whole, behind a dot and its name.
pub const DRAFT: &str = ".draft";
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
        let place = dist.join(format!(".{name}{DRAFT}"));
        remove(&place)?;
        fs::create_dir_all(place.join(BLOBS)).map_err(|cause| write_error(&place, 0, &cause))?;
        Ok(Draft { place, last: dist.join(name), _hold: hold })
    }

    /// Puts the blob of `layer` there.
    ///
    /// What comes out is remembered in the store by all that went in, so that a layer is
    /// inflated for its diff id once.
    pub fn layer(&self, store: &Store, layer: &Layer<'_>, records: Records) -> Result<Blob> {
        self.recorded(store, &key(layer, records), layer, || self.make(layer, records))
    }

    /// Puts a blob there: made by `make`, or as the store remembers it by `key` and the last
    /// image still has it.
    pub(super) fn recorded(
        &self,
        store: &Store,
        key: &Sha256,
        layer: &Layer<'_>,
        make: impl Fn() -> Result<Blob>,
    ) -> Result<Blob> {
        let mut written = None;
        let record = store.tree("layer", key, |folder| {
            let blob = make()?;
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
            let found = make()?;
            if found != known {
                return Err(changed(layer, &known, &found));
            }
        }
        Ok(known)
    }

    /// Links the blob from the last image, when it is there and right.
    fn take_over(&self, blob: &Blob) -> Result<bool> {
        let name = format!("{BLOBS}/{}", blob.digest);
        self.link_last(&name, &blob.digest)
    }

    /// Links the file `name` from the last image, when it is there and has this digest.
    pub(super) fn link_last(&self, name: &str, digest: &Sha256) -> Result<bool> {
        let (old, new) = (self.last.join(name), self.place.join(name));
        if !old.is_file() || Sha256::of_file(&old)? != *digest {
            return Ok(false);
        }
        match fs::hard_link(&old, &new) {
            Err(cause) if cause.kind() != std::io::ErrorKind::AlreadyExists => Ok(false),
            _ => Ok(true),
        }
    }

    /// Writes the blob.
    fn make(&self, layer: &Layer<'_>, records: Records) -> Result<Blob> {
        let path = self.place.join(BLOBS).join(layer.name());
        let failed = |cause: std::io::Error| write_error(&path, 0, &cause);
        let sink = Sink::create(&path).map_err(failed)?;
        let (sink, diff_id) = press(layer, records, sink, &path)?;
        let (digest, size) = sink.finish().map_err(failed)?;
        set_mode(&path)?;
        let name = self.place.join(BLOBS).join(digest.to_string());
        fs::rename(&path, &name).at("rename a blob to", &name)?;
        Ok(Blob { digest, size, diff_id })
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

    /// Writes one JSON file of the draft, to be read by people too.
    pub fn json(&self, name: &str, value: &serde_json::Value) -> Result<()> {
        let text = serde_json::to_string_pretty(value);
        let text = text.map_err(|e| Error::new(Kind::Io, format!("cannot write JSON: {e}")))?;
        self.file(name, (text + "\n").as_bytes())
    }

    /// Puts the blob of this digest there, a copy of the file `from`.
    pub fn copy(&self, from: &Path, digest: &Sha256) -> Result<()> {
        let path = self.place.join(BLOBS).join(digest.to_string());
        let copied = fs::copy(from, &path).and_then(|_| File::open(&path)?.sync_all());
        copied.map_err(|cause| write_error(&path, 0, &cause))?;
        set_mode(&path)
    }

    /// Takes the finished file `from` as a blob; its digest and size.
    pub(super) fn take(&self, from: &Path) -> Result<(Sha256, u64)> {
        let file = File::open(from).at("open", from)?;
        let size = file.metadata().at("look at", from)?.len();
        file.sync_all().map_err(|cause| write_error(from, size, &cause))?;
        set_mode(from)?;
        let digest = Sha256::of_file(from)?;
        let name = self.place.join(BLOBS).join(digest.to_string());
        fs::rename(from, &name).at("rename a blob to", &name)?;
        Ok((digest, size))
    }

    /// The draft's own file or folder `name`.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.place.join(name)
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
pub(super) fn set_mode(path: &Path) -> Result<()> {
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(path, mode).at("set mode of", path)
}

/// The digest of all that a record of `layer` is a function of.
fn key(layer: &Layer<'_>, records: Records) -> Sha256 {
    let checked = [u8::from(records == Records::Check)];
    let key = Key::new("layer record 1").field("layer", layer.key().bytes());
    key.field("checked", checked).finish()
}

fn render(blob: &Blob) -> String {
    format!("{} {} {}\n", blob.diff_id, blob.digest, blob.size)
}

fn parse(text: &str) -> Option<Blob> {
    let mut words = text.split_whitespace();
    let (diff_id, digest) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    Some(Blob { diff_id, digest, size: words.next()?.parse().ok()? })
}

fn changed(layer: &Layer<'_>, expected: &Blob, found: &Blob) -> Error {
    let (name, expected, found) = (layer.name(), render(expected), render(found));
    let message = format!(
        "the image's layer `{name}`: expected `{}`, as it was made before, found `{}`",
        expected.trim_end(),
        found.trim_end()
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
            let blob = draft.layer(&self.store, &Case::layer(text), Records::Check).unwrap();
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
        draft.layer(&case.store, &Case::layer("two"), Records::Check).unwrap();
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
    fn of_two_at_once_the_later_waits_and_both_are_whole() {
        let case = Case::new();
        let blobs = std::thread::scope(|scope| {
            let case = &case;
            let both = ["one", "two"].map(|text| scope.spawn(move || case.image(text)));
            both.map(|thread| thread.join().unwrap())
        });
        let there = blobs.map(|blob| case.blob(&blob).is_file());
        assert!(there == [true, false] || there == [false, true], "a mixture: {there:?}");
    }

    /// As root alone: a file system of its own, too small for a layer.
    #[test]
    fn a_full_disk_is_told_and_leaves_the_last_image() {
        use nix::mount::{MsFlags, mount, umount};
        let case = Case::new();
        fs::create_dir(case.dist()).unwrap();
        let (kind, options) = (Some("tmpfs"), Some("size=256k"));
        let (dist, flags) = (case.dist(), MsFlags::empty());
        if let Err(cause) = mount(None::<&str>, &dist, kind, flags, options) {
            println!("skipped: cannot mount a tmpfs: {cause}");
            return;
        }
        let last = case.image("one");
        let noise: Vec<u8> = (0_u32..1 << 18)
            .flat_map(|n| Sha256::of(&n.to_le_bytes()).bytes()[..4].to_owned())
            .collect();
        let mut layer = Layer::new("ops", 0);
        layer.add_bytes("noise", 0o644, noise).unwrap();
        let draft = Draft::begin(&dist, "image").unwrap();
        let error = draft.layer(&case.store, &layer, Records::Check).unwrap_err();
        drop(draft);
        let (whole, left) = (case.blob(&last).is_file(), dist.join(".image.draft").exists());
        umount(&dist).unwrap();
        assert!(error.message().contains("No space left"), "{error}");
        assert!(whole && !left, "the last image {whole}, the draft {left}");
    }

    /// Its bytes are compared with its seal, and it is made again.
    #[test]
    fn a_damaged_record_of_a_diff_id_is_not_believed() {
        let case = Case::new();
        let blob = case.image("one");
        let record = fs::read_dir(case.store.root().join("trees")).unwrap();
        let record = record.map(|e| e.unwrap().path()).find(|p| p.is_dir()).unwrap().join("blob");
        let wrong = render(&Blob { diff_id: Sha256::of(b"other"), ..blob });
        assert_eq!(wrong.len(), fs::read(&record).unwrap().len());
        let time = record.metadata().unwrap().modified().unwrap();
        fs::write(&record, wrong).unwrap();
        File::options().write(true).open(&record).unwrap().set_modified(time).unwrap();
        assert_eq!(case.image("one"), blob);
        assert_eq!(parse(&fs::read_to_string(&record).unwrap()), Some(blob));
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
            .tree("layer", &key(&Case::layer("one"), Records::Check), |folder| {
                fs::write(folder.join("blob"), render(&other)).unwrap();
                set_mode(&folder.join("blob"))?;
                Manifest::of_tree(folder)
            })
            .unwrap();
        let draft = Draft::begin(&case.dist(), "image").unwrap();
        let error = draft.layer(&case.store, &Case::layer("one"), Records::Check).unwrap_err();
        assert!(error.message().contains(&blob.digest.to_string()), "{error}");
    }
}
