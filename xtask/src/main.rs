//! `cargo xtask`: parses, finds the workspace, dispatches, maps an error to an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use xtask::cli::{self, Cli};
use xtask::{engine, interrupt};

fn main() -> ExitCode {
    if let Some(code) = engine::native::launched() {
        return code; // this process is the engine's launcher: one thread, nothing of ours
    }
    interrupt::install();
    match cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(&error)
        }
    }
}
