//! A layout as one tar, which `docker load` and `podman load` take: an OCI archive that
//! carries docker's own `manifest.json` too ("Docker Image Specification v1.2", combined
//! image JSON), pointing at the same blobs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Cursor, Read, Write};
use std::path::Path;

use serde::Serialize;

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
    let listing = listing(image, documents, name)?;
    let mut members: BTreeMap<String, Member<'_>> = BTreeMap::new();
    let mut text = |name: String, text| {
        let bytes: &[u8] = text;
        members.insert(name, (bytes.len() as u64, Box::new(Cursor::new(bytes))));
    };
    for document in [&documents.config, &documents.manifest] {
        text(format!("blobs/sha256/{}", document.digest), &document.text);
    }
    text("index.json".to_owned(), &documents.index.text);
    text("manifest.json".to_owned(), &listing);
    text("oci-layout".to_owned(), LAYOUT.as_bytes());
    for layer in &image.layers {
        let name = format!("blobs/sha256/{}", layer.blob.digest);
        let path = layout.join(&name);
        let file = File::open(&path).at("open", &path)?;
        members.insert(name, (layer.blob.size, Box::new(file.take(layer.blob.size))));
    }
    let failed = |cause: io::Error| write_error(place, members_size(image), &cause);
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
    let file = tempfile::Builder::new()
        .prefix(".lockstep-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .map_err(failed)?;
    let mut out = BufWriter::with_capacity(256 << 10, file);
    stream(&mut out, members, image.epoch).map_err(failed)?;
    let file = out.into_inner().map_err(|e| failed(e.into_error()))?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(place).map_err(|e| Error::io("replace", place, &e.error))?;
    Ok(())
}

fn members_size(image: &Image) -> u64 {
    image.layers.iter().map(|layer| layer.blob.size).sum()
}

fn stream(out: &mut impl Write, members: BTreeMap<String, Member<'_>>, epoch: u64) -> io::Result<()> {
    let put = |path: &str, mode, sort| {
        let mut header = Vec::new();
        tar::header(&mut header, path, mode, sort, epoch).map_err(|e| io::Error::other(e.message().to_owned()))?;
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
