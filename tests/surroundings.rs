//! What a command needs of the machine around it beside programs: where it may write, how many
//! files it may hold open, how much memory, who reads what it prints.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Output;

use duct::Expression;
use xtask::cluster::smoke::group::Control;
use xtask::cluster::smoke::job::Limit;

use crate::cluster_smoke::checkout;
use crate::machine::skip;

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

/// The kernel ends who took most; Bazel knows only that something died.
#[test]
fn a_build_without_enough_memory_says_so() {
    let control = Control::find();
    let group = control.group("build", Limit { memory: "2500Mi".parse().ok(), cpu: None }).unwrap();
    let entrances = group.entrances();
    if entrances.is_empty() {
        skip("no control group for memory is ours to make here");
        return;
    }
    let greedy = crate::check::checkout_of("greedy", "exit");
    let rule =
        "genrule(name = \"text\", outs = [\"text.h\"], cmd = \"head -c 4G /dev/zero | tail > $@\")";
    greedy.edit("ops/greedy/BUILD", |text| {
        let (before, rest) = text.split_once("genrule(").unwrap();
        format!("{before}{rule}{}", rest.split_once("\n)").unwrap().1)
    });
    let enter = "while [ \"$1\" != -- ]; do echo $$ > \"$1\"; shift; done; shift; exec \"$@\"";
    let mut words = vec!["-c".into(), enter.into(), "sh".into()];
    words.extend(entrances.into_iter().map(PathBuf::into_os_string));
    words.extend(["--", env!("CARGO_BIN_EXE_xtask"), "--workspace"].map(OsString::from));
    words.push(greedy.root().into());
    words.extend(["--offline", "build-ops"].map(OsString::from));
    let output = run(&duct::cmd("sh", words));
    let said = said(&output);
    assert_eq!(output.status.code(), Some(7), "{said}");
    for words in [
        "error: op package `greedy` does not compile (Genrule of `//greedy:",
        "\nhint: the kernel killed a process for want of memory meanwhile: ",
    ] {
        assert!(said.contains(words), "no `{words}` in: {said}");
    }
    assert_eq!(group.starved(), "2500Mi".parse().ok());
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
