//! The digest of a layer's tar stream (OCI image configuration v1.1, "Layer DiffID"), and
//! what the files in it are compared with.

use std::io;
use std::path::Path;

use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::root::path::TreePath;

use super::layer::Layer;
use super::press::press;

/// Whether the files of wheels are held against what RECORD says of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// They are, and whatever else has a digest too.
    Check,
    /// Not here: the smoke test does, before the image has its name. What comes from no
    /// wheel is checked all the same.
    Trust,
}

/// The diff id of `layer`.
pub fn id(layer: &Layer<'_>, records: Records) -> Result<Sha256> {
    press(layer, records, io::sink(), Path::new("")).map(|(_, id)| id)
}

pub(super) fn compare(path: &TreePath, expected: &Sha256, found: &Sha256) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    let message = format!("`{path}` in the image: expected sha256 {expected}, found {found}");
    Err(Error::new(Kind::Digest, message)
        .hint("run `cargo xtask fetch`: what is damaged is fetched again"))
}
