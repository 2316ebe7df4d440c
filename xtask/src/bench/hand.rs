//! The peer of a build: the same sources with the same `g++` flags by hand, in the builder
//! root, by `xargs -P`. Linking is not even counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::build::bazel::{self, Folders};
use crate::build::material::{self, Trees};
use crate::engine::{Engine, Log, Output, Run};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::lock::Lock;
use crate::store::Store;
use crate::workspace::Workspace;

use super::pair::timed;

/// One compilation, as Bazel would run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compile {
    /// The source, as the command line names it: `image_ops/kernels/qoi.cc`.
    pub source: String,
    /// The command line, its outputs moved to `/tmp`.
    pub argv: Vec<String>,
}

#[derive(Deserialize)]
struct Graph {
    actions: Vec<Action>,
}

#[derive(Deserialize)]
struct Action {
    mnemonic: String,
    #[serde(default)]
    arguments: Vec<String>,
}

/// The compilations in what `bazel aquery --output=jsonproto` says.
pub fn compiles(json: &str) -> Result<Vec<Compile>> {
    let graph: Graph = serde_json::from_str(json)
        .map_err(|e| Error::new(Kind::Tool, format!("bazel aquery's answer: {e}")))?;
    let compiles = graph.actions.into_iter().filter(|action| action.mnemonic == "CppCompile");
    let one = |(number, action): (usize, Action)| {
        let source = action.arguments.iter().skip_while(|word| *word != "-c").nth(1)?.clone();
        Some(Compile { source, argv: moved(action.arguments, number) })
    };
    Ok(compiles.enumerate().filter_map(one).collect())
}

/// The command line with its object and dependency file in `/tmp`.
fn moved(mut argv: Vec<String>, number: usize) -> Vec<String> {
    for (flag, suffix) in [("-o", "o"), ("-MF", "d")] {
        let place = argv.iter().position(|word| word == flag).map(|at| at + 1);
        if let Some(path) = place.and_then(|at| argv.get_mut(at)) {
            *path = format!("/tmp/{number}.{suffix}");
        }
    }
    argv
}

/// The command line for a POSIX shell.
fn quoted(argv: &[String]) -> String {
    let word = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A checkout that was built, to compile in by hand.
pub struct Hand<'a> {
    workspace: &'a Workspace,
    lock: &'a Lock,
    trees: Trees,
    out: PathBuf,
}

impl<'a> Hand<'a> {
    /// In the Bazel output of `workspace`, with the trees of `store`.
    pub fn of(workspace: &'a Workspace, store: &Store, lock: &'a Lock) -> Result<Self> {
        let prepared = material::prepare(workspace)?;
        let trees = material::trees(workspace, store, &prepared, true)?;
        let out = material::out_folder(workspace, &trees)?;
        Ok(Hand { workspace, lock, trees, out })
    }

    /// Every compilation of the build, the probe's among them.
    pub fn compiles(&self) -> Result<Vec<Compile>> {
        let asked = format!("mnemonic(CppCompile, deps(//... union {}))", bazel::PROBE);
        let rc = if self.lock.bazel.binary.is_some() { "bazelrc" } else { "bazelrc.debian" };
        let bazel = format!(
            "/usr/bin/bazel --nohome_rc --bazelrc=/work/toolchains/{rc} --output_user_root={}/bazel",
            bazel::OUT
        );
        let words = format!(
            "{bazel} aquery --output=jsonproto '{asked}' >/out/actions.json && \
             {bazel} info execution_root >/out/execution-root"
        );
        self.run(&["/bin/sh", "-c", &words], "/work/ops")?;
        compiles(&self.text("actions.json")?)
    }

    /// How long `compiles` take, `jobs` at once.
    pub fn time(&self, compiles: &[Compile], jobs: usize) -> Result<Duration> {
        let lines: Vec<_> = compiles.iter().map(|compile| quoted(&compile.argv)).collect();
        let list = self.out.join("by-hand");
        fs::write(&list, lines.join("\n")).at("write", &list)?;
        let jobs = jobs.to_string();
        let argv = [
            "/usr/bin/xargs",
            "-a",
            "/out/by-hand",
            "-d",
            "\n",
            "-n",
            "1",
            "-P",
            &jobs,
            "/bin/sh",
            "-c",
            "eval \"$0\"",
        ];
        let place = self.text("execution-root")?;
        timed(|| self.run(&argv, place.trim()))
    }

    fn text(&self, name: &str) -> Result<String> {
        let path = self.out.join(name);
        fs::read_to_string(&path).at("read", &path)
    }

    fn run(&self, argv: &[&str], cwd: &str) -> Result<()> {
        let (ops, toolchains) = (self.workspace.ops(), self.workspace.toolchains());
        let folders = Folders {
            root: &self.trees.builder,
            ops: &ops,
            toolchains: &toolchains,
            tensorflow: &self.trees.tensorflow,
            out: &self.out,
            etc: None,
        };
        let run = Run { cwd: cwd.to_owned(), ..bazel::in_builder(self.lock, &folders, argv) };
        succeed(&run, &self.workspace.scratch().join("log/by-hand.log"))
    }
}

/// Carries `run` out; an error when its command fails.
pub fn succeed(run: &Run, log: &Path) -> Result<()> {
    let outcome = Engine::default().run(run, Output::Log(Log::at(log)))?;
    if outcome.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&fs::read(log).at("read", log)?).into_owned();
    let words = words.lines().last().unwrap_or_default();
    let program = run.argv.first().map_or("", String::as_str);
    Err(Error::new(Kind::Tool, format!("`{program}` in the builder root: {outcome}: {words}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilations_are_taken_from_bazels_own_words() {
        let json = r#"{"actions": [
            {"mnemonic": "CppLink", "arguments": ["/usr/bin/gcc", "-o", "x.so"]},
            {"mnemonic": "CppCompile", "arguments":
                ["/usr/bin/gcc", "-D__DATE__=\"it's\"", "-MF", "bazel-out/q.d", "-c", "a/q.cc", "-o", "bazel-out/q.o"]}
        ]}"#;
        let compiles = compiles(json).unwrap();
        assert_eq!(compiles.len(), 1);
        assert_eq!(compiles[0].source, "a/q.cc");
        insta::assert_snapshot!(quoted(&compiles[0].argv), @r#"'/usr/bin/gcc' '-D__DATE__="it'\''s"' '-MF' '/tmp/0.d' '-c' 'a/q.cc' '-o' '/tmp/0.o'"#);
        assert!(super::compiles("[]").is_err());
    }
}
