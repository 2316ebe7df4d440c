//! Where victims work: a small copy of the checkout, a store of its own.

use std::fs;
use std::path::Path;

use super::{Stage, victim};
use crate::digest::Sha256;
use crate::error::{IoContext as _, Result};
use crate::lock::Lock;
use crate::store::{self, Store};
use crate::workspace::Workspace;

/// A checkout and a store that may be ruined.
pub struct Place {
    /// What is tried here.
    pub stage: Stage,
    /// The checkout.
    pub workspace: Workspace,
    /// The store.
    pub store: Store,
    /// The two things that victims write, by turns.
    inputs: [Vec<u8>; 2],
}

impl Place {
    /// A place for `stage` in `folder`. Objects that it needs are links to those of `real`: nothing is
    /// fetched.
    pub fn make(folder: &Path, stage: Stage, original: &Workspace, real: &Store) -> Result<Self> {
        let workspace = Workspace::at(folder.join("checkout"));
        let store = Store::at(folder.join("store"));
        for name in ["workspace.toml", "workspace.lock", "ops", "toolchains", "tests/snapshots"] {
            copy(&original.root().join(name), &workspace.root().join(name))?;
        }
        // A build makes it long before it records anything.
        fs::create_dir_all(workspace.scratch()).at("create", &workspace.scratch())?;
        let lock = Lock::load(&workspace.lock())?;
        if stage == Stage::Tree {
            link_objects(&lock, real, &store)?;
        }
        Ok(Place { stage, workspace, store, inputs: inputs(stage, &lock) })
    }

    /// Sets what the next victim writes.
    pub fn ask_for(&self, version: usize) -> Result<()> {
        let path = victim::input(&self.workspace);
        fs::write(&path, &self.inputs[version]).at("write", &path)
    }

    /// Takes away what the stage made.
    pub fn empty(&self) -> Result<()> {
        let made = match self.stage {
            Stage::Object => "objects",
            Stage::Tree => "trees",
            _ => return Ok(()),
        };
        store::remove(&self.store.root().join(made))
    }
}

fn inputs(stage: Stage, lock: &Lock) -> [Vec<u8>; 2] {
    match stage {
        Stage::Lock => [0, 1].map(|more| {
            let epoch = lock.epoch + more;
            Lock { epoch, ..lock.clone() }.render().into_bytes()
        }),
        Stage::Object => [0, 1].map(|version| Sha256::of(&[version]).bytes().repeat(32 << 10)),
        _ => ["1", "2"].map(|word| word.as_bytes().to_vec()),
    }
}

fn link_objects(lock: &Lock, real: &Store, store: &Store) -> Result<()> {
    for package in victim::recipe(lock).packages {
        let from = real.verified(&package.sha256, &package.name)?;
        let to = store.object(&package.sha256);
        let folder = to.parent().unwrap_or(&to);
        fs::create_dir_all(folder).at("create", folder)?;
        // On another file system there are no links.
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).at("link", &to)?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let kind = from.symlink_metadata().at("read", from)?.file_type();
    if kind.is_file() {
        let folder = to.parent().unwrap_or(to);
        fs::create_dir_all(folder).at("create", folder)?;
        return fs::copy(from, to).map(drop).at("copy", from);
    }
    if kind.is_dir() {
        for item in fs::read_dir(from).at("read", from)? {
            let name = item.at("read", from)?.file_name();
            // A proposal of the real checkout is not this one's.
            if !name.to_string_lossy().ends_with(".new") {
                copy(&from.join(&name), &to.join(&name))?;
            }
        }
    }
    Ok(())
}
