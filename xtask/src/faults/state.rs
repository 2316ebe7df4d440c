//! What a stage made, as others see it, and whether that may be.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Stage;
use super::place::Place;
use crate::atomic::TEMPORARY;
use crate::build::finished;
use crate::error::{IoContext as _, Result};
use crate::image::layout::DRAFT;
use crate::store::{Entry, Manifest, Node};

/// All that is visible of a stage's work, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    entries: BTreeMap<PathBuf, Entry>,
    /// What the record of the last finished build says, when it holds.
    record: Option<String>,
}

/// What a kill left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// All as before.
    Old,
    /// All as after.
    New,
    /// Some files old, some new, each whole.
    Between,
}

impl State {
    /// Looks at `place`.
    pub fn of(place: &Place) -> Result<Self> {
        let mut state = State::default();
        let root = place.workspace.root();
        match place.stage {
            Stage::Lock => {
                let path = place.workspace.lock();
                let stat = path.symlink_metadata().at("read", &path)?;
                state.entries.insert("workspace.lock".into(), Entry::read(&path, &stat)?);
            }
            Stage::Object => state.files(place.store.root(), "objects")?,
            Stage::Tree => state.sealed_trees(&place.store.root().join("trees"))?,
            Stage::Publish => {
                state.files(root, "dist")?;
                state.files(root, "tests/snapshots")?;
            }
            Stage::Record => {
                state.files(root, "dist")?;
                state.record = finished::unchanged(&place.workspace).map(|last| last.summary);
            }
            Stage::Image => state.files(root, "dist/image")?,
        }
        Ok(state)
    }

    fn files(&mut self, root: &Path, folder: &str) -> Result<()> {
        let place = root.join(folder);
        if !place.is_dir() {
            return Ok(());
        }
        let manifest = Manifest::of_tree(&place)?;
        let seen = manifest
            .iter()
            .filter(|(path, entry)| entry.node != Node::Folder && !is_temporary(path));
        self.entries
            .extend(seen.map(|(path, entry)| (Path::new(folder).join(path), entry.clone())));
        Ok(())
    }

    /// A tree without its seal is not there.
    fn sealed_trees(&mut self, trees: &Path) -> Result<()> {
        if !trees.is_dir() {
            return Ok(());
        }
        for item in fs::read_dir(trees).at("read", trees)? {
            let seal = item.at("read", trees)?.path();
            if seal.extension().is_some_and(|extension| extension == "seal") {
                let tree = seal.with_extension("");
                let name = PathBuf::from(tree.file_name().unwrap_or_default());
                for (path, entry) in Manifest::of_tree(&tree)?.iter() {
                    self.entries.insert(name.join(path), entry.clone());
                }
            }
        }
        Ok(())
    }

    /// What this is of a way from `old` to `new`, or why it is bad.
    pub fn between(&self, old: &State, new: &State, stage: Stage) -> Result<Left, String> {
        if self == new {
            return Ok(Left::New);
        }
        if self == old {
            return Ok(Left::Old);
        }
        if stage.is_one_step() {
            return Err(format!("neither old nor new: {}", self.differs(new)));
        }
        for (path, entry) in &self.entries {
            let whole = [old, new].iter().any(|side| side.entries.get(path) == Some(entry));
            if !whole {
                return Err(format!("`{}` is neither old nor new", path.display()));
            }
        }
        for path in old.entries.keys().filter(|path| new.entries.contains_key(*path)) {
            if !self.entries.contains_key(path) {
                return Err(format!("`{}` is gone", path.display()));
            }
        }
        match &self.record {
            None => Ok(Left::Between),
            Some(record) => Err(format!("build {record} is recorded, and dist/ is not all of it")),
        }
    }

    /// How this differs from `other`, for people.
    pub fn differs(&self, other: &State) -> String {
        let all = self.entries.keys().chain(other.entries.keys());
        let mut odd = all.filter(|path| self.entries.get(*path) != other.entries.get(*path));
        match odd.next() {
            Some(path) => format!("`{}` differs", path.display()),
            None => format!("recorded is {:?}, expected {:?}", self.record, other.record),
        }
    }
}

fn is_temporary(path: &Path) -> bool {
    let draft = |part: &std::ffi::OsStr| part.to_string_lossy().ends_with(DRAFT);
    path.iter().any(draft)
        || path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY))
}

/// Temporary files that are still there.
pub fn temporary(place: &Place) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for root in [place.workspace.root().to_owned(), place.store.root().join("tmp")] {
        if root.is_dir() {
            let store = root.starts_with(place.store.root());
            let manifest = Manifest::of_tree(&root)?;
            let left =
                manifest.iter().map(|(path, _)| path).filter(|path| store || is_temporary(path));
            found.extend(left.map(Path::to_owned));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    fn state(files: &[(&str, &str)], record: Option<&str>) -> State {
        let entry = |text: &str| Entry::file(0o644, 1, Sha256::of(text.as_bytes()));
        let entries = files.iter().map(|(path, text)| (PathBuf::from(path), entry(text))).collect();
        State { entries, record: record.map(str::to_owned) }
    }

    #[test]
    fn what_is_torn_is_bad() {
        let old = state(&[("a", "1"), ("b", "1"), ("wheel-1", "1")], Some("1"));
        let new = state(&[("a", "2"), ("b", "2"), ("wheel-2", "2")], Some("2"));
        let judge = |files: &[(&str, &str)], record| {
            state(files, record).between(&old, &new, Stage::Record).map_err(|why| why.to_string())
        };
        let mixed = [("a", "2"), ("b", "1"), ("wheel-1", "1"), ("wheel-2", "2")];
        assert_eq!(judge(&mixed, None), Ok(Left::Between));
        let recorded = "build 1 is recorded, and dist/ is not all of it";
        assert_eq!(judge(&mixed, Some("1")), Err(recorded.to_owned()));
        assert_eq!(judge(&[("a", "1")], None), Err("`b` is gone".to_owned()));
        let half = [("a", "half"), ("b", "1")];
        assert_eq!(judge(&half, None), Err("`a` is neither old nor new".to_owned()));
        assert_eq!(old.between(&old, &new, Stage::Record), Ok(Left::Old));
        assert_eq!(new.between(&old, &new, Stage::Record), Ok(Left::New));
        assert!(state(&mixed, None).between(&old, &new, Stage::Lock).is_err());
    }
}
