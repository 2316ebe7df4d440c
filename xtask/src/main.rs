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
    end_with_the_reader();
    match cli::run(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(&error)
        }
    }
}

/// `cargo xtask … | head`: when nobody reads on, printing ends the process as SIGPIPE would.
fn end_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let words = panic.to_string();
        if words.contains("failed printing to std") && words.contains("Broken pipe") {
            std::process::exit(141);
        }
        usual(panic);
    }));
}
