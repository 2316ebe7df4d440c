//! One op library as the loader sees it.
//!
//! Format: System V gABI chapter 4 and 5, the x86-64 psABI, and the GNU symbol versioning
//! of the LSB Core specification, section "Symbol Versioning". Every read is bounds-checked
//! by `object`; nothing allocated is larger than the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use object::LittleEndian as LE;
use object::elf;
use object::read::elf::{
    Dyn as _, FileHeader as _, ProgramHeader as _, SectionHeader as _, SectionTable, Sym as _,
    SymbolTable, Version, VersionTable,
};

use super::isa::Needs;

pub(super) type Header = elf::FileHeader64<LE>;

/// A shared library of x86-64, read but not judged.
#[derive(Debug, Default)]
pub struct Elf<'data> {
    /// The whole file.
    pub bytes: &'data [u8],
    /// `DT_SONAME`.
    pub soname: Option<&'data str>,
    /// `DT_NEEDED`, in the loader's order.
    pub needed: Vec<&'data str>,
    /// `DT_RUNPATH`.
    pub runpath: Option<&'data str>,
    /// `DT_RPATH`, which the loader searches before `LD_LIBRARY_PATH`.
    pub rpath: Option<&'data str>,
    /// Whether the loader must write into code (`DT_TEXTREL`, `DF_TEXTREL`).
    pub text_relocations: bool,
    /// Whether the stack becomes executable: `PT_GNU_STACK` says so, or is missing.
    pub executable_stack: bool,
    /// Whether a segment is writable and executable at once.
    pub writable_code: bool,
    /// The GNU build id.
    pub build_id: Option<&'data [u8]>,
    /// What other libraries must provide.
    pub undefined: Vec<Undefined<'data>>,
    /// What this library exports.
    pub defined: Vec<Defined<'data>>,
    /// Symbol versions needed, by the library that must have them (`.gnu.version_r`).
    pub versions_needed: BTreeMap<&'data str, BTreeSet<&'data str>>,
    /// The compilers that left a note in `.comment`.
    pub compilers: BTreeSet<&'data str>,
    /// Named parts of the file.
    pub sections: Vec<Section<'data>>,
    /// Functions with their addresses, of `.symtab` or else `.dynsym`, sorted.
    pub functions: Vec<Function<'data>>,
    /// What its instructions need of the processor.
    pub needs: Needs,
}

/// A symbol that must come from elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Undefined<'data> {
    /// Mangled.
    pub name: &'data str,
    /// The version that it is bound to, when it is versioned.
    pub version: Option<Version<'data>>,
    /// Whether it may stay undefined.
    pub weak: bool,
}

/// An exported symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Defined<'data> {
    /// Mangled.
    pub name: &'data str,
    /// Not an inline function or template instantiation, which many libraries may have.
    pub strong: bool,
}

/// A section of the file.
#[derive(Clone, Copy, Debug)]
pub struct Section<'data> {
    /// `.text`.
    pub name: &'data str,
    /// Where its bytes start in the file.
    pub offset: u64,
    /// Where it is loaded.
    pub address: u64,
    /// Its bytes; none for `.bss`.
    pub data: &'data [u8],
    /// Whether it holds instructions.
    pub code: bool,
    /// Whether it is loaded and holds what the compiler made of the sources: code and data,
    /// not the linker's tables and notes.
    pub program: bool,
}

/// A function and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Function<'data> {
    /// Address of its first instruction.
    pub address: u64,
    /// Bytes; 0 when nobody said.
    pub size: u64,
    /// Mangled.
    pub name: &'data str,
}

/// Why a file is not an op library, as a sentence of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// No bytes at all.
    Empty,
    /// It starts like something else.
    Foreign(&'static str),
    /// The header speaks of bytes beyond the file's end.
    Truncated {
        /// Bytes that the header speaks of.
        expected: u64,
        /// Bytes that there are.
        found: u64,
    },
    /// A table in it contradicts itself.
    Malformed(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Empty => write!(f, "an empty file"),
            Damage::Foreign(what) => write!(f, "{what}"),
            Damage::Truncated { expected, found } => {
                write!(f, "a truncated library: {found} of {expected} bytes")
            }
            Damage::Malformed(what) => write!(f, "a damaged library: {what}"),
        }
    }
}

impl From<object::read::Error> for Damage {
    fn from(error: object::read::Error) -> Self {
        Damage::Malformed(error.to_string())
    }
}

