//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::Result;
use crate::ledger::Proposals;
use crate::ledger::accept::accept;
use crate::workspace::Workspace;

/// Reproducible builds of TensorFlow custom ops: one workspace.toml in, the same bits out.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
pub struct Cli {
    /// Workspace folder (default: the one that holds the current directory)
    #[arg(long, global = true, value_name = "DIR")]
    pub workspace: Option<std::path::PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, in the order of the pipeline.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Resolve the pins of workspace.toml to workspace.lock
    Update(crate::update::Options),
    /// Take what the last build-ops proposed as the committed ledger
    Accept,
    /// Print where the workspace is
    Root,
}

/// Runs the parsed command line.
pub fn run(cli: Cli) -> Result<ExitCode> {
    let start = match cli.workspace {
        Some(folder) => folder,
        None => std::env::current_dir()
            .map_err(|cause| crate::error::Error::io("find", std::path::Path::new("."), &cause))?,
    };
    let workspace = Workspace::find(&start)?;
    match cli.command {
        Command::Update(options) => crate::update::run(&workspace, &store()?, options)?,
        Command::Accept => {
            let proposals = Proposals::from_env(|name| std::env::var_os(name));
            print!("{}", accept(&workspace, proposals)?);
        }
        Command::Root => println!("{}", workspace.root().display()),
    }
    Ok(ExitCode::SUCCESS)
}

fn store() -> Result<crate::store::Store> {
    crate::store::Store::from_env(|name| std::env::var_os(name))
}
