//! What the framework library and the runtime root's libraries provide to an op.
//!
//! Looked up as the loader does it, through each library's own `.gnu.hash` table: nothing
//! is built, and of the hundreds of megabytes only the tables that are asked are read.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use object::LittleEndian as LE;
use object::elf;
use object::elf::gnu_hash;
use object::read::elf::{
    Dyn as _, FileHeader as _, GnuHashTable, SectionHeader as _, SectionTable, Sym as _,
    SymbolTable, Version, VersionTable,
};
use object::read::{ReadCache, ReadRef as _};

use super::elf::{Damage, Header, Undefined};
use super::symbol;
use crate::error::{Error, IoContext as _, Kind, Result};

/// The libraries that every op may count on, besides TensorFlow's: the C and C++ runtime.
pub const BASE_LIBRARIES: [&str; 5] =
    ["libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1", "ld-linux-x86-64.so.2"];

/// Where a Debian root of x86-64 keeps them.
const LIBRARY_FOLDERS: [&str; 3] = ["usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib"];

type Cache = ReadCache<File>;

/// Library files, open but not read.
pub struct Files {
    framework: (PathBuf, Cache),
    whole: Option<(PathBuf, Cache)>,
    base: Vec<(PathBuf, Cache)>,
}

impl Files {
    /// Opens the framework library, its big sibling `libtensorflow_cc` when it is there, and
    /// the C and C++ runtime of `runtime_root`.
    pub fn open(framework: &Path, runtime_root: &Path) -> Result<Self> {
        let open = |path: PathBuf| -> Result<(PathBuf, Cache)> {
            let file = File::open(&path).at("open", &path)?;
            Ok((path, ReadCache::new(file)))
        };
        let whole = sibling(framework).filter(|path| path.is_file());
        let base = BASE_LIBRARIES.iter().map(|name| open(find_in_root(runtime_root, name)?));
        Ok(Files {
            framework: open(framework.to_owned())?,
            whole: whole.map(open).transpose()?,
            base: base.collect::<Result<_>>()?,
        })
    }
}

/// `libtensorflow_framework.so.2` to `libtensorflow_cc.so.2`, in the same folder.
fn sibling(framework: &Path) -> Option<PathBuf> {
    let name = framework.file_name()?.to_str()?;
    Some(framework.with_file_name(name.replace("_framework", "_cc")))
}

/// Finds a library in a root, whose links are never followed out of it.
fn find_in_root(root: &Path, name: &str) -> Result<PathBuf> {
    let candidates = LIBRARY_FOLDERS.iter().map(|folder| Path::new(folder).join(name));
    for candidate in candidates {
        let mut path = candidate;
        for _ in 0..8 {
            match std::fs::read_link(root.join(&path)) {
                Ok(target) if target.is_absolute() => {
                    path = target.components().skip(1).collect();
                }
                Ok(target) if target.components().count() == 1 => path.set_file_name(target),
                Ok(_) => break, // `../…` does not occur among these libraries
                Err(_) if root.join(&path).is_file() => return Ok(root.join(path)),
                Err(_) => break,
            }
        }
    }
    let message = format!("the runtime root has no {name}: looked in `{}`", root.display());
    Err(Error::new(Kind::Abi, message)
        .hint("add the package that has it to the runtime's packages in workspace.toml"))
}

/// All that an op may count on, ready for lookups.
pub struct Providers<'a> {
    /// TensorFlow's framework library: the one that ops link.
    pub framework: Library<'a>,
    /// The C and C++ runtime.
    pub base: Vec<Library<'a>>,
    whole: OnceCell<Option<Library<'a>>>,
    files: &'a Files,
}

impl<'a> Providers<'a> {
    /// Reads the tables that lookups start from.
    pub fn read(files: &'a Files) -> Result<Self> {
        let read = |(path, cache): &'a (PathBuf, Cache)| Library::read(path, cache);
        Ok(Providers {
            framework: read(&files.framework)?,
            base: files.base.iter().map(read).collect::<Result<_>>()?,
            whole: OnceCell::new(),
            files,
        })
    }

    /// TensorFlow's whole library, which ops must not need: only to explain, hence read late.
    pub fn whole(&self) -> Option<&Library<'a>> {
        let read = |(path, cache)| Library::read(path, cache).ok();
        let whole = || self.files.whole.as_ref().and_then(|(path, cache)| read((path, cache)));
        self.whole.get_or_init(whole).as_ref()
    }

    /// The libraries that an op may need.
    pub fn allowed(&self) -> impl Iterator<Item = &Library<'a>> {
        std::iter::once(&self.framework).chain(&self.base)
    }

    /// The library that provides a symbol.
    pub fn of(&self, symbol: &Undefined<'_>) -> Option<&Library<'a>> {
        self.allowed().find(|library| library.provides(symbol.name, symbol.version.as_ref()))
    }

    /// The base library with this name.
    pub fn base(&self, soname: &str) -> Option<&Library<'a>> {
        self.base.iter().find(|library| library.soname == soname)
    }
}

