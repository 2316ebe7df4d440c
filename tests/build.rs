//! The main job, whole: real Bazel, real TensorFlow, in a checkout elsewhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A copy of this checkout's tracked files under an awkward name.
pub struct Checkout {
    _folder: TempDir,
    root: PathBuf,
}

/// What a command said, and its exit code.
pub struct Said {
    code: i32,
    pub out: String,
    pub err: String,
}

impl Checkout {
    #[expect(clippy::disallowed_methods, reason = "a fixture, made before the test begins")]
    pub fn copy() -> Self {
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a checkout, schön: $HOME");
        let list =
            Command::new("git").args(["ls-files", "-z"]).current_dir(original).output().unwrap();
        assert!(list.status.success(), "git ls-files: {}", String::from_utf8_lossy(&list.stderr));
        for name in String::from_utf8(list.stdout).unwrap().split_terminator('\0') {
            let (from, to) = (original.join(name), root.join(name));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(from, to).unwrap();
        }
        Checkout { _folder: folder, root }
    }

    /// Its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Runs xtask as a person would: not in CI.
    pub fn xtask(&self, words: &[&str]) -> Said {
        self.xtask_with(&[], words)
    }

    /// [`Checkout::xtask`] with further variables.
    #[expect(clippy::disallowed_methods, reason = "the program under test, as a person starts it")]
    pub fn xtask_with(&self, env: &[(&str, &str)], words: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
        command.arg("--workspace").arg(&self.root).args(words).env_remove("CI");
        command.envs(env.iter().copied());
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        Said { code, out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// The same as a process that is still to be started.
    pub fn command(&self, words: &[&str]) -> duct::Expression {
        let first = [Path::new("--workspace"), &self.root];
        let words = first.into_iter().chain(words.iter().map(Path::new));
        duct::cmd(env!("CARGO_BIN_EXE_xtask"), words)
    }

    pub fn edit(&self, file: &str, edit: impl Fn(&str) -> String) {
        let path = self.root.join(file);
        let text = fs::read_to_string(&path).unwrap();
        let edited = edit(&text);
        assert_ne!(text, edited, "{file} is as it was");
        fs::write(path, edited).unwrap();
    }

    fn ledger(&self) -> String {
        fs::read_to_string(self.root.join("dist/ledger.json")).unwrap()
    }
}

impl Said {
    #[track_caller]
    pub fn with(self, code: i32, words: &[&str]) -> Self {
        let all = format!("{}\n{}", self.out, self.err);
        assert_eq!(self.code, code, "{all}");
        for word in words {
            assert!(all.contains(word), "no `{word}` in:\n{all}");
        }
        self
    }
}

const KERNEL: &str = "ops/embedding_ops/kernels/row_adagrad_op.cc";

#[test]
fn a_checkout_elsewhere_lives_its_life() {
    let there = Checkout::copy();

    // The same bits as the committed ledger says, from another folder.
    there.xtask(&["build-ops"]).with(0, &["reproduced: ", "workspace id "]);
    let first = there.ledger();
    there.xtask(&["build-ops", "--offline"]).with(0, &["nothing changed: reproduced: "]);

    // An edit that reaches no output leaves each row alone.
    there.edit(KERNEL, |text| format!("{text}// A remark.\n"));
    let said = there.xtask(&["build-ops", "--offline"]).with(0, &["reproduced: "]);
    assert!(!said.out.contains("nothing changed"), "{}", said.out);
    assert_eq!(there.ledger(), first);

    // An edit of one op moves that op's rows and the wheel's; a person is told, and asked.
    there.edit(KERNEL, |text| text.replace("must be", "has to be"));
    let said = there
        .xtask(&["build-ops", "--offline"])
        .with(9, &["embedding_ops: ", "cargo xtask accept"]);
    assert!(!said.err.contains("image_ops"), "{}", said.err);
    // In CI it is red, and nothing is proposed.
    there.xtask(&["accept"]).with(0, &["accepted"]);
    there.xtask(&["build-ops", "--offline"]).with(0, &["reproduced: "]);

    // A compile error: the compiler's first words, with file and line.
    let whole = fs::read_to_string(there.root.join(KERNEL)).unwrap();
    there.edit(KERNEL, |text| format!("int one = nowhere;\nint two = neither;\n{text}"));
    there.xtask(&["build-ops", "--offline"]).with(
        7,
        &[
            "op package `embedding_ops` does not compile",
            "row_adagrad_op.cc:1:11: error: 'nowhere' was not declared",
            "bazel.log",
        ],
    );
    fs::write(there.root.join(KERNEL), whole).unwrap();
    there.xtask(&["build-ops", "--offline"]).with(0, &["reproduced: "]);

    // A new op builds, loads and passes its test at once.
    there.xtask(&["new-op", "times_three"]).with(0, &["ops/times_three"]);
    there.xtask(&["build-ops", "--offline"]).with(9, &["times_three: libtimes_three.so: new"]);
    there.xtask(&["test-ops", "times_three"]).with(0, &["times_three: its tests pass"]);

    // An op name that TensorFlow already has.
    there.edit("ops/times_three/ops/times_three.cc", |text| {
        text.replace("\"TimesThree\"", "\"MatMul\"")
    });
    there.edit("ops/times_three/kernels/times_three_kernel.cc", |text| {
        text.replace("\"TimesThree\"", "\"MatMul\"")
    });
    there.xtask(&["build-ops", "--offline"]).with(8, &["`times_three` registers `MatMul`"]);

    // A label that does not resolve is refused before Bazel starts.
    there.edit("ops/times_three/BUILD", |text| {
        text.replace("tensorflow/core:lib", "tensorflow/cor:lib")
    });
    there.xtask(&["build-ops", "--offline"]).with(
        2,
        &[
            "BUILD file not found",
            "ops/times_three/BUILD",
            "did you mean `@org_tensorflow//tensorflow/core:lib`?",
        ],
    );
}

#[test]
fn a_stale_lock_names_the_pin_before_any_network() {
    let there = Checkout::copy();
    there.edit("workspace.toml", |text| text.replace("\"bookworm\"", "\"trixie\""));
    there
        .xtask(&["build-ops"])
        .with(4, &["debian.suite", "bookworm", "trixie", "cargo xtask update"]);
}

#[test]
fn the_plan_is_printed_and_nothing_runs() {
    let there = Checkout::copy();
    let said = there.xtask(&["build-ops", "--dry-run"]).with(0, &["/usr/bin/bazel", "//..."]);
    assert!(!there.root.join("dist").exists(), "{}", said.out);
}
