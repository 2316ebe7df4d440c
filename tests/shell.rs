//! `cargo xtask shell`, in the builder root of this very checkout.

use std::path::Path;

/// Runs `cargo xtask shell` with these words; its exit code and all that was printed.
fn shell(words: &[&str]) -> (Option<i32>, String) {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let first = [Path::new("--workspace"), workspace, Path::new("shell")];
    let words = first.into_iter().chain(words.iter().map(Path::new));
    let command = duct::cmd(env!("CARGO_BIN_EXE_xtask"), words);
    let output = command.stderr_to_stdout().stdout_capture().unchecked().run().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_person_can_look_around() {
    let script = "id -u; head -1 WORKSPACE; touch /work/ops/new; exit 9";
    let (code, text) = shell(&["--", "sh", "-c", script]);
    assert_eq!(code, Some(9), "{text}");
    for words in ["1000\n", "# The Bazel root", "'/work/ops/new': Read-only file system"] {
        assert!(text.contains(words), "no `{words}` in:\n{text}");
    }
}

#[test]
fn what_would_run_is_printed() {
    let (code, text) = shell(&["--dry-run"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(" -> /work/ops\n"), "{text}");
    assert!(text.ends_with("  /usr/bin/bash\n"), "{text}");
}
