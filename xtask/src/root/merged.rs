//! Joining what several packages or wheels put into one tree: who owns what, and whether
//! they agree. Pure: the same contents join or clash alike in any order of unpacking.

use std::collections::BTreeMap;

use crate::error::{Error, Kind, Result};
use crate::store::{Entry, Node};

use super::path::TreePath;
use super::tree::Entries;

/// Mode of a folder that no package declares.
const FOLDER: u32 = 0o755;

/// What several owners put into one tree.
#[derive(Default)]
pub struct Merged {
    entries: BTreeMap<TreePath, (Entry, usize)>,
    owners: Vec<String>,
}

impl Merged {
    /// Adds all of one owner. A path that another owns too must have the same content and
    /// mode; a folder may be everybody's and gets the modes of all.
    pub fn add(
        &mut self,
        owner: impl Into<String>,
        entries: impl IntoIterator<Item = (TreePath, Entry)>,
    ) -> Result<()> {
        let mine = self.owners.len();
        self.owners.push(owner.into());
        for (path, entry) in entries {
            let Some((there, theirs)) = self.entries.get_mut(&path) else {
                self.entries.insert(path, (entry, mine));
                continue;
            };
            if there.node == Node::Folder && entry.node == Node::Folder {
                there.mode |= entry.mode;
            } else if *there != entry {
                let (a, b) = (describe(there), describe(&entry));
                let (first, second) = (&self.owners[*theirs], &self.owners[mine]);
                return Err(clash(format!(
                    "`{path}` belongs to two: {a} in {first}, {b} in {second}"
                )));
            }
        }
        Ok(())
    }

    /// The entry at `path`.
    pub fn get(&self, path: &str) -> Option<&Entry> {
        self.entries.get(path).map(|(entry, _)| entry)
    }

    /// All entries so far, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&TreePath, &Entry)> {
        self.entries.iter().map(|(path, (entry, _))| (path, entry))
    }

    /// The direct entries of the folder `folder` (`""`: the tree's own).
    pub fn within<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        self.iter().filter_map(move |(path, entry)| {
            let rest = if folder.is_empty() { path.as_str() } else { path.below(folder)? };
            (!rest.contains('/')).then_some((rest, entry))
        })
    }

    /// Checks that nothing is below a link or a file. Until then what is in the tree must
    /// not be read: a path may lead out of it.
    pub fn check(&self) -> Result<()> {
        self.undeclared().map(drop)
    }

    /// All entries, with every folder that has something in it.
    pub fn finish(mut self) -> Result<Entries> {
        for (folder, owner) in self.undeclared()? {
            self.entries.insert(folder, (Entry::folder(FOLDER), owner));
        }
        Ok(self.entries.into_iter().map(|(path, (entry, _))| (path, entry)).collect())
    }

    /// Folders that have something in them and that nobody declares.
    fn undeclared(&self) -> Result<BTreeMap<TreePath, usize>> {
        let mut missing = BTreeMap::new();
        for (path, (_, owner)) in &self.entries {
            let mut above = path.parent();
            while let Some(folder) = above.filter(|folder| !missing.contains_key(folder)) {
                above = folder.parent();
                match self.entries.get(&folder) {
                    None => {
                        missing.insert(folder, *owner);
                    }
                    Some((entry, _)) if entry.node == Node::Folder => break,
                    Some((entry, other)) => {
                        let (what, owners) = (describe(entry), &self.owners);
                        return Err(clash(format!(
                            "`{path}` of {} is below `{folder}`, {what} in {}",
                            owners[*owner], owners[*other]
                        )));
                    }
                }
            }
        }
        Ok(missing)
    }
}

fn describe(entry: &Entry) -> String {
    match &entry.node {
        Node::Folder => "a folder".to_owned(),
        Node::File { size, digest } => {
            format!("a file ({size} bytes, mode {:o}, sha256 {})", entry.mode, digest.short())
        }
        Node::Link { target } => format!("a link to `{}`", target.display()),
    }
}

fn clash(message: String) -> Error {
    Error::new(Kind::Archive, message).hint("leave one of the two out of `workspace.toml`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    fn entries(list: &[(&str, Entry)]) -> Entries {
        list.iter().map(|(p, e)| (TreePath::try_from(*p).unwrap(), e.clone())).collect()
    }

    fn file(text: &str) -> Entry {
        Entry::file(0o644, text.len() as u64, Sha256::of(text.as_bytes()))
    }

    #[test]
    fn equal_files_and_shared_folders_join_and_parents_appear() {
        let mut merged = Merged::default();
        merged.add("a 1", entries(&[("u", Entry::folder(0o755)), ("u/x", file("x"))])).unwrap();
        merged.add("b 1", entries(&[("u", Entry::folder(0o1755)), ("u/x", file("x"))])).unwrap();
        merged.add("c 1", entries(&[("v/w/y", file("y"))])).unwrap();
        let names: Vec<_> = merged.within("u").map(|(name, _)| name).collect();
        assert_eq!(names, ["x"]);
        let all = merged.finish().unwrap();
        assert_eq!(all[&TreePath::try_from("u").unwrap()], Entry::folder(0o1755));
        assert_eq!(all[&TreePath::try_from("v/w").unwrap()], Entry::folder(0o755));
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn a_clash_names_the_path_and_both_owners() {
        for other in
            [file("y"), Entry { mode: 0o755, ..file("x") }, Entry::link("x"), Entry::folder(0o755)]
        {
            let mut merged = Merged::default();
            merged.add("a 1", entries(&[("u/x", file("x"))])).unwrap();
            let error = merged.add("b 2", entries(&[("u/x", other)])).unwrap_err();
            let text = error.message();
            assert!(text.starts_with("`u/x` belongs to two: a file"), "{text}");
            assert!(text.contains("in a 1") && text.ends_with("in b 2"), "{text}");
        }
    }

    #[test]
    fn nothing_is_below_a_link_or_a_file() {
        for above in [Entry::link("v"), file("x")] {
            let mut merged = Merged::default();
            merged.add("a 1", entries(&[("u", above)])).unwrap();
            merged.add("b 2", entries(&[("u/x/y", file("y"))])).unwrap();
            let text = merged.finish().unwrap_err().to_string();
            assert!(text.contains("`u/x/y` of b 2 is below `u`, a "), "{text}");
        }
    }
}
