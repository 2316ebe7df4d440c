//! The command line.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::digest::Sha256;
use crate::error::Result;
use crate::fetch::{self, Options, Selection};
use crate::ledger::Proposals;
use crate::ledger::accept::accept;
use crate::lock::Lock;
use crate::progress::bytes;
use crate::store::Store;
use crate::workspace::Workspace;

/// Reproducible builds of TensorFlow custom ops: one workspace.toml in, the same bits out.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
pub struct Cli {
    /// Workspace folder (default: the one that holds the current directory)
    #[arg(long, global = true, value_name = "DIR")]
    pub workspace: Option<std::path::PathBuf>,
    /// Touch no network: what is missing from the store is an error
    #[arg(long, global = true)]
    pub offline: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, in the order of the pipeline.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Resolve the pins of workspace.toml to workspace.lock
    Update(crate::update::Options),
    /// Download all that workspace.lock names into the store
    Fetch,
    /// Build every op package with Bazel and compare with the committed ledger
    BuildOps(crate::build::run::Options),
    /// Build TensorFlow itself from its pinned revision (lane `source`)
    BuildTf(crate::source::build::Options),
    /// Export or import what the build of TensorFlow asks a network for
    #[command(subcommand)]
    Vault(crate::source::vault::Command),
    /// Say whether two TensorFlow wheels are equal, equal but for timestamps, or differ
    CompareWheels(crate::source::compare::Options),
    /// Write the one image as OCI layout and Dockerfile, and compare with the committed ledger
    Image(crate::image::command::Options),
    /// Write one archive for machines without containers: ops, hash-locked requirements, check
    Bundle(crate::image::bundle::Options),
    /// Compare an image, an unpacked one, or an ops wheel with workspace.lock and the ledger
    Verify(crate::verify::command::Options),
    /// Start the one image as every task: write files for schedulers, look at others' files
    #[command(subcommand)]
    Cluster(crate::cluster::command::Command),
    /// Say what a log means: cause, layer, fix, and the command that proves it
    Explain(crate::explain::Options),
    /// Look at this machine: can it build, can it train?
    Doctor(crate::doctor::Options),
    /// Take what the last build-ops or image proposed as the committed ledger
    Accept,
    /// Run op packages' own tests in the runtime root, against real TensorFlow
    TestOps(crate::build::trial::Options),
    /// Open the builder root or the runtime root and look around
    Shell(crate::build::shell::Options),
    /// Make an op package that builds, loads and passes its test at once
    NewOp {
        /// Lower-case letters, digits and `_`: Bazel package and Python package at once
        name: String,
    },
    /// Look after the store of downloads and trees
    #[command(subcommand)]
    Store(StoreCommand),
    /// Build from scratch under different conditions, compare, and explain what differs
    Check(crate::check::Options),
    /// Measure our speed as ratios to what cannot be avoided
    Bench(crate::bench::Options),
    /// Run everything that CI runs: format, lints, the real build, all tests
    Ci,
    /// Kill what writes, at random times and at each system call, and look at what is left
    Faults(crate::faults::Options),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// What can be done with the store.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Print where the store is
    Path,
    /// Read everything and set aside what is damaged
    Verify,
    /// Remove what workspace.lock does not name
    Gc {
        /// Keep what the lock of this workspace names, too
        #[arg(long, value_name = "DIR")]
        also: Vec<std::path::PathBuf>,
        /// Remove all trees, too, and Docker's images of roots: they are made again when needed
        #[arg(long)]
        trees: bool,
    },
}

/// The workspace that is named, or that holds the current directory.
fn workspace(named: Option<std::path::PathBuf>) -> Result<Workspace> {
    let here = || {
        std::env::current_dir()
            .map_err(|cause| crate::error::Error::io("find", std::path::Path::new("."), &cause))
    };
    Workspace::find(&named.map_or_else(here, Ok)?)
}

