//! Where a wheel's files go when it is installed ("Binary distribution format",
//! installing a wheel), into one folder as `pip install --target` has it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::digest::Sha256;
use crate::error::Result;
use crate::root::path::TreePath;
use crate::store::Entry;

use super::{Wheel, record, scripts};

/// One file of an installed wheel.
#[derive(Clone, Debug)]
pub struct Installed {
    /// Where it goes in site-packages.
    pub path: TreePath,
    /// 0644, or 0755 for a program.
    pub mode: u32,
    /// Bytes of its content.
    pub size: u64,
    /// Of its content, known before it is written.
    pub digest: Sha256,
    /// Where its content comes from.
    pub content: Content,
}

/// Where an installed file's content comes from.
#[derive(Clone, Debug)]
pub enum Content {
    /// From the wheel as it is: an index into [`Wheel::entries`].
    Member(usize),
    /// From a file that takes its place.
    File(PathBuf),
    /// Made when the wheel is installed: RECORD, scripts.
    Made(Vec<u8>),
}

pub(super) const FILE: u32 = 0o644;
const PROGRAM: u32 = 0o755;

impl Installed {
    /// What will be there.
    pub fn entry(&self) -> Entry {
        Entry::file(self.mode, self.size, self.digest)
    }

    pub(super) fn made(path: TreePath, mode: u32, bytes: Vec<u8>) -> Self {
        let (size, digest) = (bytes.len() as u64, Sha256::of(&bytes));
        Installed { path, mode, size, digest, content: Content::Made(bytes) }
    }
}

impl Wheel {
    /// All files of the installed wheel, sorted by path. `.data/` is spread, entry points
    /// are scripts in `bin/`, and RECORD says so. Byte code is not made: it differs from
    /// one making to the next.
    pub fn installed(&self) -> Result<Vec<Installed>> {
        let mut files = BTreeMap::new();
        let mut put = |file: Installed| match files.insert(file.path.clone(), file) {
            None => Ok(()),
            Some(file) => Err(self.refuse(format!("two of its files become `{}`", file.path))),
        };
        for (at, member) in self.entries().iter().enumerate() {
            let Some(digest) = self.digests[at] else { continue };
            let (path, program) = self.place(&member.name)?;
            let executable = program || member.mode.is_some_and(|mode| mode & 0o111 != 0);
            let mode = if executable { PROGRAM } else { FILE };
            let made = if program { scripts::with_shebang(&self.read(member)?) } else { None };
            put(match made {
                Some(bytes) => Installed::made(path, mode, bytes),
                None => {
                    let content = Content::Member(at);
                    Installed { path, mode, size: member.size, digest, content }
                }
            })?;
        }
        if let Some(member) = self.get(&format!("{}/entry_points.txt", self.info)) {
            let scripts = scripts::from_entry_points(&self.read(member)?);
            for (name, bytes) in scripts.map_err(|why| self.refuse(why))? {
                put(Installed::made(self.path(&format!("bin/{name}"))?, PROGRAM, bytes))?;
            }
        }
        let own = self.path(&format!("{}/RECORD", self.info))?;
        let rows = files.values().map(|file| (&file.path, file.size, file.digest));
        let record = Installed::made(own.clone(), FILE, record::write(rows, &own).into_bytes());
        files.insert(own, record);
        Ok(files.into_values().collect())
    }

    /// Where a file of the archive goes, and whether it is a program by its place.
    fn place(&self, name: &TreePath) -> Result<(TreePath, bool)> {
        let data = self.info.strip_suffix("dist-info").map(|stem| format!("{stem}data"));
        let Some(below) = data.as_deref().and_then(|data| name.below(data)) else {
            return Ok((name.clone(), false));
        };
        match below.split_once('/') {
            Some(("purelib" | "platlib" | "data", rest)) => Ok((self.path(rest)?, false)),
            Some(("scripts", rest)) => Ok((self.path(&format!("bin/{rest}"))?, true)),
            Some(("headers", rest)) => {
                let distribution = &self.file_name.distribution;
                Ok((self.path(&format!("include/{distribution}/{rest}"))?, false))
            }
            _ => Err(self.refuse(format!("`{name}`: wheels have no such sort of data"))),
        }
    }

    pub(super) fn path(&self, text: &str) -> Result<TreePath> {
        TreePath::try_from(text).map_err(|error| error.context(format!("`{}`", self.name())))
    }
}