/// One library that provides symbols.
pub struct Library<'a> {
    /// What `DT_NEEDED` calls it.
    pub soname: String,
    /// The symbol versions that it defines (`.gnu.version_d`).
    pub versions: BTreeSet<&'a str>,
    hash: GnuHashTable<'a, Header>,
    symbols: SymbolTable<'a, Header, &'a Cache>,
    table: VersionTable<'a, Header>,
    names: (&'a Cache, u64, u64),
}

impl<'a> Library<'a> {
    fn read(path: &Path, cache: &'a Cache) -> Result<Self> {
        Self::parse(path, cache).map_err(|damage| {
            let message = format!("cannot look up symbols in `{}`: it is {damage}", path.display());
            Error::new(Kind::Abi, message)
        })
    }

    fn parse(path: &Path, cache: &'a Cache) -> std::result::Result<Self, Damage> {
        let sections = Header::parse(cache)?.sections(LE, cache)?;
        let symbols = sections.symbols(LE, cache, elf::SHT_DYNSYM)?;
        let (hash, _) = sections
            .gnu_hash(LE, cache)?
            .ok_or_else(|| Damage::Malformed("it has no .gnu.hash table".to_owned()))?;
        let table = sections.versions(LE, cache)?.unwrap_or_default();
        let names = sections.section(symbols.string_section())?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Library {
            soname: soname(&sections, cache)?.unwrap_or(&name).to_owned(),
            versions: defined_versions(&sections, cache)?,
            hash,
            table,
            names: (cache, names.sh_offset(LE), names.sh_size(LE)),
            symbols,
        })
    }

    /// Whether it exports `name`, at `version` when one is asked for.
    pub fn provides(&self, name: &str, version: Option<&Version<'_>>) -> bool {
        self.find(name, version).is_some()
    }

    /// Whether it exports `name` as its own, not as one of many copies of an inline function.
    pub fn owns(&self, name: &str) -> bool {
        self.find(name, None).is_some_and(|symbol| symbol.st_bind() == elf::STB_GLOBAL)
    }

    fn find(&self, name: &str, version: Option<&Version<'_>>) -> Option<&'a elf::Sym64<LE>> {
        let (name, hash) = (name.as_bytes(), gnu_hash(name.as_bytes()));
        let (_, symbol) = self.hash.find(LE, name, hash, version, &self.symbols, &self.table)?;
        (!symbol.is_undefined(LE)).then_some(symbol)
    }

    /// absl's inline namespace in its names, the first one met.
    pub fn absl_tag(&self) -> Option<&'a str> {
        const PIECE: u64 = 64 << 10; // it is in the first piece: most names take a Status
        let (cache, offset, size) = self.names;
        (0..size).step_by(PIECE as usize).find_map(|at| {
            let bytes = cache.read_bytes_at(offset + at, PIECE.min(size - at)).ok()?;
            let mut names = bytes.split(|byte| *byte == 0);
            names.find_map(|name| std::str::from_utf8(name).ok().and_then(symbol::absl_tag))
        })
    }

    /// Every name in its string table: mostly what it exports. For explanations only, as it
    /// reads megabytes.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        let (cache, offset, size) = self.names;
        let bytes = cache.read_bytes_at(offset, size).unwrap_or_default();
        bytes.split(|byte| *byte == 0).filter_map(|name| std::str::from_utf8(name).ok())
    }
}

fn soname<'a>(
    sections: &SectionTable<'a, Header, &'a Cache>,
    cache: &'a Cache,
) -> object::read::Result<Option<&'a str>> {
    let Some((entries, link)) = sections.dynamic(LE, cache)? else { return Ok(None) };
    let strings = sections.strings(LE, cache, link)?;
    let entry = entries.iter().find(|entry| entry.d_tag(LE) == elf::DT_SONAME);
    let name = entry.map(|entry| entry.string(LE, strings)).transpose()?;
    Ok(name.and_then(|name| std::str::from_utf8(name).ok()))
}

fn defined_versions<'a>(
    sections: &SectionTable<'a, Header, &'a Cache>,
    cache: &'a Cache,
) -> object::read::Result<BTreeSet<&'a str>> {
    let mut found = BTreeSet::new();
    let Some((mut definitions, link)) = sections.gnu_verdef(LE, cache)? else { return Ok(found) };
    let strings = sections.strings(LE, cache, link)?;
    while let Some((_, mut names)) = definitions.next()? {
        if let Some(name) = names.next()? {
            found.extend(std::str::from_utf8(name.name(LE, strings)?));
        }
    }
    Ok(found)
}
