//! Whether a root is whole: each library that an ELF file in it asks for is in it too.
//!
//! Format: ELF (System V gABI, chapter 5, dynamic linking). A library counts as there under
//! any folder: which ones the loader searches depends on the program, and Java's are loaded
//! before they are asked for.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use object::elf::{DT_NEEDED, FileHeader64};
use object::endian::LittleEndian;
use object::read::elf::{Dyn as _, FileHeader as _};
use object::read::{ReadCache, ReadRef};

use crate::error::{IoContext as _, Result};

/// Beginnings of the names of files in bookworm's packages that a build and a training run
/// never load, and what they are for: what these ask for may be missing.
const UNUSED: [(&str, &str); 13] = [
    ("_curses.cpython", "curses in Python"),
    ("_curses_panel.cpython", "curses in Python"),
    ("_dbm.cpython", "Berkeley databases in Python"),
    ("_sqlite3.cpython", "SQLite in Python"),
    ("_uuid.cpython", "C's uuid in Python, which has its own"),
    ("libfontmanager.so", "fonts in Java"),
    ("libj2pcsc.so", "smart cards in Java"),
    ("libjavajpeg.so", "pictures in Java"),
    ("libjsound.so", "sound in Java"),
    ("liblcms.so", "colours in Java"),
    ("nis.cpython", "network information service in Python"),
    ("readline.cpython", "line editing in Python"),
    ("x86_64-linux-gnu-gp", "gprofng, a profiler"),
];

/// A file that asks for a library which is nowhere in the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// Path of the file below the root.
    pub file: String,
    /// The library's name, as the file has it.
    pub library: String,
}

impl Missing {
    /// Why it does not matter; `None` when it does.
    pub fn excuse(&self) -> Option<&'static str> {
        let name = self.file.rsplit('/').next().unwrap_or_default();
        UNUSED.iter().find(|(start, _)| name.starts_with(start)).map(|(_, why)| *why)
    }
}

/// All that is missing in the tree at `root`, sorted.
pub fn closure(root: &Path) -> Result<Vec<Missing>> {
    let mut there = BTreeSet::new();
    let mut asked = Vec::new();
    visit(root, root, &mut there, &mut asked)?;
    asked.retain(|missing| !there.contains(&missing.library));
    asked.sort();
    Ok(asked)
}

/// Collects the names of all files and links, and what the ELF files ask for.
fn visit(
    root: &Path,
    folder: &Path,
    there: &mut BTreeSet<String>,
    asked: &mut Vec<Missing>,
) -> Result<()> {
    for item in fs::read_dir(folder).at("read", folder)? {
        let item = item.at("read", folder)?;
        let (path, kind) = (item.path(), item.file_type().at("read", folder)?);
        if kind.is_dir() {
            visit(root, &path, there, asked)?;
            continue;
        }
        there.insert(item.file_name().to_string_lossy().into_owned());
        if kind.is_file() {
            let file = path.strip_prefix(root).unwrap_or(&path).to_string_lossy();
            let needed = needed(&path)?.into_iter();
            asked.extend(needed.map(|library| Missing { file: file.to_string(), library }));
        }
    }
    Ok(())
}

/// What the file at `path` asks for; nothing when a loader would not take it.
fn needed(path: &Path) -> Result<Vec<String>> {
    let file = File::open(path).at("open", path)?;
    let mut magic = [0; 4];
    match file.read_exact_at(&mut magic, 0) {
        Err(cause) if cause.kind() != ErrorKind::UnexpectedEof => {
            return Err(cause).at("read", path);
        }
        Ok(()) if magic == object::elf::ELFMAG => {}
        _ => return Ok(Vec::new()),
    }
    Ok(needed_by(&ReadCache::new(file)).unwrap_or_default())
}

fn needed_by<'data>(data: impl ReadRef<'data>) -> Option<Vec<String>> {
    let header = FileHeader64::<LittleEndian>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, data).ok()?;
    let (entries, link) = sections.dynamic(endian, data).ok()??;
    let names = sections.strings(endian, data, link).ok()?;
    let mut needed = Vec::new();
    for entry in entries {
        if entry.tag(endian) == DT_NEEDED {
            let name = entry.string(endian, names).ok()?;
            needed.push(String::from_utf8_lossy(name).into_owned());
        }
    }
    Some(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_program_misses_its_libraries_until_they_are_there() {
        let root = tempfile::tempdir().unwrap();
        let lib = root.path().join("usr/lib");
        fs::create_dir_all(&lib).unwrap();
        fs::copy(std::env::current_exe().unwrap(), root.path().join("usr/program")).unwrap();
        fs::write(root.path().join("usr/text"), "\x7fELF and no more").unwrap();
        fs::write(root.path().join("usr/empty"), "").unwrap();
        let missing = closure(root.path()).unwrap();
        let libc = Missing { file: "usr/program".to_owned(), library: "libc.so.6".to_owned() };
        assert!(missing.contains(&libc), "{missing:?}");
        assert!(missing.iter().all(|missing| missing.excuse().is_none()));

        for missing in &missing {
            std::os::unix::fs::symlink("nowhere", lib.join(&missing.library)).unwrap();
        }
        assert_eq!(closure(root.path()).unwrap(), []);
    }

    #[test]
    fn parts_that_are_never_loaded_are_excused() {
        let missing = |file: &str| Missing { file: file.to_owned(), library: "libx.so".to_owned() };
        assert!(missing("usr/lib/python3.9/lib-dynload/_dbm.cpython-39.so").excuse().is_some());
        assert!(missing("usr/lib/x/_ssl.cpython-39.so").excuse().is_none());
    }
}
