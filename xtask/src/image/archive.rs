//! A layout as one tar, which `docker load` and `podman load` take: an OCI archive that
//! carries docker's own `manifest.json` too ("Docker Image Specification v1.2", combined
//! image JSON), pointing at the same blobs.
//!
//! Docker loads no zstd. Of an image with such layers the archive is docker's alone, and has
//! them as `docker save` writes them: not compressed, under their diff ids.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use serde::Serialize;

use crate::atomic;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::interrupt;
use crate::lock::Compression;
use crate::store::write_error;

use super::layout::OCI;
use super::oci::{Document, LAYOUT, Layer};
use super::run::Written;
use super::tar::{self, Sort};
use super::zstd;

/// Docker's `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listing<'a> {
    config: &'a str,
    layers: Vec<String>,
    repo_tags: [&'a str; 1],
}

/// An image of whose layers docker makes its own.
#[derive(Clone, Copy, Debug)]
pub struct Docker<'a> {
    /// The folder of the image, in which its layers are.
    pub folder: &'a Path,
    /// Its config.
    pub config: &'a Document,
    /// Its layers, the lowest first.
    pub layers: &'a [Layer],
    /// When all was made, in seconds since 1970.
    pub epoch: u64,
}

/// A file of the archive: its size and its bytes.
type Member<'a> = (u64, Box<dyn Read + 'a>);

/// Writes the image that was `written` to the file `place`, which is whole afterwards or as it
/// was. Docker will call it `name`.
pub fn write(written: &Written, name: &str, place: &Path) -> Result<()> {
    let Written { image, documents, place: folder } = written;
    let docker =
        Docker { folder, config: &documents.config, layers: &image.layers, epoch: image.epoch };
    if image.layers.iter().any(|layer| layer.compression == Compression::Zstd) {
        return docker.write(name, place);
    }
    // Here the index says the whole name: it is what podman calls the image.
    let index = image.index(&documents.manifest, name)?;
    let manifest = documents.manifest.digest.blob();
    let oci: [(&str, &[u8]); 3] = [
        (&manifest, &documents.manifest.text),
        ("index.json", &index.text),
        ("oci-layout", LAYOUT.as_bytes()),
    ];
    docker.with(&oci, name, place)
}

impl Docker<'_> {
    /// Writes what docker loads, and calls `name`, to the file `place`, which is whole
    /// afterwards or as it was.
    pub fn write(self, name: &str, place: &Path) -> Result<()> {
        self.with(&[], name, place)
    }

    fn with(self, texts: &[(&str, &[u8])], name: &str, place: &Path) -> Result<()> {
        let layers =
            self.layers.iter().map(|layer| self.layer(layer)).collect::<Result<Vec<_>>>()?;
        let size = layers.iter().map(|(_, (size, _))| size).sum();
        let config = self.config.digest.blob();
        let listing = [Listing {
            config: &config,
            layers: layers.iter().map(|(name, _)| name.clone()).collect(),
            repo_tags: [name],
        }];
        let listing = serde_json::to_vec(&listing)
            .map_err(|e| Error::new(Kind::Io, format!("cannot write JSON: {e}")))?;
        let mut members: BTreeMap<String, Member<'_>> = layers.into_iter().collect();
        let ours: [(&str, &[u8]); 2] = [(&config, &self.config.text), ("manifest.json", &listing)];
        members.extend(ours.iter().chain(texts).map(|&(name, text)| {
            let bytes: Box<dyn Read> = Box::new(text);
            (name.to_owned(), (text.len() as u64, bytes))
        }));
        let failed = |cause: io::Error| {
            interrupt::check().err().unwrap_or_else(|| write_error(place, size, &cause))
        };
        atomic::replace(place, |file| {
            let mut out = BufWriter::with_capacity(256 << 10, file);
            stream(&mut out, members, self.epoch).and_then(|()| out.flush()).map_err(failed)
        })
    }

    /// A layer's file in the archive, and where its bytes are.
    fn layer(self, layer: &Layer) -> Result<(String, Member<'static>)> {
        let (name, path) = match layer.compression {
            Compression::Gzip => {
                let name = layer.blob.digest.blob();
                (name.clone(), self.folder.join(OCI).join(name))
            }
            Compression::Zstd => {
                (layer.blob.diff_id.blob(), self.folder.join(zstd::file(&layer.name)))
            }
        };
        let file = File::open(&path).at("open", &path)?;
        let size = match layer.compression {
            Compression::Gzip => layer.blob.size,
            Compression::Zstd => file.metadata().at("look at", &path)?.len(),
        };
        Ok((name, (size, Box::new(file.take(size)))))
    }
}

