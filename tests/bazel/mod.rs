//! Bazel pinned by URL: an official release binary, served from loopback, builds the same bits.

use std::fs;
use std::process::Command;

use xtask::digest::Sha256;

use crate::build::Checkout;
use crate::machine;

/// The Bazel that `script` makes, as one file, and its version; the error is why there is none.
#[expect(clippy::disallowed_methods, reason = "a fixture, made before the test begins")]
fn made(script: &str, words: &[&str]) -> Result<(Vec<u8>, String), String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bazel");
    let mut command = Command::new("bash");
    command.args(["-c", script, "script"]).args(words).arg(&file);
    let made = command.output().map_err(|cause| cause.to_string())?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned());
    }
    let version = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    fs::read(file).map(|bytes| (bytes, version)).map_err(|cause| cause.to_string())
}

/// Pins `bytes`, served from loopback, as the Bazel of `version` that answers `answer`.
fn pin(there: &Checkout, bytes: &[u8], version: &str, answer: &str) {
    let sha256 = Sha256::of(bytes);
    let url = format!("http://{}/bazel", machine::serve(bytes.to_owned()));
    there.edit("workspace.toml", |text| {
        let from = text.find("[bazel]").unwrap();
        let to = from + text[from..].find("\n[").unwrap();
        let table = format!(
            "[bazel]\nversion = \"{version}\"\nurl = \"{url}\"\nsha256 = \"{sha256}\"\nanswer = \"{answer}\"\n"
        );
        format!("{}{table}{}", &text[..from], &text[to..])
    });
}

#[test]
fn an_official_bazel_pinned_by_url_builds_the_same_bits() {
    let (bytes, version) = match made(include_str!("official.sh"), &[]) {
        Ok(official) => official,
        Err(why) => {
            println!("skipped: no official Bazel is to be had here: {why}");
            return;
        }
    };
    let there = Checkout::copy();

    // A Bazel that answers otherwise than pinned is refused by name.
    pin(&there, &bytes, &version, "bazel 2.0.9");
    // Packages that only Debian's Bazel needed go with it, and so do the names that cut it.
    there.xtask(&["update", "bazel"]).with(
        0,
        &["- package bazel-bootstrap ", "nothing needs, of `builder.omit`: build-essential"],
    );
    there.xtask(&["build-ops"]).with(
        7,
        &["Bazel is not the pinned one", "`bazel 2.0.9`", &format!("found `bazel {version}`")],
    );

    pin(&there, &bytes, &version, &format!("bazel {version}"));
    there.xtask(&["update", "bazel"]).with(0, &["bazel"]);
    there.xtask(&["build-ops"]).with(0, &["reproduced: "]);
}

#[test]
fn the_newest_bazel_of_debian_builds_the_same_bits_by_workspace_and_by_modules() {
    let (bytes, version) = match made(include_str!("newest.sh"), &["sid"]) {
        Ok(newest) => newest,
        Err(why) => {
            println!("skipped: Debian's newest Bazel cannot be made into a file here: {why}");
            return;
        }
    };
    let there = Checkout::copy();
    pin(&there, &bytes, &version, &format!("bazel {version}"));
    there.xtask(&["update", "bazel"]).with(0, &["- package bazel-bootstrap "]);
    there.xtask(&["build-ops"]).with(0, &["reproduced: "]);

    // It may read modules instead: no WORKSPACE, and no registry of modules.
    fs::remove_file(there.root().join("ops/WORKSPACE")).unwrap();
    there.edit("workspace.toml", |text| text.replace("[bazel]\n", "[bazel]\nmodules = true\n"));
    there.xtask(&["build-ops"]).with(4, &["`bazel.modules`", "cargo xtask update"]);
    there.xtask(&["update", "bazel"]).with(0, &["+ pin bazel.modules true"]);
    there.xtask(&["build-ops"]).with(0, &["reproduced: "]);
}
