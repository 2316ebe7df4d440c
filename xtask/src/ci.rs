//! `cargo xtask ci`: everything that CI runs, in the order in which it fails fastest.

use xshell::cmd;

use crate::build;
use crate::command;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::image;
use crate::store::Store;
use crate::workspace::Workspace;

/// Runs format, lints and all tests; the tests build the real ops with a real Bazel, and give
/// the real image to the programs that people use.
pub fn run(workspace: &Workspace, store: &Store, offline: bool) -> Result<()> {
    let sh = command::shell()?;
    sh.change_dir(workspace.root());
    step("format", cmd!(sh, "cargo fmt --all --check"), "run `cargo fmt --all`")?;
    let clippy = cmd!(sh, "cargo clippy --locked --all-targets -- -D warnings");
    step("lints", clippy, "each lint's reason is in Cargo.toml or clippy.toml")?;
    eprintln!("ci: the real build, the image, the ops' own tests");
    let whole = image::command::Options {
        archive: None,
        no_smoke: false,
        engine: Engine::Native,
        push: image::push::Options::default(),
        json: false,
    };
    image::command::image(workspace, store, &whole, offline)?;
    build::trial::run(
        workspace,
        store,
        &build::trial::Options { packages: Vec::new(), engine: Engine::Native },
        offline,
    )?;
    // More than there are processors: many wait for daemons, containers and each other.
    let threads = std::thread::available_parallelism().map_or(2, usize::from) * 2;
    let threads = threads.to_string();
    // A snapshot that differs is a failure, never a new file to overlook.
    let tests = cmd!(sh, "cargo test --locked -- --test-threads {threads}");
    let tests = tests.env("INSTA_UPDATE", "no").env("CI", "true");
    step("tests", tests, "run that test alone: `cargo test -p xtask NAME`")
}

fn step(name: &str, command: xshell::Cmd<'_>, hint: &str) -> Result<()> {
    eprintln!("ci: {name}: {command}");
    let failed = |e| Error::new(Kind::Tool, format!("ci: {name} failed: {e}")).hint(hint);
    command.quiet().run().map_err(failed)
}