impl<'data> Elf<'data> {
    /// Reads a shared library of x86-64.
    pub fn parse(bytes: &'data [u8]) -> Result<Self, Damage> {
        check_kind(bytes)?;
        let header = Header::parse(bytes)?;
        check_complete(header, bytes)?;
        let sections = header.sections(LE, bytes)?;
        if sections.is_empty() {
            return Err(Damage::Malformed("it has no section headers".into()));
        }
        let mut found = Elf { bytes, ..Elf::default() };
        found.read_segments(header)?;
        found.read_sections(&sections)?;
        found.read_dynamic(&sections)?;
        let symbols = sections.symbols(LE, bytes, elf::SHT_DYNSYM)?;
        let versions = sections.versions(LE, bytes)?.unwrap_or_default();
        found.read_symbols(&symbols, &versions)?;
        found.read_versions(&sections)?;
        found.read_functions(&sections, &symbols)?;
        found.needs = Needs::of(&found);
        Ok(found)
    }

    /// The function that holds `address`, and how far into it.
    pub fn function_at(&self, address: u64) -> Option<(&'data str, u64)> {
        let after = self.functions.partition_point(|function| function.address <= address);
        let function = self.functions.get(after.checked_sub(1)?)?;
        let offset = address - function.address;
        (function.size == 0 || offset < function.size).then_some((function.name, offset))
    }

