//! `cargo xtask image`: from the ledger's outputs to the one image.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::lock::Lock;
use crate::root::work::spread;
use crate::store::Store;

use super::identity::{self, Identity};
use super::layer::Layer;
use super::layout::{Draft, OCI};
use super::oci::{self, Documents, Image};
use super::stack::{self, Parts};
use super::{archive, dockerfile};

/// The folder of the image in `dist/`.
pub const IMAGE: &str = "image";

/// An image that was written.
pub struct Written {
    /// What it is.
    pub image: Image,
    /// Its texts.
    pub documents: Documents,
    /// Its folder.
    pub place: PathBuf,
}

/// Writes the image of `parts` into the folder `dist`. `test` is given the layers and the
/// blob of the top one; an image that it refuses never gets its final name.
pub fn write(
    lock: &Lock,
    identity: &Identity<'_>,
    parts: &Parts<'_>,
    store: &Store,
    dist: &Path,
    test: impl FnOnce(&[Layer<'_>], &Path) -> Result<()>,
) -> Result<Written> {
    let draft = Draft::begin(dist, IMAGE)?;
    let layers = parts.layers(identity)?;
    let image = Image {
        platform: lock.platform.clone(),
        epoch: lock.epoch,
        start: identity::start(lock),
        labels: identity.labels(),
        layers: blobs(&draft, store, &layers, lock)?,
    };
    let documents = image.documents(&identity.tag())?;
    draft.documents(&documents)?;
    context(&draft, &image)?;
    if let Some(top) = image.layers.last() {
        test(&layers, &draft.blob(&top.blob))?;
    }
    let place = draft.publish()?;
    Ok(Written { image, documents, place })
}

/// Writes all blobs, the largest first.
fn blobs(
    draft: &Draft,
    store: &Store,
    layers: &[Layer<'_>],
    lock: &Lock,
) -> Result<Vec<oci::Layer>> {
    let mut order: Vec<_> = layers.iter().collect();
    order.sort_by_key(|layer| std::cmp::Reverse(layer.bytes()));
    let blobs = spread(&order, |layer| Ok((layer.name(), draft.layer(store, layer)?)))?;
    let blobs: BTreeMap<_, _> = blobs.into_iter().collect();
    let described = layers.iter().map(|layer| {
        let name = layer.name();
        oci::Layer { name: name.to_owned(), about: stack::about(lock, name), blob: blobs[name] }
    });
    Ok(described.collect())
}

/// Writes Dockerfile and context.
fn context(draft: &Draft, image: &Image) -> Result<()> {
    let place = |name: &str| format!("{}/{name}", dockerfile::CONTEXT);
    draft.file(&place("Dockerfile"), dockerfile::render(image).as_bytes())?;
    image.layers.iter().enumerate().try_for_each(|(at, layer)| {
        draft.link(&layer.blob, &place(&dockerfile::file_name(at, &layer.name)))
    })
}

/// Writes the image as one archive to the file `place`.
pub fn archive(
    lock: &Lock,
    identity: &Identity<'_>,
    written: &Written,
    place: &Path,
) -> Result<()> {
    let name = format!("{}:{}", lock.ops.name, identity.tag());
    archive::write(&written.image, &written.documents, name, &written.place.join(OCI), place)
}
