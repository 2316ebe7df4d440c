//! The sources that outputs are a function of, and the workspace id.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::build::stamp::Stamps;
use crate::digest::{Key, Sha256};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::workspace::Workspace;

/// Names below `ops/` and `toolchains/` that reach no output: tests, fuzzers, benchmarks,
/// notes, and the template of `new-op`.
const APART: [&str; 6] = ["tests", "fuzz", "bench.py", "README.md", "new-op", "__pycache__"];

/// Digest of each source by its path in the workspace, sorted.
pub type Sources = BTreeMap<String, Sha256>;

/// Digests all sources of `workspace`, by `known` stamps where those hold.
pub fn collect(workspace: &Workspace, known: &Stamps, fresh: &mut Stamps) -> Result<Sources> {
    let mut sources = Sources::new();
    for (name, folder) in [("ops", workspace.ops()), ("toolchains", workspace.toolchains())] {
        let mut visit = |name: &str, path: &Path| {
            sources.insert(name.to_owned(), known.digest(name, path, fresh)?);
            Ok(())
        };
        walk(name, &folder, &mut visit)?;
    }
    Ok(sources)
}

/// Whether a file at `path` in the workspace is such a source, if it is there.
pub fn reaches(path: &str) -> bool {
    let apart = |part: &str| APART.contains(&part) || part.starts_with('.');
    (path.starts_with("ops/") || path.starts_with("toolchains/")) && !path.split('/').any(apart)
}

/// Calls `visit` with name and path of each file below `folder` that reaches an output.
fn walk(
    name: &str,
    folder: &Path,
    visit: &mut impl FnMut(&str, &Path) -> Result<()>,
) -> Result<()> {
    for entry in fs::read_dir(folder).at("list", folder)? {
        let entry = entry.at("list", folder)?;
        let file_name = utf8(&entry.file_name(), folder)?;
        if APART.contains(&file_name.as_str()) || file_name.starts_with('.') {
            continue;
        }
        let name = format!("{name}/{file_name}");
        match entry.file_type().at("read", &entry.path())?.is_dir() {
            true => walk(&name, &entry.path(), visit)?,
            false => visit(&name, &entry.path())?,
        }
    }
    Ok(())
}

fn utf8(name: &OsStr, folder: &Path) -> Result<String> {
    name.to_str().map(str::to_owned).ok_or_else(|| {
        Error::new(
            Kind::Pins,
            format!("`{}` holds a file whose name is not UTF-8: {name:?}", folder.display()),
        )
        .hint("rename it: Bazel labels are UTF-8")
    })
}

/// The workspace id: digest of the lock and of all sources that outputs are a function of.
pub fn workspace_id(lock: &Sha256, sources: &Sources) -> Sha256 {
    let start = Key::new("workspace-id 1").field("lock", lock.bytes());
    sources.iter().fold(start, |key, (name, digest)| key.field(name, digest.bytes())).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> (tempfile::TempDir, Workspace) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("ops/a/BUILD", "b"),
            ("ops/a/kernels/a.cc", "c"),
            ("ops/a/tests/test_a.py", "t"),
            ("toolchains/bazelrc", "r"),
            ("toolchains/new-op/BUILD", "n"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let workspace = Workspace::at(root.path());
        (root, workspace)
    }

    fn id(workspace: &Workspace) -> Sha256 {
        let sources = collect(workspace, &Stamps::default(), &mut Stamps::default()).unwrap();
        workspace_id(&Sha256::of(b"lock"), &sources)
    }

    #[test]
    fn tests_and_templates_reach_no_output_and_sources_do() {
        let (root, workspace) = workspace();
        let before = id(&workspace);
        fs::write(root.path().join("ops/a/tests/test_a.py"), "other").unwrap();
        fs::write(root.path().join("toolchains/new-op/BUILD"), "other").unwrap();
        assert_eq!(id(&workspace), before);
        fs::write(root.path().join("ops/a/kernels/a.cc"), "other").unwrap();
        assert_ne!(id(&workspace), before);
    }

    #[test]
    fn sources_are_named_by_their_path_in_the_workspace() {
        let (_root, workspace) = workspace();
        let sources = collect(&workspace, &Stamps::default(), &mut Stamps::default()).unwrap();
        let names: Vec<_> = sources.keys().map(String::as_str).collect();
        assert_eq!(names, ["ops/a/BUILD", "ops/a/kernels/a.cc", "toolchains/bazelrc"]);
    }
}
