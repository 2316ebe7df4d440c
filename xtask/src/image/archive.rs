//! A layout as one tar, which `docker load` and `podman load` take: an OCI archive that
//! carries docker's own `manifest.json` too ("Docker Image Specification v1.2", combined
//! image JSON), pointing at the same blobs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Cursor, Read, Write};
use std::path::Path;

use serde::Serialize;

use crate::atomic;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::interrupt;
use crate::store::write_error;

use super::oci::{Documents, Image, LAYOUT};
use super::tar::{self, Sort};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    config: String,
    layers: Vec<String>,
    repo_tags: [String; 1],
}

/// Docker's `manifest.json` for an image that is to be called `name`.
fn listing(image: &Image, documents: &Documents, name: String) -> Result<Vec<u8>> {
    let blob = |digest| format!("blobs/sha256/{digest}");
    let layers = image.layers.iter().map(|layer| blob(layer.blob.digest)).collect();
    let listing = [Listing { config: blob(documents.config.digest), layers, repo_tags: [name] }];
    serde_json::to_vec(&listing)
        .map_err(|e| Error::new(Kind::Io, format!("cannot write JSON: {e}")))
}

/// A file of the archive: its size and its bytes.
type Member<'a> = (u64, Box<dyn Read + 'a>);

/// Writes `image`, whose layers are in the layout at `layout`, to the file `place`, which is
/// whole afterwards or as it was. Docker will call it `name`.
pub fn write(
    image: &Image,
    documents: &Documents,
    name: String,
    layout: &Path,
    place: &Path,
) -> Result<()> {
    // Here the index says the whole name: it is what podman calls the image.
    let index = image.index(&documents.manifest, &name)?;
    let listing = listing(image, documents, name)?;
    let mut members: BTreeMap<String, Member<'_>> = BTreeMap::new();
    let mut text = |name: String, text| {
        let bytes: &[u8] = text;
        members.insert(name, (bytes.len() as u64, Box::new(Cursor::new(bytes))));
    };
    for document in [&documents.config, &documents.manifest] {
        text(format!("blobs/sha256/{}", document.digest), &document.text);
    }
    text("index.json".to_owned(), &index.text);
    text("manifest.json".to_owned(), &listing);
    text("oci-layout".to_owned(), LAYOUT.as_bytes());
    for layer in &image.layers {
        let name = format!("blobs/sha256/{}", layer.blob.digest);
        let path = layout.join(&name);
        let file = File::open(&path).at("open", &path)?;
        members.insert(name, (layer.blob.size, Box::new(file.take(layer.blob.size))));
    }
    let failed = |cause: io::Error| write_error(place, members_size(image), &cause);
    atomic::replace(place, |file| {
        let mut out = BufWriter::with_capacity(256 << 10, file);
        stream(&mut out, members, image.epoch).and_then(|()| out.flush()).map_err(failed)
    })
}

fn members_size(image: &Image) -> u64 {
    image.layers.iter().map(|layer| layer.blob.size).sum()
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
    use crate::image::oci::{Blob, Layer, Start};

    #[test]
    fn it_holds_the_layout_and_dockers_own_listing() {
        let folder = tempfile::tempdir().unwrap();
        let (layout, place) = (folder.path(), folder.path().join("a.tar"));
        let bytes = b"layer";
        let blob = Blob { digest: Sha256::of(bytes), size: 5, diff_id: Sha256::of(b"tar") };
        std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
        std::fs::write(layout.join(format!("blobs/sha256/{}", blob.digest)), bytes).unwrap();
        let image = Image {
            platform: "linux/amd64".to_owned(),
            epoch: 7,
            start: Start::default(),
            labels: BTreeMap::new(),
            layers: vec![Layer { name: "ops".to_owned(), about: String::new(), blob }],
        };
        let documents = image.documents("t").unwrap();
        write(&image, &documents, "n:t".to_owned(), layout, &place).unwrap();
        let archive = std::fs::read(&place).unwrap();
        let mut names = Vec::new();
        for entry in ::tar::Archive::new(&archive[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            if let Some(digest) = name.strip_prefix("blobs/sha256/").filter(|d| !d.is_empty()) {
                assert_eq!(Sha256::of(&content).to_string(), digest);
            }
            names.push(name);
        }
        assert!(names.is_sorted() && names.len() == 8, "{names:?}");
        let mut short = image.clone();
        short.layers[0].blob.size = 6;
        let error = write(&short, &documents, "n:t".to_owned(), layout, &place).unwrap_err();
        assert!(error.message().ends_with("was cut off while it was read"), "{error}");
        assert_eq!(std::fs::read(&place).unwrap(), archive, "the old archive is gone");
    }
}
