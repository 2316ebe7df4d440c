//! The gate of each op: which rows of the ledger moved, and which source file moved each.
//!
//! The committed ledger speaks of the sources at the commit that last wrote it; git says what
//! changed since. A file moves the rows that it can reach and no other.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use xshell::cmd;

use super::narrow::Artifact;
use crate::build::label::{self, Label};
use crate::build::op::OpPackage;
use crate::build::source;
use crate::command::{self, Env};
use crate::error::Result;
use crate::ledger::digests::{ALL, Row};
use crate::ledger::snapshot::Snapshot;
use crate::workspace::Workspace;

/// One row and what changed for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Op package, or `*`.
    pub package: String,
    /// File name.
    pub file: String,
    /// Whether it differs from the committed row.
    pub moved: bool,
    /// Changed files that reach it.
    pub by: Vec<String>,
}

impl Moved {
    /// What a reviewer reads; none when there is nothing to say.
    pub fn sentence(&self, since: &str) -> Option<String> {
        let name = if self.package == ALL { &self.file } else { &self.package };
        let by = self.by.join(", ");
        match (self.moved, self.by.is_empty()) {
            (true, false) => Some(format!("{name}: moved by {by}")),
            (true, true) => Some(format!(
                "{name}: moved, although nothing that reaches it changed since {since}"
            )),
            (false, false) => Some(format!("{name}: as it was, although {} changed", self.some())),
            (false, true) => None,
        }
    }

    /// The first of the files: that something moved nothing is read once.
    fn some(&self) -> String {
        const SHOWN: usize = 3;
        let shown = self.by.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        match self.by.len().saturating_sub(SHOWN) {
            0 => shown,
            more => format!("{shown} and {more} more"),
        }
    }
}

/// Files that changed since the committed ledger was written, and that commit; the error is
/// why nobody knows.
pub fn changed(workspace: &Workspace, snapshot: &Snapshot) -> Result<(String, Vec<String>)> {
    let sh = command::shell()?;
    sh.change_dir(workspace.root());
    let env = Env::host(&[]);
    let path = snapshot.path();
    let commit = command::read(cmd!(sh, "git log -1 --format=%h -- {path}"), &env)?;
    let commit = commit.trim().to_owned();
    if commit.is_empty() {
        return Ok((commit, Vec::new()));
    }
    let tracked = ["ops", "toolchains", "workspace.lock"];
    // `git diff` shows a checkout below another repository's folder with that folder.
    let changed = command::read(
        cmd!(sh, "git diff --relative --name-only -z {commit} -- {tracked...}"),
        &env,
    )?;
    let new = cmd!(sh, "git ls-files --others --exclude-standard -z -- {tracked...}");
    let new = command::read(new, &env)?;
    let names = changed.split('\0').chain(new.split('\0')).filter(|name| !name.is_empty());
    let files: BTreeSet<String> = names
        .filter(|name| *name == "workspace.lock" || source::reaches(name))
        .map(str::to_owned)
        .collect();
    Ok((commit, files.into_iter().collect()))
}

/// What each op package is built from besides itself: the packages that its BUILD file names,
/// and theirs.
pub fn reach(workspace: &Workspace, packages: &[OpPackage]) -> BTreeMap<String, BTreeSet<String>> {
    let named = |package: &OpPackage| -> BTreeSet<String> {
        let folder = workspace.ops().join(package.name());
        let text = ["BUILD.bazel", "BUILD"].map(|name| std::fs::read_to_string(folder.join(name)));
        let text = text.into_iter().flatten().next().unwrap_or_default();
        let labels = label::mentions(&text).into_iter().filter_map(|m| Label::parse(&m.text));
        let own = labels.filter(|label| label.repository.is_none()).filter_map(|l| l.package);
        own.map(|path| path.split('/').next().unwrap_or_default().to_owned())
            .chain([package.name().to_owned()])
            .collect()
    };
    let mut reach: BTreeMap<String, BTreeSet<String>> =
        packages.iter().map(|package| (package.name().to_owned(), named(package))).collect();
    for _ in packages {
        let before = reach.clone();
        for of in reach.values_mut() {
            let further: Vec<String> =
                of.iter().filter_map(|p| before.get(p)).flatten().cloned().collect();
            of.extend(further);
        }
        if reach == before {
            break;
        }
    }
    reach
}

