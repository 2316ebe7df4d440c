//! The vault: everything that TensorFlow's build asks a network for, gathered while there is
//! one. The build runs as always, without a network, and the gateway notes what it asks for.

use std::path::PathBuf;

use crate::error::Result;
use crate::fetch::{self, Learner};
use crate::lock::{External, Lock, Source};
use crate::root;
use crate::store::{Store, remove};
use crate::workspace::Workspace;

use super::bazel::Bazel;
use super::machine::Machine;
use super::plan::{Folders, Step};
use super::shelf::Shelf;
use super::{checkout, vault_key};

/// Where the work of a build is kept: of one commit, one Bazel, one set of flags.
pub fn out_folder(workspace: &Workspace, lock: &Lock, source: &Source) -> PathBuf {
    workspace.scratch().join("source").join(vault_key(lock, source).short())
}

/// What the build behind `lock` asks for; all of it is in the store afterwards.
pub fn externals(
    workspace: &Workspace,
    store: &Store,
    lock: &Lock,
    source: &Source,
    options: &fetch::Options,
) -> Result<Vec<External>> {
    let learner = Learner::new(lock, options)?;
    let checkout = checkout::ensure(lock, source, store, options.offline)?;
    checkout::check_bazel(&checkout, lock)?;
    let builder = fetch::Selection { externals: false, ..fetch::Selection::source() };
    fetch::ensure(lock, store, &builder, options)?;
    let root = root::builder::ensure(lock, store)?;
    let out = out_folder(workspace, lock, source).with_extension("gather");
    remove(&out)?; // what another run left is no proof of what a build asks for
    let folders = Folders { root: &root, checkout: &checkout, out: &out };
    eprintln!("what TensorFlow's build asks for is gathered");
    let bazel = Bazel { workspace, lock, source, folders, machine: Machine::here()? };
    let gateway = bazel.run(Step::Gather, Shelf::recording(store, learner))?;
    let externals = gateway.shelf().externals();
    remove(&out)?;
    Ok(externals)
}
