//! Where things are in a checkout.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

/// A checkout of the workspace: the folder that holds `workspace.toml`.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace at `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Workspace { root: root.into() }
    }

    /// Finds the workspace from `start` upwards.
    pub fn find(start: &Path) -> Result<Self> {
        let found = start.ancestors().find(|folder| folder.join("workspace.toml").is_file());
        found.map(Workspace::at).ok_or_else(|| {
            Error::new(
                Kind::Pins,
                format!("no workspace.toml in `{}` or a folder above it", start.display()),
            )
            .hint("run it inside a Lockstep checkout, or name one with `--workspace DIR`")
        })
    }

    /// The checkout's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `workspace.toml`: what a person pins.
    pub fn pins(&self) -> PathBuf {
        self.root.join("workspace.toml")
    }

    /// `workspace.lock`: every pin resolved.
    pub fn lock(&self) -> PathBuf {
        self.root.join("workspace.lock")
    }

    /// `ops/`: the Bazel root, a folder an op package.
    pub fn ops(&self) -> PathBuf {
        self.root.join("ops")
    }

    /// `toolchains/`.
    pub fn toolchains(&self) -> PathBuf {
        self.root.join("toolchains")
    }

    /// `tests/snapshots/`: the committed ledger is here.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("tests/snapshots")
    }

    /// `dist/`: what came out.
    pub fn dist(&self) -> PathBuf {
        self.root.join("dist")
    }

    /// `target/lockstep/`: this checkout's logs, stamps and Bazel output.
    pub fn scratch(&self) -> PathBuf {
        self.root.join("target/lockstep")
    }
}
