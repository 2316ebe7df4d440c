//! `cargo xtask cluster …`.

use std::process::ExitCode;

use crate::error::Result;
use crate::store::Store;
use crate::workspace::Workspace;

use super::{lint, render, smoke, verify};

/// What can be done with the tasks that run the image.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Write files that start every task from the ledger's one image
    Render(render::command::Options),
    /// Start every task on this machine, from the image in dist/, and train for real
    Smoke(smoke::Options),
    /// Judge cluster files of anybody: images, TF_CONFIG, roles, ports, search paths
    Lint(lint::command::Options),
    /// Compare the tasks that run with the image that was accepted
    Verify(verify::command::Options),
}

/// Carries it out.
pub fn run(workspace: &Workspace, command: &Command) -> Result<ExitCode> {
    match command {
        Command::Render(options) => render::command::run(workspace, options)?,
        Command::Smoke(options) => {
            smoke::run(workspace, &Store::from_env(|name| std::env::var_os(name))?, options)?;
        }
        Command::Lint(options) => return lint::command::run(workspace, options),
        Command::Verify(options) => return verify::command::run(workspace, options),
    }
    Ok(ExitCode::SUCCESS)
}
