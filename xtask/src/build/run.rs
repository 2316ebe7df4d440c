//! `cargo xtask build-ops`: from the lock to verified ops in `dist/`.

use std::fs;
use std::path::Path;

use crate::abi::{self, Facts, Surface};
use crate::build::bazel::{self, Folders};
use crate::build::compile::{self, Built};
use crate::build::material::{self, Prepared, Trees};
use crate::build::{finished, output, source, wheel};
use crate::digest::Sha256;
use crate::engine::{self, Engine, Log, Output};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::ledger::{Ledger, Proposals, Row};
use crate::lock::Lock;
use crate::root;
use crate::store::{Hold, Store};
use crate::workspace::Workspace;

/// What a person may choose.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Print what would run, and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Where commands run
    #[arg(long, env = engine::VARIABLE, default_value_t, value_enum, value_name = "ENGINE")]
    pub engine: Engine,
    /// Lays a folder over the builder root's /etc: `check` makes programs see another clock
    #[arg(long, hide = true, value_name = "DIR")]
    pub etc: Option<std::path::PathBuf>,
}

/// Builds every op package, compares with the committed ledger and returns, for people, what
/// came of it.
pub fn run(
    workspace: &Workspace,
    store: &Store,
    options: &Options,
    offline: bool,
) -> Result<String> {
    if !options.dry_run
        && let Some(finished) = finished::unchanged(workspace)
    {
        return Ok(format!("nothing changed: {}", finished.summary));
    }
    let engine = options.engine;
    let prepared = material::prepare(workspace)?;
    let _hold = one_build_at_a_time(workspace)?;
    let trees = material::trees(workspace, store, &prepared, offline)?;
    let out = material::out_folder(workspace, &trees)?;
    let (ops, toolchains) = (workspace.ops(), workspace.toolchains());
    let folders = Folders {
        root: &trees.builder,
        ops: &ops,
        toolchains: &toolchains,
        tensorflow: &trees.tensorflow,
        out: &out,
        etc: options.etc.as_deref(),
    };
    if options.dry_run {
        return engine.render(&bazel::build(&prepared.lock, &folders));
    }
    finished::forget(workspace)?;
    compile::check_version(engine, workspace, &prepared.lock, &folders)?;
    let built = compile::build(engine, workspace, &prepared.lock, &prepared.packages, &folders)?;
    let facts = abi::gate(&built.libraries, &trees.framework(), &trees.runtime)?;
    let surfaces = surfaces(engine, workspace, &prepared.lock, &folders, &built, facts)?;
    not_tensorflows(&surfaces, &trees)?;
    publish(workspace, &prepared, &built, surfaces)
}

/// Two builds of one checkout share Bazel's output and `dist/`: the second waits.
pub(super) fn one_build_at_a_time(workspace: &Workspace) -> Result<Hold> {
    let scratch = workspace.scratch();
    fs::create_dir_all(&scratch).at("create", &scratch)?;
    Hold::take(&scratch.join("build.lock"), "the build of this checkout")
}

/// What the libraries register, as the probe sees it: each is loaded as TensorFlow would.
fn surfaces(
    engine: Engine,
    workspace: &Workspace,
    lock: &Lock,
    folders: &Folders<'_>,
    built: &Built,
    facts: Vec<Facts>,
) -> Result<Vec<Surface>> {
    let inside = |path: &Path| {
        let relative = path.strip_prefix(folders.out).unwrap_or(path);
        format!("{}/{}", bazel::OUT, relative.display())
    };
    let libraries = built.libraries.iter().map(|library| inside(&library.path));
    let argv: Vec<String> = std::iter::once(inside(&built.probe)).chain(libraries).collect();
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let log = workspace.scratch().join("log/surface.log");
    let outcome =
        engine.run(&bazel::in_builder(lock, folders, &argv), Output::Log(Log::at(&log)))?;
    let said = fs::read_to_string(&log).at("read", &log)?;
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with('{')).collect();
    let surfaces = Surface::join(&lines.join("\n"), facts)?;
    if outcome.success() {
        return Ok(surfaces);
    }
    Err(Error::new(Kind::Tool, format!("the surface probe failed ({outcome})"))
        .hint(format!("the whole log is `{}`", log.display())))
}

fn not_tensorflows(surfaces: &[Surface], trees: &Trees) -> Result<()> {
    let known = root::tensorflow::ops_of(&trees.tensorflow)?;
    let ops = surfaces
        .iter()
        .flat_map(|surface| surface.op_names().map(|op| (surface.facts.package.as_str(), op)));
    output::not_tensorflows(ops, &known)
}

/// The row of a TensorFlow that was built here; a locked wheel's digest is in the lock.
fn tensorflow(lock: &Lock) -> Option<Row> {
    let wheel = lock.source.as_ref().and_then(|_| lock.tensorflow_wheel())?;
    Some(Row::new("tensorflow", &wheel.file, &lock.platform, wheel.sha256))
}

/// Writes `dist/`, compares with the committed ledger, and records the build.
fn publish(
    workspace: &Workspace,
    prepared: &Prepared,
    built: &Built,
    surfaces: Vec<Surface>,
) -> Result<String> {
    let lock = &prepared.lock;
    output::distinct(&built.libraries)?;
    let libraries = output::read_libraries(&built.libraries, &surfaces)?;
    let glibc = output::glibc_floor(&surfaces);
    let members = output::members(workspace, &prepared.packages, &libraries)?;
    let (file, bytes) = (wheel::file_name(lock, glibc), wheel::write(lock, glibc, members)?);
    let mut rows: Vec<Row> =
        surfaces.iter().flat_map(|s| Row::of_library(&s.facts, &lock.platform)).collect();
    rows.push(Row::new(crate::ledger::digests::ALL, &file, &lock.platform, Sha256::of(&bytes)));
    rows.extend(tensorflow(lock));
    let ledger = Ledger { platform: lock.platform.clone(), rows, surfaces };
    let mut outputs = output::publish(workspace, lock, &libraries, &file, &bytes)?;
    ledger.write(workspace)?;
    outputs.push("dist/ledger.json".to_owned());
    let report = ledger.check(workspace, Proposals::from_env(|name| std::env::var_os(name)))?;
    let id = source::workspace_id(&lock.digest(), &prepared.sources);
    let summary = format!("{report}, workspace id {}", id.short());
    finished::record(workspace, &prepared.sources, &outputs, &summary)?;
    Ok(summary)
}
