//! `cargo xtask ci`: everything that CI runs, in the order in which it fails fastest.

use xshell::cmd;

use crate::build;
use crate::command;
use crate::error::{Error, Kind, Result};
use crate::store::Store;
use crate::workspace::Workspace;

/// Runs format, lints and all tests; the tests build the real ops with a real Bazel.
pub fn run(workspace: &Workspace, store: &Store, offline: bool) -> Result<()> {
    let sh = command::shell()?;
    sh.change_dir(workspace.root());
    step("format", cmd!(sh, "cargo fmt --all --check"), "run `cargo fmt --all`")?;
    let clippy = cmd!(sh, "cargo clippy --locked --all-targets -- -D warnings");
    step("lints", clippy, "each lint's reason is in Cargo.toml or clippy.toml")?;
    eprintln!("ci: the real build and the ops' own tests");
    let native = "native".to_owned();
    build::run::run(
        workspace,
        store,
        &build::run::Options { dry_run: false, engine: native.clone() },
        offline,
    )?;
    build::trial::run(
        workspace,
        store,
        &build::trial::Options { packages: Vec::new(), engine: native },
        offline,
    )?;
    // A snapshot that differs is a failure, never a new file to overlook.
    let tests = cmd!(sh, "cargo test --locked").env("INSTA_UPDATE", "no").env("CI", "true");
    step("tests", tests, "run that test alone: `cargo test -p xtask NAME`")
}

fn step(name: &str, command: xshell::Cmd<'_>, hint: &str) -> Result<()> {
    eprintln!("ci: {name}: {command}");
    let failed = |e| Error::new(Kind::Tool, format!("ci: {name} failed: {e}")).hint(hint);
    command.quiet().run().map_err(failed)
}
