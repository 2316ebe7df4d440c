//! Layers as Zstandard frames (RFC 8878), for registries and clients that take them.
//!
//! What compresses is the builder root's own libzstd: a locked package, so the bytes are a
//! function of the lock, and nobody has to build it. A wheel's deflate streams are of no use
//! here. The tar stream is written once: the frames are made of it, and the Dockerfile's
//! context keeps it, since no Docker unpacks zstd there.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use crate::digest::{Hasher, Key, Sha256};
use crate::error::Result;
use crate::lock::Compression;
use crate::store::write_error;

use super::diff::Records;
use super::dockerfile::{self, CONTEXT};
use super::layer::Layer;
use super::layout::{Draft, set_mode};
use super::oci::Blob;
use super::stack;
use super::tools::{PLACE, Tools};

/// Raise its number when the same stream becomes other bytes.
const FORM: &str = "layer record zstd 1";
/// What is run: it says which level, and why.
const PROGRAM: &str = include_str!("zstd_frames.py");

/// Puts the blob of `layer` and its tar stream into `draft`.
pub fn layer(
    draft: &Draft,
    tools: &Tools<'_>,
    layer: &Layer<'_>,
    records: Records,
) -> Result<Blob> {
    let key = Key::new(FORM).field("layer", layer.key().bytes()).field("program", PROGRAM);
    let key = key.field("tools", tools.key().bytes());
    let key = key.field("checked", [u8::from(records == Records::Check)]).finish();
    let new = || make(draft, tools, layer, records);
    let blob = draft.recorded(tools.store, &key, layer, new)?;
    let tar = file(layer.name());
    if !draft.path(&tar).exists() {
        folder(draft)?;
        if !draft.link_last(&tar, &blob.diff_id)? {
            stream(draft, layer, records)?;
        }
    }
    Ok(blob)
}

/// The same, whatever the store remembers.
pub fn make(draft: &Draft, tools: &Tools<'_>, layer: &Layer<'_>, records: Records) -> Result<Blob> {
    let diff_id = stream(draft, layer, records)?;
    let (digest, size) = compress(draft, tools, layer)?;
    Ok(Blob { digest, size, diff_id })
}

/// The tar stream's file in an image's folder.
pub fn file(layer: &str) -> String {
    let at = stack::NAMES.iter().position(|name| *name == layer).unwrap_or_default();
    format!("{CONTEXT}/{}", dockerfile::file_name(at, layer, Compression::Zstd))
}

fn folder(draft: &Draft) -> Result<()> {
    let folder = draft.path(CONTEXT);
    fs::create_dir_all(&folder).map_err(|cause| write_error(&folder, 0, &cause))
}

/// Writes the tar stream; its digest.
fn stream(draft: &Draft, layer: &Layer<'_>, records: Records) -> Result<Sha256> {
    folder(draft)?;
    let path = draft.path(&file(layer.name()));
    let failed = |cause: std::io::Error| write_error(&path, layer.bytes(), &cause);
    let mut out = BufWriter::with_capacity(256 << 10, File::create(&path).map_err(failed)?);
    let mut hasher = Hasher::default();
    layer.stream(records, |piece| {
        hasher.update(piece);
        out.write_all(piece).map_err(failed)
    })?;
    out.into_inner().map_err(|e| failed(e.into_error()))?.sync_all().map_err(failed)?;
    set_mode(&path)?;
    Ok(hasher.finish())
}

/// Makes the blob of the tar stream; its digest and size.
fn compress(draft: &Draft, tools: &Tools<'_>, layer: &Layer<'_>) -> Result<(Sha256, u64)> {
    let name = format!("{}.zst", layer.name());
    let inside = |name: &str| format!("{PLACE}/{name}");
    let place = draft.path("");
    let (from, to) = (inside(&file(layer.name())), inside(&name));
    let argv = ["/usr/bin/python3", "-c", PROGRAM, &from, &to];
    tools.run(&format!("zstd-{}", layer.name()), Path::new(&place), &argv)?;
    draft.take(&place.join(name))
}
