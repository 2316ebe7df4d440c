//! Running commands inside a root: a [`Run`] is plain data, an engine carries it out.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Everything about one run in a root; nothing is inherited from the host.
///
/// Fixed by the engine, whatever the host has: user and group id 1000 (no capabilities),
/// host name `lockstep`, no network but an own loopback, umask 022, an own `/proc`, `/dev`,
/// tmpfs `/tmp` and `/run`, closed file descriptors, default signal handlers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Run {
    /// The root file system, mounted read-only at `/`.
    pub root: PathBuf,
    /// Mounts on top of it, in order; each target exists in the root or in an earlier mount.
    pub mounts: Vec<Mount>,
    /// Program (absolute inside the root) and its arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Working directory inside the root.
    pub cwd: String,
}

/// A mount of a [`Run`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mount {
    /// A host folder or file, read-only.
    ReadOnly {
        /// On the host.
        source: PathBuf,
        /// Inside the root.
        target: String,
    },
    /// A host folder that the run may write.
    ReadWrite {
        /// On the host.
        source: PathBuf,
        /// Inside the root.
        target: String,
    },
    /// Several host folders seen as one, read-only; earlier ones win.
    Overlay {
        /// On the host, top first.
        sources: Vec<PathBuf>,
        /// Inside the root.
        target: String,
    },
}
