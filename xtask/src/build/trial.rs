//! Trying ops against real TensorFlow: runs in the runtime root.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::build::op::{self, OpPackage};
use crate::build::{material, wheel};
use crate::engine::{self, Engine, Log, Mount, Output, Run};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::lock::Lock;
use crate::nearest::nearest;
use crate::store::Store;
use crate::workspace::Workspace;
use crate::{fetch, root};

/// `cargo xtask test-ops`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Op packages (default: all)
    pub packages: Vec<String>,
    /// Where commands run
    #[arg(long, env = engine::VARIABLE, default_value_t, value_enum, value_name = "ENGINE")]
    pub engine: Engine,
}

/// Runs the tests of each chosen op package; the first failure ends it.
pub fn run(workspace: &Workspace, store: &Store, options: &Options, offline: bool) -> Result<()> {
    let engine = options.engine;
    let lock = material::locked(workspace)?;
    let chosen = choose(op::discover(&workspace.ops())?, &options.packages)?;
    let (root, installed) = trees(store, &lock, offline)?;
    let scratch = workspace.scratch();
    let ops_tree = tempfile::tempdir_in(&scratch).at("create a folder in", &scratch)?;
    root::site::install(&[wheel::built(workspace, &lock)?], ops_tree.path(), lock.epoch)?;
    let site = [ops_tree.path().to_owned(), installed];
    let folders = Folders { root: &root, site: &site, ops: &workspace.ops() };
    for package in chosen {
        try_one(engine, &tests(&lock, &folders, &package), &package, workspace)?;
    }
    Ok(())
}

/// The runtime root and the site-packages of all locked wheels, fetched where missing.
pub(super) fn trees(store: &Store, lock: &Lock, offline: bool) -> Result<(PathBuf, PathBuf)> {
    let (all, options) = (fetch::Selection::all(), fetch::Options::from_env(offline));
    fetch::with(lock, store, &all, &options, || {
        Ok((root::runtime::ensure(lock, store)?, root::site::ensure(lock, store)?))
    })
}

fn choose(all: Vec<OpPackage>, names: &[String]) -> Result<Vec<OpPackage>> {
    if names.is_empty() {
        return Ok(all);
    }
    names.iter().map(|name| find(&all, name)).collect()
}

fn find(all: &[OpPackage], name: &str) -> Result<OpPackage> {
    all.iter().find(|package| package.name() == name).cloned().ok_or_else(|| {
        let known = all.iter().map(OpPackage::name);
        let error = Error::new(Kind::Pins, format!("no op package `{name}` in ops/"));
        match nearest(name, known.clone()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => {
                error.hint(format!("these are there: {}", known.collect::<Vec<_>>().join(", ")))
            }
        }
    })
}

fn try_one(engine: Engine, run: &Run, package: &OpPackage, workspace: &Workspace) -> Result<()> {
    let log = workspace.scratch().join(format!("log/test-{}.log", package.name()));
    let outcome = engine.run(run, Output::Log(Log { echo: true, ..Log::at(&log) }))?;
    if outcome.success() {
        println!("{}: its tests pass", package.name());
        return Ok(());
    }
    Err(Error::new(
        Kind::Tool,
        format!("the tests of op package `{}` fail ({outcome})", package.name()),
    )
    .hint(format!("the whole log is `{}`", log.display())))
}

/// The one site-packages of the runtime root. Debian's Python looks here without being told.
pub fn site_packages(lock: &Lock) -> String {
    format!("/{}", root::runtime::dist_packages(&lock.python))
}

/// The environment of everything that runs in the runtime root.
pub fn environment(lock: &Lock) -> BTreeMap<String, String> {
    let site = site_packages(lock);
    [
        ("HOME", "/tmp"),
        ("LC_ALL", "C.UTF-8"),
        ("PATH", "/usr/bin"),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONHASHSEED", "0"),
        ("PYTHONNOUSERSITE", "1"),
        ("PYTHONPATH", &site),
        ("PYTHONUNBUFFERED", "1"),
        ("TF_CPP_MIN_LOG_LEVEL", "2"),
        ("TZ", "UTC"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// The host folders behind the runtime root's mounts.
#[derive(Clone, Copy, Debug)]
pub struct Folders<'a> {
    /// Runtime root.
    pub root: &'a Path,
    /// The installed wheels, the ops wheel's tree first.
    pub site: &'a [PathBuf],
    /// `ops/` of the workspace.
    pub ops: &'a Path,
}

/// A run of `argv` in the runtime root.
pub fn in_runtime(lock: &Lock, folders: &Folders<'_>, argv: &[&str]) -> Run {
    let mounts = vec![
        Mount::Overlay { sources: folders.site.to_vec(), target: site_packages(lock) },
        Mount::ReadOnly { source: folders.ops.to_owned(), target: "/work/ops".to_owned() },
    ];
    Run {
        root: folders.root.to_owned(),
        mounts,
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        env: environment(lock),
        cwd: "/tmp".to_owned(),
    }
}

/// The run of one op package's own tests.
pub fn tests(lock: &Lock, folders: &Folders<'_>, package: &OpPackage) -> Run {
    let start = format!("/work/ops/{}/tests", package.name());
    let argv = [
        "/usr/bin/python3",
        "-W",
        "error::DeprecationWarning:__main__",
        "-m",
        "unittest",
        "discover",
        "-v",
        "-s",
        &start,
    ];
    in_runtime(lock, folders, &argv)
}