/// Runs the parsed command line.
pub fn run(cli: Cli) -> Result<ExitCode> {
    let workspace = workspace(cli.workspace)?;
    match cli.command {
        Command::Update(options) => {
            crate::update::run(&workspace, &store()?, cli.offline, &options)?
        }
        Command::Fetch => fetch_all(&workspace, &Options::from_env(cli.offline))?,
        Command::Store(command) => tend(&workspace, &command)?,
        Command::Image(options) => {
            crate::image::command::image(&workspace, &store()?, &options, cli.offline)?
        }
        Command::Bundle(options) => {
            crate::image::bundle::bundle(&workspace, &store()?, &options, cli.offline)?
        }
        Command::Verify(options) => {
            return crate::verify::command::verify(&workspace, &store()?, &options, cli.offline);
        }
        Command::Cluster(command) => return crate::cluster::command::run(&workspace, &command),
        Command::Explain(options) => return crate::explain::run(&options),
        Command::Doctor(options) => return crate::doctor::run(&workspace, &options, cli.offline),
        Command::Accept => {
            let proposals = Proposals::from_env(|name| std::env::var_os(name));
            print!("{}", accept(&workspace, proposals)?);
        }
        Command::BuildOps(options) => {
            println!("{}", crate::build::run::run(&workspace, &store()?, &options, cli.offline)?);
        }
        Command::BuildTf(options) => {
            let lock = crate::build::material::checked(&workspace)?;
            crate::source::build::run(&workspace, &store()?, &lock, &options, cli.offline)?
        }
        Command::Vault(command) => {
            let lock = crate::build::material::checked(&workspace)?;
            crate::source::vault::run(&lock, &store()?, &command)?
        }
        Command::CompareWheels(options) => return crate::source::compare::run(&options),
        Command::TestOps(options) => {
            crate::build::trial::run(&workspace, &store()?, &options, cli.offline)?
        }
        Command::Shell(options) => {
            return crate::build::shell::run(&workspace, &store()?, &options, cli.offline);
        }
        Command::NewOp { name } => crate::build::new_op::run(&workspace, &name)?,
        Command::Completions { shell } => completions(shell),
        Command::Faults(options) => crate::faults::run(&workspace, &store()?, &options)?,
        Command::Check(options) => crate::check::run(&workspace, &store()?, &options, cli.offline)?,
        Command::Bench(options) => crate::bench::run(&workspace, &store()?, &options, cli.offline)?,
        Command::Ci => crate::ci::run(&workspace, &store()?, cli.offline)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn completions(shell: clap_complete::Shell) {
    clap_complete::generate(shell, &mut Cli::command(), "cargo-xtask", &mut std::io::stdout());
}

fn fetch_all(workspace: &Workspace, options: &Options) -> Result<()> {
    let (lock, store) = (crate::build::material::checked(workspace)?, store()?);
    fetch::ensure(&lock, &store, &Selection::all(), options)?;
    lock.base.iter().try_for_each(|base| fetch::base::ensure(base, &store, options))?;
    let files = fetch::plan(&lock, &Selection::all())?;
    let size = files.iter().map(|file| file.size).sum();
    println!("all {} files of workspace.lock are in the store ({})", files.len(), bytes(size));
    Ok(())
}

fn tend(workspace: &Workspace, command: &StoreCommand) -> Result<()> {
    let store = store()?;
    match command {
        StoreCommand::Path => println!("{}", store.root().display()),
        StoreCommand::Verify => {
            let sound = store.verify()?;
            println!("{} objects and {} trees are sound", sound.objects, sound.trees);
        }
        StoreCommand::Gc { also, trees } => {
            let others = also.iter().map(|folder| Workspace::at(folder.as_path()));
            let all: Vec<_> = std::iter::once(workspace.clone()).chain(others).collect();
            let freed = store.collect(|| needed(&all, &store), *trees)?;
            if *trees {
                forget_images();
            }
            println!("removed {} items, {}", freed.items, bytes(freed.bytes));
        }
    }
    Ok(())
}

/// All that the locks of `workspaces` name, and what was built by them.
fn needed(workspaces: &[Workspace], store: &Store) -> Result<BTreeSet<Sha256>> {
    let mut needed = BTreeSet::new();
    for workspace in workspaces {
        let lock = Lock::load(&workspace.lock())?;
        if let Some(source) = &lock.source {
            let built = crate::source::Built::recorded(&lock, source, store)?;
            needed.extend(built.map(|wheel| wheel.sha256));
        }
        let base = lock.base.iter().flat_map(|base| &base.layers);
        needed.extend(base.map(|layer| layer.sha256));
        needed.extend(fetch::plan(&lock, &Selection::all())?.iter().map(|file| file.sha256));
    }
    Ok(needed)
}

/// Images of roots are trees, too, in an engine's own keeping; an engine that is not to be had
/// keeps what it has.
fn forget_images() {
    use crate::engine::{self, Engine};
    for engine in Engine::ALL.into_iter().filter(|engine| engine::available(*engine).is_ok()) {
        if let Err(error) = engine::forget(engine) {
            eprintln!("note: {}", error.message());
        }
    }
}

fn store() -> Result<crate::store::Store> {
    crate::store::Store::from_env(|name| std::env::var_os(name))
}
