//! Frozen by default: with wrong pins or another lock every command stops before it touches
//! network or store, says what is wrong, and changes nothing.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use xshell::{Shell, cmd};

/// A copy of this checkout's pins and lock, and a store that is not there.
struct Checkout(TempDir);

/// What a command answered.
struct Answer {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Checkout {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for file in ["workspace.toml", "workspace.lock"] {
            std::fs::copy(own.join(file), folder.path().join(file)).unwrap();
        }
        Checkout(folder)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Replaces `from` by `to`, which is there, in `file`.
    fn edit(&self, file: &str, from: &str, to: &str) -> &Self {
        let text = std::fs::read_to_string(self.path(file)).unwrap();
        assert!(text.contains(from), "{from} is not in {file}");
        std::fs::write(self.path(file), text.replacen(from, to, 1)).unwrap();
        self
    }

    /// Runs the command where no network could be reached.
    fn run(&self, arguments: &[&str]) -> Answer {
        let shell = Shell::new().unwrap();
        shell.change_dir(self.0.path());
        let (xtask, store) = (env!("CARGO_BIN_EXE_xtask"), self.path("store"));
        let command = cmd!(shell, "{xtask} {arguments...}").quiet().ignore_status();
        let nobody = "http://127.0.0.1:9";
        let command = command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        let command = command.env("LOCKSTEP_STORE", store).env("HOME", self.0.path());
        let command = command.env("http_proxy", nobody).env("https_proxy", nobody);
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
        Answer {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Runs every command that works from the lock: each fails in the same words, with this
    /// exit code, and leaves no trace.
    fn refused(&self, code: i32) -> String {
        let before = self.files();
        let commands = ["fetch", "build-ops", "test-ops"];
        let answers = commands.map(|command| self.run(&[command]));
        for (command, answer) in commands.iter().zip(&answers) {
            assert_eq!(answer.code, Some(code), "{command}: {}", answer.stderr);
            assert_eq!(answer.stderr, answers[0].stderr, "{command}");
        }
        assert_eq!(self.files(), before, "something was written");
        answers[0].stderr.clone()
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let files = self.0.path().read_dir().unwrap().map(|item| item.unwrap().path());
        let mut files: Vec<_> = files
            .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap_or_default()))
            .collect();
        files.sort();
        files
    }
}

#[test]
fn wrong_pins_stop_everything() {
    let checkout = Checkout::new();
    checkout.edit("workspace.toml", "[tensorflow]\n", "[tensorflow]\nlanes = 1\n");
    let error = checkout.refused(2);
    assert!(error.starts_with("error: unknown key `lanes` in [tensorflow]\n"), "{error}");
    assert!(error.contains("did you mean `lane`?") && !error.contains('\u{1b}'), "{error}");
    assert_eq!(checkout.run(&["update", "ops"]).stderr, error);
}

#[test]
fn a_stale_lock_stops_everything() {
    let checkout = Checkout::new();
    checkout.edit("workspace.toml", "epoch = 1", "epoch = 2");
    let error = checkout.refused(4);
    assert!(error.starts_with("error: workspace.lock is out of date: `epoch` is 2"), "{error}");
    assert!(error.ends_with("hint: run `cargo xtask update` and look at what it moves"), "{error}");
}

#[test]
fn a_lock_that_is_missing_edited_or_cut_stops_everything() {
    let checkout = Checkout::new();
    checkout.edit("workspace.lock", "size = 1", "size = 2");
    assert!(checkout.refused(4).contains("workspace.lock was edited by hand"));
    let lock = checkout.path("workspace.lock");
    std::fs::write(&lock, "").unwrap();
    assert!(checkout.refused(4).contains("workspace.lock"));
    std::fs::remove_file(&lock).unwrap();
    assert!(checkout.refused(4).contains("workspace.lock is missing"));
}

#[test]
fn update_of_one_pin_needs_no_network_when_nothing_is_to_be_resolved() {
    let checkout = Checkout::new();
    let before = std::fs::read(checkout.path("workspace.lock")).unwrap();
    checkout.edit("workspace.toml", "name = \"lockstep-ops\"", "name = \"our-ops\"");
    let checked = checkout.run(&["update", "--check", "ops"]);
    assert_eq!(checked.code, Some(4), "{}", checked.stderr);
    assert_eq!(checked.stdout, "~ pin ops.name lockstep-ops -> our-ops");
    assert_eq!(std::fs::read(checkout.path("workspace.lock")).unwrap(), before);
    let updated = checkout.run(&["update", "--json", "ops"]);
    assert_eq!((updated.code, updated.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        updated.stdout,
        r#"{"moves":[{"from":"lockstep-ops","to":"our-ops","what":"pin ops.name"}]}"#
    );
    let again = checkout.run(&["update", "--check", "--offline", "ops"]);
    assert_eq!((again.code, again.stdout.as_str()), (Some(0), "workspace.lock is up to date"));
}

#[test]
fn update_of_one_pin_leaves_no_other_behind() {
    let checkout = Checkout::new();
    checkout.edit("workspace.toml", "epoch = 1", "epoch = 2");
    let refused = checkout.run(&["update", "ops"]);
    assert_eq!(refused.code, Some(4));
    assert_eq!(
        refused.stderr,
        "error: `epoch` is out of date too, and `update ops` leaves it as locked\n\
         hint: run `cargo xtask update ops epoch`, or without names for all"
    );
    assert_eq!(checkout.run(&["update", "ops", "epoch"]).code, Some(0));
}

#[test]
fn offline_update_says_what_it_would_need() {
    let answer = Checkout::new().run(&["update", "--offline"]);
    assert_eq!(answer.code, Some(6));
    assert_eq!(
        answer.stderr,
        "error: Debian packages are resolved with apt, and --offline is given"
    );
}