/// Whether `file` can reach the artifact.
fn reaches(file: &str, artifact: &Artifact, reach: &BTreeMap<String, BTreeSet<String>>) -> bool {
    let (package, _) = artifact;
    let owner = file.strip_prefix("ops/").and_then(|rest| rest.split_once('/')).map(|(p, _)| p);
    let is_wheel = package == ALL;
    match owner {
        _ if file.starts_with("toolchains/image/") => false,
        _ if is_wheel => true,
        _ if file.ends_with(".py") || file.starts_with("toolchains/wheel/") => false,
        Some(owner) if reach.contains_key(owner) => {
            reach.get(package).is_some_and(|of| of.contains(owner))
        }
        _ => true,
    }
}

/// What happened to each row between `committed` and `found`, by the `changed` files.
pub fn moves(
    committed: &[Row],
    found: &[Row],
    changed: &[String],
    reach: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<Moved> {
    let rows = |rows: &[Row]| -> BTreeMap<Artifact, _> {
        let rows = rows.iter().filter(|row| row.is_artifact());
        rows.map(|row| ((row.package.clone(), row.file.clone()), row.sha256)).collect()
    };
    let (old, new) = (rows(committed), rows(found));
    let all: BTreeSet<&Artifact> = old.keys().chain(new.keys()).collect();
    all.into_iter()
        .map(|artifact| Moved {
            package: artifact.0.clone(),
            file: artifact.1.clone(),
            moved: old.get(artifact) != new.get(artifact),
            by: changed.iter().filter(|file| reaches(file, artifact, reach)).cloned().collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    fn row(package: &str, file: &str, bytes: &str) -> Row {
        Row::new(package, file, "linux/amd64", Sha256::of(bytes.as_bytes()))
    }

    fn told(found: &[Row], changed: &[&str]) -> Vec<String> {
        let committed =
            [row(ALL, "w.whl", "w"), row("a", "liba.so", "a"), row("b", "libb.so", "b")];
        let reach = [("a", vec!["a"]), ("b", vec!["a", "b"])]
            .map(|(p, of)| (p.to_owned(), of.into_iter().map(str::to_owned).collect()))
            .into();
        let changed: Vec<String> = changed.iter().map(ToString::to_string).collect();
        let moved = moves(&committed, found, &changed, &reach);
        moved.iter().filter_map(|moved| moved.sentence("1234567")).collect()
    }

    #[test]
    fn a_row_is_moved_by_the_files_that_reach_it() {
        let (w, a, b) =
            (row(ALL, "w.whl", "W"), row("a", "liba.so", "a"), row("b", "libb.so", "B"));
        assert_eq!(
            told(&[w.clone(), a.clone(), b.clone()], &["ops/b/kernels/b.cc"]),
            ["w.whl: moved by ops/b/kernels/b.cc", "b: moved by ops/b/kernels/b.cc"]
        );
        let four = ["ops/a/1.cc", "ops/a/2.cc", "ops/a/3.cc", "ops/a/4.cc"];
        assert_eq!(
            told(&[w.clone(), a.clone(), b.clone()], &four)[1],
            "a: as it was, although ops/a/1.cc, ops/a/2.cc, ops/a/3.cc and 1 more changed"
        );
        // b is built from a, too; a wrapper reaches the wheel alone.
        assert_eq!(
            told(&[w.clone(), a.clone(), b], &["ops/a/a.cc", "ops/b/__init__.py"]),
            [
                "w.whl: moved by ops/a/a.cc, ops/b/__init__.py",
                "a: as it was, although ops/a/a.cc changed",
                "b: moved by ops/a/a.cc",
            ]
        );
        let same = row("b", "libb.so", "b");
        assert_eq!(
            told(&[w, row("a", "liba.so", "A"), same], &["ops/b/b.cc"]),
            [
                "w.whl: moved by ops/b/b.cc",
                "a: moved, although nothing that reaches it changed since 1234567",
                "b: as it was, although ops/b/b.cc changed",
            ]
        );
    }

    #[test]
    fn a_toolchain_reaches_every_library() {
        let found = [row(ALL, "w.whl", "W"), row("a", "liba.so", "A"), row("b", "libb.so", "B")];
        let told = told(&found, &["toolchains/cc/toolchain.bzl"]);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told.iter().all(|line| line.ends_with("moved by toolchains/cc/toolchain.bzl")));
    }
}
