//! What a command needs of the machine around it beside programs: where it may write, how many
//! files it may hold open, who reads what it prints.

use std::process::Output;

use duct::Expression;

use crate::cluster_smoke::checkout;

/// Carries out `command` in this checkout.
fn run(command: &Expression) -> Output {
    command.dir(checkout().root()).stderr_capture().unchecked().run().unwrap()
}

fn xtask(arguments: &[&str]) -> Expression {
    duct::cmd(env!("CARGO_BIN_EXE_xtask"), arguments)
}

fn said(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap().trim_end()
}

#[test]
fn what_is_temporary_needs_a_folder_and_the_error_names_the_variable() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["workspace.toml", "workspace.lock"] {
        std::fs::copy(checkout().root().join(file), folder.path().join(file)).unwrap();
    }
    let workspace = folder.path().to_str().unwrap();
    let update = xtask(&["--workspace", workspace, "update", "--check"])
        .env("LOCKSTEP_STORE", folder.path().join("store"))
        .env("TMPDIR", "/nowhere");
    let output = run(&update);
    assert_eq!(output.status.code(), Some(1));
    let (first, hint) = said(&output).split_once("\nhint: ").unwrap();
    assert!(first.contains("error: cannot create a folder in `/nowhere`: No such file"), "{first}");
    assert_eq!(hint, "set TMPDIR to a folder that you may write");
}

#[test]
fn without_a_home_the_store_must_be_named() {
    let homes = ["HOME", "LOCKSTEP_STORE", "XDG_CACHE_HOME"];
    let output = run(&homes.iter().fold(xtask(&["fetch"]), |fetch, name| fetch.env_remove(name)));
    assert_eq!(output.status.code(), Some(3));
    insta::assert_snapshot!(said(&output), @r"
    error: no place for the store: HOME is not set
    hint: set LOCKSTEP_STORE to a folder with 6 GB to spare
    ");
}

#[test]
fn too_few_open_files_end_the_command_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let fetch = duct::cmd!("prlimit", "--nofile=16:16", env!("CARGO_BIN_EXE_xtask"), "fetch");
    let output = run(&fetch.env("LOCKSTEP_STORE", folder.path()));
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("Too many open files"), "{said}");
    assert!(said.ends_with("hint: raise the limit of open files: `ulimit -n 1024`"), "{said}");
}

/// `| head` takes what it wants and goes.
#[test]
fn who_reads_the_output_may_go_at_any_time() {
    for arguments in [
        &["build-ops", "--dry-run"][..],
        &["bench", "--help"],
        &["check", "--vary", "list"],
        &["doctor", "--json"],
        &["explain", "xtask/src/explain/messages.txt"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run(&xtask(arguments).stdout_file(writer));
        let said = said(&output);
        assert!(!said.contains("panicked") && !said.contains("error: "), "{arguments:?}: {said}");
    }
}
