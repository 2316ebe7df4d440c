//! Bazel's run: the pinned Bazel, what it built, what it refused.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::abi::OpLibrary;
use crate::atomic;
use crate::build::bazel::{self, Folders};
use crate::build::event::Events;
use crate::build::failure;
use crate::build::op::OpPackage;
use crate::engine::{Engine, Log, Output};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::lock::Lock;
use crate::progress::{self, Progress, Unit};
use crate::store;
use crate::workspace::Workspace;

/// In Bazel's output folder: what its Bazel answered.
const ANSWER: &str = "bazel-version";

/// What Bazel made, on the host.
pub struct Built {
    /// The op libraries, sorted by package.
    pub libraries: Vec<OpLibrary>,
    /// The program that prints what a library registers.
    pub probe: PathBuf,
}

/// A Bazel whose own answer differs from its pin is an error. It is asked once for each output
/// folder, which belongs to one builder root and so to one Bazel.
pub fn check_version(
    engine: Engine,
    workspace: &Workspace,
    lock: &Lock,
    folders: &Folders<'_>,
) -> Result<()> {
    let answered = folders.out.join(ANSWER);
    if fs::read_to_string(&answered).is_ok_and(|answer| answer == lock.bazel.answer) {
        return Ok(());
    }
    let log = workspace.scratch().join("log/bazel-version.log");
    let outcome = engine.run(&bazel::version(lock, folders), Output::Log(Log::at(&log)))?;
    let output = fs::read_to_string(&log).at("read", &log)?;
    let answer = output.trim_end().lines().last().unwrap_or_default().trim();
    if outcome.success() && answer == lock.bazel.answer {
        return atomic::write(&answered, answer.as_bytes());
    }
    Err(Error::new(
        Kind::Tool,
        format!(
            "Bazel is not the pinned one (workspace.toml, `bazel`): expected version {} to answer \
             `{}`, found `{answer}` ({outcome})",
            lock.bazel.version, lock.bazel.answer,
        ),
    )
    .hint("if that is the Bazel you want, pin its version and answer, then run `cargo xtask update bazel`"))
}

/// Runs Bazel and reads its events.
pub fn build(
    engine: Engine,
    workspace: &Workspace,
    lock: &Lock,
    packages: &[OpPackage],
    folders: &Folders<'_>,
) -> Result<Built> {
    forget_servers(folders.out)?;
    let log = workspace.scratch().join("log/bazel.log");
    let events = folders.out.join(bazel::EVENTS);
    if events.exists() {
        fs::remove_file(&events).at("remove", &events)?;
    }
    let progress =
        Progress::new(format!("building {} op packages", packages.len()), Unit::Items, None);
    let mut done = 0;
    let mut on_line = |line: &str| {
        let now = actions(line).unwrap_or(done).max(done);
        progress.add(now - done);
        done = now;
    };
    let log_of = Log { on_line: Some(&mut on_line), ..Log::at(&log) };
    let outcome = engine.run(&bazel::build(lock, folders), Output::Log(log_of))?;
    let output = String::from_utf8_lossy(&fs::read(&log).at("read", &log)?).into_owned();
    let text = fs::read_to_string(&events).unwrap_or_default();
    let events = Events::parse(&text)?;
    if !outcome.success() {
        let read = |path: &str| fs::read_to_string(on_host(folders.out, path)?).ok();
        return Err(failure::explain(&events, &output, &outcome, &log, read));
    }
    if let (true, Some(ran)) = (engine != Engine::Native, ran(&output)) {
        progress::say(&format!("engine {engine}: Bazel's actions ran as: {ran}"));
    }
    built(&events, packages, folders.out)
}

/// Removes what earlier servers left in each output base: they died with their engine. Their
/// process ids mean nothing in this one, and a log of each would stay for ever.
fn forget_servers(out: &Path) -> Result<()> {
    let bases = out.join("bazel");
    let Ok(bases) = fs::read_dir(&bases) else { return Ok(()) };
    for base in bases.flatten().map(|entry| entry.path()) {
        store::remove(&base.join("server"))?;
        for item in fs::read_dir(&base).into_iter().flatten().flatten() {
            if item.file_name().as_encoded_bytes().starts_with(b"java.log") {
                store::remove(&item.path())?;
            }
        }
    }
    Ok(())
}

/// How its actions ran, of Bazel's `INFO: 25 processes: 6 internal, 19 linux-sandbox.`
fn ran(output: &str) -> Option<&str> {
    let line = output.lines().rfind(|line| line.contains(" process"))?;
    let (_, ran) = line.strip_prefix("INFO: ")?.split_once(": ")?;
    Some(ran.trim_end_matches('.'))
}

/// Actions done, of Bazel's `[3 / 17] …`.
fn actions(line: &str) -> Option<u64> {
    line.strip_prefix('[')?.split_once(" / ")?.0.replace(',', "").parse().ok()
}

/// The host's path of a file that a run names by its path inside the root.
fn on_host(out: &Path, inside: &str) -> Option<PathBuf> {
    let relative = Path::new(inside).strip_prefix(bazel::OUT).ok()?;
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| out.join(relative))
}

/// The libraries and the probe among the built targets; each op package has a library.
fn built(events: &Events, packages: &[OpPackage], out: &Path) -> Result<Built> {
    let missing = |what: String| Error::new(Kind::Tool, what);
    let mut libraries = Vec::new();
    for (label, files) in &events.libraries {
        let package = label.trim_start_matches("//").split(':').next().unwrap_or_default();
        for file in files {
            let path = on_host(out, file).ok_or_else(|| {
                missing(format!("`{label}` made `{file}`, outside {}", bazel::OUT))
            })?;
            libraries.push(OpLibrary { package: package.to_owned(), path });
        }
    }
    libraries.sort();
    let have: BTreeSet<_> = libraries.iter().map(|library| library.package.as_str()).collect();
    if let Some(package) = packages.iter().find(|package| !have.contains(package.name())) {
        return Err(missing(format!("op package `{}` builds no op library: no target of ops/{0}/BUILD is a `tf_custom_op_library`", package.name()))
            .hint(format!("add `tf_custom_op_library(name = \"{}\", …)` to it", package.library())));
    }
    let probe = events.probe.as_deref().and_then(|file| on_host(out, file));
    let probe = probe.ok_or_else(|| missing(format!("Bazel built no probe `{}`", bazel::PROBE)))?;
    Ok(Built { libraries, probe })
}

#[cfg(test)]
mod tests {
    #[test]
    fn how_actions_ran_is_read() {
        let ran = super::ran;
        assert_eq!(
            ran("INFO: x\nINFO: 25 processes: 6 internal, 19 linux-sandbox.\n[done]"),
            Some("6 internal, 19 linux-sandbox")
        );
        assert_eq!(ran("INFO: 1 process: 1 internal."), Some("1 internal"));
        assert_eq!(ran("nothing"), None);
    }
}