    /// The section whose bytes in the file hold `offset`.
    pub fn section_at(&self, offset: u64) -> Option<&Section<'data>> {
        let holds = |section: &&Section<'_>| {
            offset.checked_sub(section.offset).is_some_and(|at| at < section.data.len() as u64)
        };
        self.sections.iter().find(holds)
    }

    fn read_segments(&mut self, header: &'data Header) -> Result<(), Damage> {
        self.executable_stack = true; // the kernel's default when nothing is said
        for segment in header.program_headers(LE, self.bytes)? {
            let flags = segment.p_flags(LE);
            match segment.p_type(LE) {
                elf::PT_GNU_STACK => self.executable_stack = flags.contains(elf::PF_X),
                elf::PT_LOAD => {
                    self.writable_code |= flags.contains(elf::PF_X) && flags.contains(elf::PF_W);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_sections(&mut self, sections: &SectionTable<'data, Header>) -> Result<(), Damage> {
        for section in sections.iter() {
            let flags = section.sh_flags(LE);
            let name = text(sections.section_name(LE, section)?)?;
            let data = section.data(LE, self.bytes)?;
            let from_compiler = matches!(
                section.sh_type(LE),
                elf::SHT_PROGBITS | elf::SHT_INIT_ARRAY | elf::SHT_FINI_ARRAY
            );
            if let Some(mut notes) = section.notes(LE, self.bytes)? {
                while let Some(note) = notes.next()? {
                    if note.name() == elf::ELF_NOTE_GNU && note.n_type(LE) == elf::NT_GNU_BUILD_ID {
                        self.build_id = Some(note.desc());
                    }
                }
            }
            if name == ".comment" {
                let lines = data.split(|byte| *byte == 0).filter(|line| !line.is_empty());
                self.compilers = lines.map(text).collect::<Result<_, _>>()?;
            }
            self.sections.push(Section {
                name,
                offset: section.sh_offset(LE),
                address: section.sh_addr(LE),
                data,
                code: flags.contains(elf::SHF_EXECINSTR),
                program: flags.contains(elf::SHF_ALLOC) && from_compiler,
            });
        }
        Ok(())
    }

    fn read_dynamic(&mut self, sections: &SectionTable<'data, Header>) -> Result<(), Damage> {
        let Some((entries, link)) = sections.dynamic(LE, self.bytes)? else {
            return Err(Damage::Malformed("it has no dynamic section".into()));
        };
        let strings = sections.strings(LE, self.bytes, link)?;
        for entry in entries {
            let string = || text(entry.string(LE, strings)?);
            match entry.d_tag(LE) {
                elf::DT_NULL => break,
                elf::DT_NEEDED => self.needed.push(string()?),
                elf::DT_SONAME => self.soname = Some(string()?),
                elf::DT_RUNPATH => self.runpath = Some(string()?),
                elf::DT_RPATH => self.rpath = Some(string()?),
                elf::DT_TEXTREL => self.text_relocations = true,
                elf::DT_FLAGS => self.text_relocations |= entry.d_val(LE) & DF_TEXTREL != 0,
                _ => {}
            }
        }
        Ok(())
    }

    fn read_symbols(
        &mut self,
        symbols: &SymbolTable<'data, Header>,
        versions: &VersionTable<'data, Header>,
    ) -> Result<(), Damage> {
        for (index, symbol) in symbols.enumerate() {
            let name = text(symbols.symbol_name(LE, symbol)?)?;
            if name.is_empty() || symbol.is_local() {
                continue;
            }
            if symbol.is_undefined(LE) {
                let version = versions.version_index(LE, index).index();
                let version = versions.version(version)?.copied();
                self.undefined.push(Undefined { name, version, weak: symbol.is_weak() });
            } else if matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_OBJECT | elf::STT_TLS) {
                let strong = symbol.st_bind() == elf::STB_GLOBAL;
                self.defined.push(Defined { name, strong });
            }
        }
        Ok(())
    }

    fn read_versions(&mut self, sections: &SectionTable<'data, Header>) -> Result<(), Damage> {
        let Some((mut needs, link)) = sections.gnu_verneed(LE, self.bytes)? else {
            return Ok(());
        };
        let strings = sections.strings(LE, self.bytes, link)?;
        while let Some((need, mut versions)) = needs.next()? {
            let file = text(need.file(LE, strings)?)?;
            while let Some(version) = versions.next()? {
                let name = text(version.name(LE, strings)?)?;
                self.versions_needed.entry(file).or_default().insert(name);
            }
        }
        Ok(())
    }

    fn read_functions(
        &mut self,
        sections: &SectionTable<'data, Header>,
        exported: &SymbolTable<'data, Header>,
    ) -> Result<(), Damage> {
        let all = sections.symbols(LE, self.bytes, elf::SHT_SYMTAB)?;
        let table = if all.is_empty() { exported } else { &all };
        for symbol in table.iter() {
            let is_code = matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_GNU_IFUNC);
            if is_code && !symbol.is_undefined(LE) {
                let name = text(table.symbol_name(LE, symbol)?)?;
                let (address, size) = (symbol.st_value(LE), symbol.st_size(LE));
                self.functions.push(Function { address, size, name });
            }
        }
        self.functions.sort_unstable();
        Ok(())
    }
}

/// gABI, figure 5-11: `DT_FLAGS` bit of text relocations.
const DF_TEXTREL: u64 = 4;

/// Says what a file is when it is not an ELF shared library of x86-64.
fn check_kind(bytes: &[u8]) -> Result<(), Damage> {
    let foreign = |what| Err(Damage::Foreign(what));
    match bytes {
        [] => Err(Damage::Empty),
        [0x7f, b'E', b'L', b'F', 1, ..] => foreign("a 32-bit library"),
        [0x7f, b'E', b'L', b'F', 2, 2, ..] => foreign("a big-endian library"),
        [0x7f, b'E', b'L', b'F', 2, 1, ..] => check_header(bytes),
        [b'!', b'<', b'a', b'r', b'c', b'h', b'>', ..] => foreign("a static archive"),
        [b'M', b'Z', ..] => foreign("a Windows library"),
        [0xcf, 0xfa, 0xed, 0xfe, ..] => foreign("a macOS library"),
        [b'v', b'e', b'r', b's', b'i', b'o', b'n', b' ', b'h', b't', ..] => {
            foreign("a git-lfs pointer, not the file itself")
        }
        _ if bytes.iter().take(512).all(|b| b.is_ascii_graphic() || b.is_ascii_whitespace()) => {
            foreign("a text file")
        }
        _ => foreign("not an ELF file"),
    }
}

/// Judges `e_machine` and `e_type` of a 64-bit little-endian ELF header.
fn check_header(bytes: &[u8]) -> Result<(), Damage> {
    let size = size_of::<Header>() as u64;
    let found = bytes.len() as u64;
    if found < size {
        return Err(Damage::Truncated { expected: size, found });
    }
    let header = Header::parse(bytes)?;
    match (header.e_machine(LE), header.e_type(LE)) {
        (elf::EM_X86_64, elf::ET_DYN) => Ok(()),
        (elf::EM_X86_64, elf::ET_REL) => Err(Damage::Foreign("an object file, not yet linked")),
        (elf::EM_X86_64, elf::ET_EXEC) => Err(Damage::Foreign("a program, not a library")),
        (elf::EM_X86_64, _) => Err(Damage::Foreign("not a shared library")),
        (elf::EM_AARCH64, _) => Err(Damage::Foreign("a library for arm64")),
        _ => Err(Damage::Foreign("a library for another processor")),
    }
}

/// Compares what the headers speak of with the file's length.
fn check_complete(header: &Header, bytes: &[u8]) -> Result<(), Damage> {
    let found = bytes.len() as u64;
    let table = |offset: u64, count: u16, size: u16| {
        offset.saturating_add(u64::from(count) * u64::from(size))
    };
    let mut expected =
        table(header.e_phoff.get(LE), header.e_phnum.get(LE), header.e_phentsize.get(LE))
            .max(table(header.e_shoff.get(LE), header.e_shnum.get(LE), header.e_shentsize.get(LE)));
    if expected <= found {
        for segment in header.program_headers(LE, bytes)? {
            expected = expected.max(segment.p_offset(LE).saturating_add(segment.p_filesz(LE)));
        }
    }
    if expected > found { Err(Damage::Truncated { expected, found }) } else { Ok(()) }
}

fn text(bytes: &[u8]) -> Result<&str, Damage> {
    let shown = || Damage::Malformed(format!("a name is not UTF-8: {}", bytes.escape_ascii()));
    std::str::from_utf8(bytes).map_err(|_| shown())
}
