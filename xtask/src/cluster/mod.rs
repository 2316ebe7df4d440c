//! The tasks that run the one image.
//!
//! [`scripts`] are what they run besides the image. [`task`] lists them and writes the `TF_CONFIG` of each; an image has no part in that: its
//! digest is the ledger's, for every role. [`render`] writes the files that start them elsewhere,
//! [`lint`] judges those of other people, [`smoke`] starts them all on this machine,
//! [`verify`] looks at those that run.

pub mod command;
pub mod lint;
pub mod render;
pub mod scripts;
pub mod smoke;
pub mod task;
pub mod verify;

use crate::error::{Error, Kind, Result};
use crate::pins::cluster::Cluster;
use crate::workspace::Workspace;

/// `[cluster]` of the workspace.
pub fn load(workspace: &Workspace) -> Result<Cluster> {
    crate::pins::load(&workspace.pins())?.cluster.ok_or_else(|| {
        Error::new(Kind::Pins, "workspace.toml has no `[cluster]`: which tasks are there is not pinned")
            .hint("add `[cluster]` with `name`, `image`, `strategy`, `port`, `command` and a table a role")
    })
}
