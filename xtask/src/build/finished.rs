//! The last build that reproduced its ledger, so that nothing runs when nothing changed.
//!
//! The record is written after everything it speaks of is complete and on disk, and names
//! each input and output with its digest; any doubt means the build runs.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::build::source;
use crate::build::stamp::{Stamps, Stat};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::workspace::Workspace;

/// A build that finished.
#[derive(Debug, Serialize, Deserialize)]
pub struct Finished {
    /// The program that built: another xtask may build otherwise.
    program: Stat,
    stamps: Stamps,
    /// What the build said at its end.
    pub summary: String,
}

/// Files that decide the outcome besides the sources.
fn decisive(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let mut files = vec![workspace.pins(), workspace.lock()];
    let snapshots = workspace.snapshots();
    for entry in fs::read_dir(&snapshots).at("list", &snapshots)? {
        let path = entry.at("list", &snapshots)?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ledger__")) {
            files.push(path);
        }
    }
    Ok(files)
}

/// Stamps of every input, and of the `outputs`, by `known` stamps where those hold.
fn observe(workspace: &Workspace, outputs: &[String], known: &Stamps) -> Result<Stamps> {
    let mut fresh = Stamps::default();
    source::collect(workspace, known, &mut fresh)?;
    let named = |path: &Path| {
        path.strip_prefix(workspace.root()).unwrap_or(path).to_string_lossy().into_owned()
    };
    for path in decisive(workspace)? {
        known.digest(&named(&path), &path, &mut fresh)?;
    }
    for name in outputs {
        known.digest(name, &workspace.root().join(name), &mut fresh)?;
    }
    Ok(fresh)
}

fn place(workspace: &Workspace) -> PathBuf {
    workspace.scratch().join("finished.json")
}

/// The last finished build, when every input and output is still as it left them.
pub fn unchanged(workspace: &Workspace) -> Option<Finished> {
    let text = fs::read(place(workspace)).ok()?;
    let finished: Finished = serde_json::from_slice(&text).ok()?;
    let outputs: Vec<_> = finished
        .stamps
        .names()
        .filter(|name| name.starts_with("dist/"))
        .map(str::to_owned)
        .collect();
    let now = observe(workspace, &outputs, &finished.stamps).ok()?;
    (finished.program == program().ok()? && now.same_digests(&finished.stamps)).then_some(finished)
}

/// Forgets the last build: called before a new one touches any output.
pub fn forget(workspace: &Workspace) -> Result<()> {
    let path = place(workspace);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path, &e)),
        _ => Ok(()),
    }
}

/// Records a finished build. `outputs` are paths in the workspace.
pub fn record(
    workspace: &Workspace,
    before: &source::Sources,
    outputs: &[String],
    summary: &str,
) -> Result<()> {
    let mut stamps = observe(workspace, outputs, &Stamps::default())?;
    if !stamps.agree_with(before) {
        return Err(Error::new(Kind::Io, "a source was edited while the build ran: its outputs are not recorded as built from it")
            .hint("run `cargo xtask build-ops` again"));
    }
    let path = place(workspace);
    let clock = workspace.scratch().join("clock");
    fs::write(&clock, []).at("write", &clock)?;
    stamps.seal(&fs::metadata(&clock).at("read", &clock)?);
    let finished = Finished { program: program()?, stamps, summary: summary.to_owned() };
    let text = serde_json::to_vec(&finished).map_err(|e| Error::new(Kind::Io, e.to_string()))?;
    atomic::write(&path, &text)
}

fn program() -> Result<Stat> {
    let path = Path::new("/proc/self/exe");
    Ok(Stat::of_content(&fs::metadata(path).at("read", path)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace with one op and one output, recorded as built.
    fn built() -> (tempfile::TempDir, Workspace) {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "ops/a/BUILD",
            "toolchains/bazelrc",
            "workspace.toml",
            "workspace.lock",
            "dist/a.so",
            "tests/snapshots/ledger__digests.snap",
            "target/lockstep/x",
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "1").unwrap();
        }
        let workspace = Workspace::at(root.path());
        let sources =
            source::collect(&workspace, &Stamps::default(), &mut Stamps::default()).unwrap();
        record(&workspace, &sources, &["dist/a.so".to_owned()], "reproduced").unwrap();
        (root, workspace)
    }

    #[test]
    fn nothing_changed_is_seen() {
        let (_root, workspace) = built();
        assert_eq!(unchanged(&workspace).unwrap().summary, "reproduced");
    }

    #[test]
    fn any_change_of_input_or_output_is_seen() {
        for path in [
            "ops/a/BUILD",
            "toolchains/bazelrc",
            "workspace.toml",
            "workspace.lock",
            "dist/a.so",
            "tests/snapshots/ledger__digests.snap",
        ] {
            let (root, workspace) = built();
            fs::write(root.path().join(path), "2").unwrap();
            assert!(unchanged(&workspace).is_none(), "edited {path}");
            let (root, workspace) = built();
            fs::remove_file(root.path().join(path)).unwrap();
            assert!(unchanged(&workspace).is_none(), "removed {path}");
        }
        let (root, workspace) = built();
        fs::write(root.path().join("ops/a/new.h"), "").unwrap();
        assert!(unchanged(&workspace).is_none(), "added a source");
    }

    #[test]
    fn a_torn_record_means_that_the_build_runs() {
        let (_root, workspace) = built();
        let whole = fs::read(place(&workspace)).unwrap();
        for length in 0..whole.len() {
            fs::write(place(&workspace), &whole[..length]).unwrap();
            assert!(unchanged(&workspace).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn a_source_edited_during_the_build_is_not_recorded() {
        let (root, workspace) = built();
        let before =
            source::collect(&workspace, &Stamps::default(), &mut Stamps::default()).unwrap();
        fs::write(root.path().join("ops/a/BUILD"), "edited").unwrap();
        assert!(record(&workspace, &before, &[], "").is_err());
    }
}
