//! `cargo xtask shell`: a root as the build or the tests see it, for looking around.

use std::process::ExitCode;

use tempfile::TempDir;

use crate::build::bazel::{self, in_builder};
use crate::build::material::{self, Trees};
use crate::build::run::one_build_at_a_time;
use crate::build::trial::{self, in_runtime};
use crate::build::wheel;
use crate::engine::{self, Engine, Output, Run};
use crate::error::{IoContext as _, Result};
use crate::lock::{Lock, RootKind};
use crate::root;
use crate::store::Store;
use crate::workspace::Workspace;

/// What a person may choose.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Which root: what compiles ops, or what runs them
    #[arg(long, default_value = "builder", value_parser = ["builder", "runtime"])]
    pub root: String,
    /// Where commands run
    #[arg(long, env = engine::VARIABLE, default_value_t, value_enum, value_name = "ENGINE")]
    pub engine: Engine,
    /// Print what would run, and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Program and arguments (default: bash in the builder root, Python in the runtime root)
    #[arg(last = true)]
    pub command: Vec<String>,
}

/// Runs the command in the chosen root, in this terminal; its exit code.
pub fn run(
    workspace: &Workspace,
    store: &Store,
    options: &Options,
    offline: bool,
) -> Result<ExitCode> {
    let engine = options.engine;
    let lock = material::locked(workspace)?;
    let kind = match options.root.as_str() {
        "runtime" => RootKind::Runtime,
        _ => RootKind::Builder,
    };
    let argv = argv(kind, &options.command);
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    // Bazel's output is the build's own: no other build while a person works on it.
    let _hold = one_build_at_a_time(workspace)?;
    let ops =
        tempfile::tempdir_in(workspace.scratch()).at("create a folder in", &workspace.scratch())?;
    let run = match kind {
        RootKind::Builder => builder(
            workspace,
            &material::assemble(workspace, store, &lock, offline)?,
            &lock,
            &argv,
        )?,
        RootKind::Runtime => runtime(workspace, store, &lock, offline, &ops, &argv)?,
    };
    if options.dry_run {
        print!("{}", engine.render(&run)?);
        return Ok(ExitCode::SUCCESS);
    }
    let outcome = engine.run(&with_terminal(run), Output::Inherit)?;
    Ok(ExitCode::from(outcome.end.code()))
}

/// The command with its program's path: a bare name is one of the root's own programs.
fn argv(root: RootKind, command: &[String]) -> Vec<String> {
    let default = match root {
        RootKind::Builder => "bash",
        RootKind::Runtime => "python3",
    };
    let mut argv = command.to_vec();
    if argv.is_empty() {
        argv.push(default.to_owned());
    }
    if !argv[0].contains('/') {
        argv[0] = format!("/usr/bin/{}", argv[0]);
    }
    argv
}

/// The builder root with the build's own mounts.
fn builder(workspace: &Workspace, trees: &Trees, lock: &Lock, argv: &[&str]) -> Result<Run> {
    let toolchains = workspace.toolchains();
    let folders = bazel::Folders {
        root: &trees.builder,
        ops: &workspace.ops(),
        toolchains: &toolchains,
        tensorflow: &trees.tensorflow,
        out: &material::out_folder(workspace, trees)?,
        etc: None,
    };
    Ok(in_builder(lock, &folders, argv))
}

/// The runtime root with TensorFlow, and with the ops of the last build if there was one.
fn runtime(
    workspace: &Workspace,
    store: &Store,
    lock: &Lock,
    offline: bool,
    ops: &TempDir,
    argv: &[&str],
) -> Result<Run> {
    let mut site = Vec::new();
    match wheel::built(workspace, lock) {
        Ok(wheel) => {
            root::site::install(&[wheel], ops.path(), lock.epoch)?;
            site.push(ops.path().to_owned());
        }
        Err(error) => eprintln!("note: TensorFlow without ops: {}", error.message()),
    }
    let (root, installed) = trial::trees(store, lock, offline)?;
    site.push(installed);
    let folders = trial::Folders { root: &root, site: &site, ops: &workspace.ops() };
    Ok(in_runtime(lock, &folders, argv))
}

/// What a program must know of the terminal that it draws on.
fn with_terminal(mut run: Run) -> Run {
    if let Ok(term) = std::env::var("TERM") {
        run.env.insert("TERM".to_owned(), term);
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_a_program_of_the_root() {
        let argv = |root, words: &[&str]| {
            argv(root, &words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>()).join(" ")
        };
        assert_eq!(argv(RootKind::Builder, &[]), "/usr/bin/bash");
        assert_eq!(argv(RootKind::Runtime, &[]), "/usr/bin/python3");
        assert_eq!(argv(RootKind::Builder, &["ls", "-l"]), "/usr/bin/ls -l");
        assert_eq!(argv(RootKind::Runtime, &["/out/x"]), "/out/x");
    }
}
