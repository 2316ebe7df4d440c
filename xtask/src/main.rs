//! `cargo xtask`: parses, finds the workspace, dispatches, maps an error to an exit code.

use std::process::ExitCode;

use clap::Parser as _;
use xtask::cli::{self, Cli};
use xtask::interrupt;

fn main() -> ExitCode {
    interrupt::install();
    match cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(&error)
        }
    }
}