fn stream(
    out: &mut impl Write,
    members: BTreeMap<String, Member<'_>>,
    epoch: u64,
) -> io::Result<()> {
    let put = |path: &str, mode, sort| {
        let mut header = Vec::new();
        tar::header(&mut header, path, mode, sort, epoch)
            .map_err(|e| io::Error::other(e.message().to_owned()))?;
        Ok::<_, io::Error>(header)
    };
    for folder in ["blobs", "blobs/sha256"] {
        out.write_all(&put(folder, 0o755, Sort::Folder)?)?;
    }
    for (path, (size, mut bytes)) in members {
        interrupt::check().map_err(|e| io::Error::other(e.message().to_owned()))?;
        out.write_all(&put(&path, 0o644, Sort::File { size })?)?;
        if io::copy(&mut bytes, out)? != size {
            return Err(io::Error::other(format!("`{path}` was cut off while it was read")));
        }
        out.write_all(&[0; tar::BLOCK][..tar::padding(size)])?;
    }
    out.write_all(&tar::END)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;
    use crate::image::oci::{Blob, Image, Start};

    /// An image of one layer, which is in the folder `place`.
    fn written(place: &Path, compression: Compression) -> Written {
        let bytes = b"layer";
        let blob = Blob { digest: Sha256::of(bytes), size: 5, diff_id: Sha256::of(b"tar") };
        let packed = format!("{OCI}/{}", blob.digest.blob());
        for (name, bytes) in [(packed, &bytes[..]), (zstd::file("ops"), b"tar")] {
            let path = place.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        let (name, about) = ("ops".to_owned(), String::new());
        let image = Image {
            platform: "linux/amd64".to_owned(),
            epoch: 7,
            start: Start::default(),
            labels: BTreeMap::new(),
            layers: vec![Layer { name, about, blob, compression }],
        };
        let documents = image.documents("t").unwrap();
        Written { image, documents, place: place.to_owned() }
    }

    /// The files in it; blobs are what they are called.
    fn names(archive: &[u8]) -> Vec<String> {
        let mut names = Vec::new();
        for entry in ::tar::Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            if let Some(digest) = name.strip_prefix("blobs/sha256/").filter(|d| !d.is_empty()) {
                assert_eq!(Sha256::of(&content).to_string(), digest);
            }
            names.push(name);
        }
        names
    }

    #[test]
    fn it_holds_the_layout_and_dockers_own_listing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut written, place) =
            (written(folder.path(), Compression::Gzip), folder.path().join("a.tar"));
        write(&written, "n:t", &place).unwrap();
        let archive = std::fs::read(&place).unwrap();
        let found = names(&archive);
        assert!(found.is_sorted() && found.len() == 8, "{found:?}");
        written.image.layers[0].blob.size = 6;
        let error = write(&written, "n:t", &place).unwrap_err();
        assert!(error.message().ends_with("was cut off while it was read"), "{error}");
        assert_eq!(std::fs::read(&place).unwrap(), archive, "the old archive is gone");
    }

    #[test]
    fn of_zstd_it_is_dockers_alone_and_has_plain_layers() {
        let folder = tempfile::tempdir().unwrap();
        let (written, place) =
            (written(folder.path(), Compression::Zstd), folder.path().join("a.tar"));
        write(&written, "n:t", &place).unwrap();
        let found = names(&std::fs::read(&place).unwrap());
        let mut blobs = [&written.documents.config.digest, &Sha256::of(b"tar")].map(Sha256::blob);
        blobs.sort();
        let [one, other] = blobs;
        assert_eq!(found, ["blobs/", "blobs/sha256/", &one, &other, "manifest.json"]);
    }
}
