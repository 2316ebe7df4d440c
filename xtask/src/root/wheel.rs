//! Wheels: "Binary distribution format" (PyPA specification 1.0, PEP 427 and 491).

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Kind, Result};

use super::path::TreePath;
use super::zip::{Archive, Member, Raw};

/// A wheel whose directory has been checked.
#[derive(Debug)]
pub struct Wheel {
    archive: Archive,
    by_name: BTreeMap<TreePath, usize>,
}

impl Wheel {
    /// Opens the wheel at `path`; `file` is its name on the index.
    pub fn open(path: &Path, file: &str) -> Result<Self> {
        let archive = Archive::open(path, file)?;
        let names = archive.members().iter().enumerate();
        let by_name = names.map(|(at, member)| (member.name.clone(), at)).collect();
        Ok(Wheel { archive, by_name })
    }

    /// The wheel's file name on the index.
    pub fn name(&self) -> &str {
        self.archive.name()
    }

    /// All files of the archive.
    pub fn entries(&self) -> &[Member] {
        self.archive.members()
    }

    /// The file at `path`, if there is one.
    pub fn get(&self, path: &str) -> Option<&Member> {
        self.by_name.get(path).and_then(|at| self.entries().get(*at))
    }

    /// The file at `path`; an error that names the wheel and the path when there is none.
    pub fn need(&self, path: &str) -> Result<&Member> {
        self.get(path)
            .ok_or_else(|| Error::new(Kind::Archive, format!("`{}` has no `{path}`", self.name())))
    }

    /// The bytes of `entry` as they are in the archive.
    pub fn raw(&self, entry: &Member) -> Raw<'_> {
        self.archive.raw(entry)
    }

    /// The content of `entry`, at most 64 MiB.
    pub fn read(&self, entry: &Member) -> Result<Vec<u8>> {
        self.archive.read(entry)
    }

    /// Gives the content of `entry` to `sink` piece by piece; right only after `Ok`.
    pub fn copy(&self, entry: &Member, sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.archive.copy(entry, sink)
    }
}
