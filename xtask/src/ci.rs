//! `cargo xtask ci`: everything that CI runs, in the order in which it fails fastest.

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use xshell::cmd;

use crate::build;
use crate::command;
use crate::engine::Engine;
use crate::error::{Error, Kind, Result};
use crate::image;
use crate::store::Store;
use crate::workspace::Workspace;

/// A snapshot that differs is a failure, never a new file to overlook; what property tests look
/// at is the same each time, since what is new is for a person to look at, or for a fuzzer.
const IN_CI: [(&str, &str); 3] =
    [("CI", "true"), ("INSTA_UPDATE", "no"), ("PROPTEST_RNG_SEED", "1")];

/// Runs format, lints and all tests; the tests build the real ops with a real Bazel, and give
/// the real image to the programs that people use. A test that fails runs once more, alone:
/// when it passes there it is named as unsteady, and is not what a change is refused for.
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
    let failed = beside_each_other(workspace.root())?;
    for name in &failed {
        let alone = cmd!(sh, "cargo test --locked -- --exact {name}").envs(IN_CI);
        let hint = format!("run it again: `cargo test -p xtask -- --exact {name}`");
        step(&format!("test {name}, alone"), alone, &hint)?;
    }
    for name in failed {
        eprintln!("ci: unsteady: {name} failed beside other tests and passed alone: mend it");
    }
    Ok(())
}

/// Runs all tests; the names of those that failed.
fn beside_each_other(root: &Path) -> Result<Vec<String>> {
    // More than there are processors: many wait for daemons, containers and each other.
    let threads = std::thread::available_parallelism().map_or(2, usize::from) * 2;
    let threads = threads.to_string();
    let words = ["test", "--locked", "--no-fail-fast", "--", "--test-threads", &threads];
    eprintln!("ci: tests: cargo {}", words.join(" "));
    let cannot = |cause: std::io::Error| Error::new(Kind::Tool, format!("ci: tests: {cause}"));
    let tests = duct::cmd("cargo", words).dir(root);
    let tests = IN_CI.iter().fold(tests, |tests, (name, value)| tests.env(name, value));
    let tests = tests.unchecked().reader().map_err(cannot)?;
    let mut report = Report::default();
    for line in BufReader::new(&tests).lines() {
        let line = line.map_err(cannot)?;
        println!("{line}");
        report.read(&line);
    }
    let passed = tests.try_wait().map_err(cannot)?.is_some_and(|output| output.status.success());
    report.failed(passed).ok_or_else(|| {
        Error::new(Kind::Tool, "ci: tests failed, and not by tests alone: their output is above")
            .hint("run them: `cargo test -p xtask`")
    })
}

/// What `cargo test` said of its tests: the lines of libtest's default format.
#[derive(Default)]
struct Report {
    failed: Vec<String>,
    /// How many failed, by the last line of each test program.
    count: usize,
}

impl Report {
    fn read(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("test ").and_then(|l| l.strip_suffix(" ... FAILED")) {
            self.failed.push(name.to_owned());
        }
        if let Some((_, counts)) = line.split_once("test result: FAILED. ") {
            let count = counts.split("; ").find_map(|count| count.strip_suffix(" failed"));
            self.count += count.and_then(|count| count.parse::<usize>().ok()).unwrap_or_default();
        }
    }

    /// The tests that failed, when they are all that failed.
    fn failed(self, passed: bool) -> Option<Vec<String>> {
        let whole = self.failed.len() == self.count && passed == self.failed.is_empty();
        whole.then_some(self.failed)
    }
}

fn step(name: &str, command: xshell::Cmd<'_>, hint: &str) -> Result<()> {
    eprintln!("ci: {name}: {command}");
    let failed = |e| Error::new(Kind::Tool, format!("ci: {name} failed: {e}")).hint(hint);
    command.quiet().run().map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(text: &str, passed: bool) -> Option<Vec<String>> {
        let mut report = Report::default();
        text.lines().for_each(|line| report.read(line));
        report.failed(passed)
    }

    #[test]
    fn what_failed_is_known_by_name_or_not_at_all() {
        let good = "test a::b ... ok\ntest result: ok. 1 passed; 0 failed; 0 ignored\n";
        let bad = "test c ... FAILED\ntest result: FAILED. 3 passed; 1 failed; 0 ignored\n";
        let both = format!("{good}{bad}");
        assert_eq!(failed(good, true).unwrap(), [""; 0]);
        assert_eq!(failed(&both, false).unwrap(), ["c"]);
        // It was not compiled, or a test program died.
        assert_eq!(failed(good, false), None);
        // A name that another line was printed into.
        assert_eq!(failed(&both.replace("test c", "text test c"), false), None);
    }
}
