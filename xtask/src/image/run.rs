//! `cargo xtask image`: from the ledger's outputs to the one image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::ledger::Row;
use crate::lock::{self, Compression, Lock};
use crate::root::work::spread;

use super::diff::Records;
use super::identity::{self, Identity};
use super::layer::Layer;
use super::layout::Draft;
use super::oci::{self, Documents, Image};
use super::stack::{self, Parts};
use super::tools::Tools;
use super::{archive, base, bom, dockerfile, provenance, zstd};

/// The folder of the image in `dist/`.
pub const IMAGE: &str = "image";
/// The op package of the image's rows in the ledger.
pub const PACKAGE: &str = "image";

/// An image that was written.
pub struct Written {
    /// What it is.
    pub image: Image,
    /// Its texts.
    pub documents: Documents,
    /// Its folder.
    pub place: PathBuf,
}

/// Writes the image of `parts` into the folder `dist`; `outputs` are the ledger's rows of all
/// that `build-ops` made. `test` is given the layers and the blob of the top one, and holds every
/// file against its wheel's RECORD; an image that it refuses never gets its final name.
pub fn write(
    identity: &Identity<'_>,
    parts: &Parts<'_>,
    tools: &Tools<'_>,
    dist: &Path,
    outputs: &[Row],
    test: Option<impl FnOnce(&[Layer<'_>], &Path) -> Result<()>>,
) -> Result<Written> {
    let (lock, draft) = (tools.lock, Draft::begin(dist, IMAGE)?);
    let layers = parts.layers(identity)?;
    let records = if test.is_some() { Records::Trust } else { Records::Check };
    let image = Image {
        platform: lock.platform.clone(),
        epoch: lock.epoch,
        start: identity::start(lock),
        labels: identity.labels(),
        layers: [base::layers(lock), blobs(&draft, tools, &layers, records)?].concat(),
    };
    base::write(lock, tools.store, &draft, &layers)?;
    let documents = image.documents(&identity.tag())?;
    draft.documents(&documents)?;
    context(&draft, &image, lock.base.as_ref())?;
    let artifacts = [outputs, &rows(lock, &image, &documents)].concat();
    draft.json(bom::FILE, &bom::bom(lock, outputs, &documents.manifest.digest))?;
    draft.json(provenance::FILE, &provenance::statement(lock, identity, &artifacts))?;
    if let (Some(test), Some(top)) = (test, image.layers.last()) {
        test(&layers, &draft.blob(&top.blob))?;
    }
    let place = draft.publish()?;
    Ok(Written { image, documents, place })
}

/// The image in the ledger.
pub fn rows(lock: &Lock, image: &Image, documents: &Documents) -> Vec<Row> {
    let row = |file: &str, digest| Row::new(PACKAGE, file, &image.platform, digest);
    let layers = image.layers.iter();
    let layers = layers.map(|layer| row(&stack::row(lock, &layer.name), layer.blob.diff_id));
    layers.chain([row("manifest", documents.manifest.digest)]).collect()
}

/// Writes all blobs, the largest first.
fn blobs(
    draft: &Draft,
    tools: &Tools<'_>,
    layers: &[Layer<'_>],
    records: Records,
) -> Result<Vec<oci::Layer>> {
    let compression = tools.lock.image.compression;
    let blob = |layer: &Layer<'_>| match compression {
        Compression::Gzip => draft.layer(tools.store, layer, records),
        Compression::Zstd => zstd::layer(draft, tools, layer, records),
    };
    let mut order: Vec<_> = layers.iter().collect();
    order.sort_by_key(|layer| std::cmp::Reverse(layer.bytes()));
    let blobs = spread(&order, |layer| Ok((layer.name(), blob(layer)?)))?;
    let blobs: BTreeMap<_, _> = blobs.into_iter().collect();
    let described = layers.iter().map(|layer| {
        let name = layer.name();
        let (about, blob) = (stack::about(tools.lock, name), blobs[name]);
        oci::Layer { name: name.to_owned(), about, blob, compression }
    });
    Ok(described.collect())
}

/// Writes Dockerfile and context.
fn context(draft: &Draft, image: &Image, base: Option<&lock::Base>) -> Result<()> {
    let place = |name: &str| format!("{}/{name}", dockerfile::CONTEXT);
    draft.file(&place("Dockerfile"), dockerfile::render(image, base).as_bytes())?;
    dockerfile::added(image, base).iter().enumerate().try_for_each(|(at, layer)| {
        let name = place(&dockerfile::file_name(at, &layer.name, layer.compression));
        match layer.compression {
            Compression::Gzip => draft.link(&layer.blob, &name),
            Compression::Zstd => Ok(()), // made before the blob, out of it
        }
    })
}

/// Writes the image as one archive to the file `place`.
pub fn archive(
    lock: &Lock,
    identity: &Identity<'_>,
    written: &Written,
    place: &Path,
) -> Result<()> {
    archive::write(written, &name(lock, identity), place)
}

/// What an engine calls the image.
fn name(lock: &Lock, identity: &Identity<'_>) -> String {
    named(lock, &identity.tag())
}

/// What an engine calls the image with this tag: it takes no capitals.
pub fn named(lock: &Lock, tag: &str) -> String {
    format!("{}:{tag}", lock.ops.name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::source::Sources;

    #[test]
    fn an_engine_can_call_the_image_by_its_name() {
        let mut lock = Lock::example();
        lock.ops.name = "MyOps".to_owned();
        let sources = Sources::new();
        let identity = Identity::of(&lock, &sources);
        assert_eq!(name(&lock, &identity), format!("myops:{}", identity.tag()));
    }
}
