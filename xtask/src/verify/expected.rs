//! What should be there.

use std::collections::BTreeMap;

use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::image::base;
use crate::image::identity::{self, Identity};
use crate::image::oci::{self, Blob, Document, Image};
use crate::image::stack;
use crate::ledger::digests::{self, Row};
use crate::ledger::snapshot::{Part, Snapshot};
use crate::lock::Lock;
use crate::workspace::Workspace;

/// The committed ledger of one part; an error when nothing was ever accepted.
pub fn ledger(workspace: &Workspace, part: Part, platform: &str) -> Result<Vec<Row>> {
    let command = if part == Part::Image { "image" } else { "build-ops" };
    let hint = format!("run `cargo xtask {command}` and `cargo xtask accept`");
    let snapshot = Snapshot::of(workspace, part, platform);
    let refuse = |why: String| Error::new(Kind::Ledger, format!("{snapshot}: {why}")).hint(&*hint);
    let text = snapshot.read()?.ok_or_else(|| {
        refuse("it is not committed, so nothing can be compared with it".to_owned())
    })?;
    digests::parse(&text).map_err(refuse)
}

/// The image as lock, sources and ledger have it.
#[derive(Debug)]
pub struct Expected {
    /// Diff id by layer, the lowest first.
    pub layers: Vec<(&'static str, Sha256)>,
    /// The image's name.
    pub manifest: Sha256,
    /// What it is started by.
    pub config: Document,
}

impl Expected {
    /// What `rows` of the ledger, `lock` and `identity` say.
    pub fn of(rows: &[Row], lock: &Lock, identity: &Identity<'_>) -> Result<Self> {
        let rows: BTreeMap<&str, Sha256> =
            rows.iter().map(|row| (&*row.file, row.sha256)).collect();
        let row = |file: &str| {
            let message = format!("the committed ledger of the image has no `{file}`");
            rows.get(file).copied().ok_or_else(|| {
                Error::new(Kind::Ledger, message)
                    .hint("run `cargo xtask image` and `cargo xtask accept`")
            })
        };
        let layers = stack::NAMES.map(|name| Ok((name, row(&stack::row(lock, name))?)));
        let layers = layers.into_iter().collect::<Result<Vec<_>>>()?;
        // A config knows layers by their diff ids alone: their blobs do not matter to it.
        let below = base::layers(lock);
        let described = layers.iter().map(|(name, diff_id)| oci::Layer {
            name: (*name).to_owned(),
            about: stack::about(lock, name),
            blob: Blob { digest: *diff_id, size: 0, diff_id: *diff_id },
            compression: lock.image.compression,
        });
        let image = Image {
            platform: lock.platform.clone(),
            epoch: lock.epoch,
            start: identity::start(lock),
            labels: identity.labels(),
            layers: below.iter().cloned().chain(described).collect(),
        };
        let below = below.iter().map(|layer| ("of the base", layer.blob.diff_id));
        let layers = below.chain(layers.iter().copied()).collect();
        Ok(Expected { manifest: row("manifest")?, config: image.config()?, layers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_without_a_layer_says_the_next_command() {
        let lock = Lock::example();
        let identity = Identity::of(&lock, &BTreeMap::new());
        insta::assert_snapshot!(Expected::of(&[], &lock, &identity).unwrap_err(), @"
        error: the committed ledger of the image has no `layer base`
        hint: run `cargo xtask image` and `cargo xtask accept`
        ");
    }
}
