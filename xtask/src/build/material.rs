//! What the build stands on: the lock, the sources, the trees.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::build::check;
use crate::build::op::{self, OpPackage};
use crate::build::source::{self, Sources};
use crate::build::stamp::Stamps;
use crate::digest::Key;
use crate::error::{IoContext as _, Result};
use crate::lock::Lock;
use crate::store::Store;
use crate::workspace::Workspace;
use crate::{fetch, pins, root};

/// Everything that is known before anything is fetched.
pub struct Prepared {
    /// The lock, as its pins ask.
    pub lock: Lock,
    /// Digest of every source.
    pub sources: Sources,
    /// The op packages, sorted.
    pub packages: Vec<OpPackage>,
}

/// The trees that the build stands on.
pub struct Trees {
    /// Compiler, Bazel, Python.
    pub builder: PathBuf,
    /// Python, nothing else.
    pub runtime: PathBuf,
    /// `@org_tensorflow`.
    pub tensorflow: PathBuf,
}

impl Trees {
    /// TensorFlow's framework library, the one that ops link.
    pub fn framework(&self) -> PathBuf {
        self.tensorflow.join("lib/libtensorflow_framework.so.2")
    }
}

/// The lock, checked against its pins: no command works from a stale one.
pub fn checked(workspace: &Workspace) -> Result<Lock> {
    let lock = Lock::load(&workspace.lock())?;
    lock.check_pins(&pins::load(&workspace.pins())?)?;
    Ok(lock)
}

/// [`checked`], with the wheel of the lane `source`, which is in the user's store, among its
/// wheels.
pub fn locked(workspace: &Workspace) -> Result<Lock> {
    let lock = checked(workspace)?;
    match &lock.source {
        None => Ok(lock),
        Some(_) => crate::source::complete(lock, &Store::from_env(|name| std::env::var_os(name))?),
    }
}

/// Parses and checks everything that needs neither store nor network.
pub fn prepare(workspace: &Workspace) -> Result<Prepared> {
    let lock = locked(workspace)?;
    let sources = source::collect(workspace, &Stamps::default(), &mut Stamps::default())?;
    let packages = op::discover(&workspace.ops())?;
    check::labels(workspace, &packages)?;
    Ok(Prepared { lock, sources, packages })
}

/// Fetches what is missing and assembles the roots and the TensorFlow repository, whose headers
/// are all that an op may include.
pub fn trees(
    workspace: &Workspace,
    store: &Store,
    prepared: &Prepared,
    offline: bool,
) -> Result<Trees> {
    let trees = assemble(workspace, store, &prepared.lock, offline)?;
    let sources = cpp(workspace, &prepared.sources)?;
    root::tensorflow::check_includes(&trees.tensorflow, &sources)?;
    Ok(trees)
}

/// The trees of `lock`, whatever is in the sources.
pub fn assemble(workspace: &Workspace, store: &Store, lock: &Lock, offline: bool) -> Result<Trees> {
    let (selection, options) = (fetch::Selection::build(), fetch::Options::from_env(offline));
    fetch::with(lock, store, &selection, &options, || {
        Ok(Trees {
            tensorflow: root::tensorflow::ensure(lock, store, &workspace.toolchains())?,
            builder: root::builder::ensure(lock, store)?,
            runtime: root::runtime::ensure(lock, store)?,
        })
    })
}

/// The C++ files among the sources of all op packages, with their bytes.
fn cpp(workspace: &Workspace, sources: &Sources) -> Result<BTreeMap<String, Vec<u8>>> {
    const SUFFIXES: [&str; 7] = [".cc", ".cpp", ".cxx", ".h", ".hh", ".hpp", ".inc"];
    let names = sources.keys().filter(|name| name.starts_with("ops/"));
    let names = names.filter(|name| SUFFIXES.iter().any(|suffix| name.ends_with(suffix)));
    let read = |name: &String| {
        let path = workspace.root().join(name);
        Ok((name.clone(), fs::read(&path).at("read", &path)?))
    };
    names.map(read).collect()
}

/// Bazel's output folder on the host. Bazel does not see the compiler behind the root, so
/// the folder belongs to one builder root and one TensorFlow repository; others are removed.
pub fn out_folder(workspace: &Workspace, trees: &Trees) -> Result<PathBuf> {
    let name = |tree: &Path| tree.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let key = Key::new("bazel output 1")
        .field("builder", name(&trees.builder))
        .field("tensorflow", name(&trees.tensorflow))
        .finish();
    let all = workspace.scratch().join("bazel");
    let out = all.join(key.short());
    fs::create_dir_all(&out).at("create", &out)?;
    for entry in fs::read_dir(&all).at("list", &all)? {
        let other = entry.at("list", &all)?.path();
        if other != out {
            fs::remove_dir_all(&other).at("remove", &other)?;
        }
    }
    Ok(out)
}
