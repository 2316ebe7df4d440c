//! ELF files (System V gABI chapter 4, x86-64 psABI): which section, which symbol.
//!
//! A byte that moves drags others along: addresses in code, tables of the linker. So what
//! explains comes first: identities, compilers, texts, then order and numbers, then code,
//! and the linker's tables only when there is nothing else.

use std::collections::BTreeMap;

use object::elf::FileHeader64;
use object::read::elf::ElfFile;
use object::{
    LittleEndian, Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind, SymbolKind,
};

use super::{Cause, Found, Known, bytes};
use crate::abi::x86;

type File<'data> = ElfFile<'data, FileHeader64<LittleEndian>>;

/// A section of one of the two files.
struct Section<'data> {
    name: String,
    kind: SectionKind,
    address: u64,
    data: &'data [u8],
}

/// A function or a variable, and its bytes.
struct Symbol<'data> {
    name: String,
    section: String,
    address: u64,
    data: &'data [u8],
}

struct Elf<'data> {
    sections: BTreeMap<(String, usize), Section<'data>>,
    /// In the order of their addresses.
    symbols: Vec<Symbol<'data>>,
}

/// Compares two ELF files; whether they were such and something was found.
pub(super) fn compare(found: &mut Found<'_>, one: &[u8], other: &[u8]) -> bool {
    let (Some(one), Some(other)) = (Elf::read(one), Elf::read(other)) else { return false };
    let before = found.differences.len();
    presence(found, &one, &other);
    contents(found, &one, &other, Kind::Text);
    order(found, &one, &other);
    if found.differences.len() == before {
        numbers(found, &one, &other);
    }
    if found.differences.len() == before {
        contents(found, &one, &other, Kind::Identity);
    }
    if found.differences.len() == before {
        contents(found, &one, &other, Kind::Table);
    }
    found.differences.len() > before
}

/// What a section is good for in an explanation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Texts and data of the program, compilers' notes, names.
    Text,
    /// Code.
    Code,
    /// The build id: made of everything else.
    Identity,
    /// The linker's and the unwinder's tables.
    Table,
}

fn kind(section: &Section<'_>) -> Kind {
    let tables = [
        ".eh_frame",
        ".gcc_except_table",
        ".got",
        ".dynamic",
        ".rel",
        ".init_array",
        ".fini_array",
        ".gnu.",
        ".hash",
        ".symtab",
        ".dynsym",
        ".data.rel",
        ".debug_line",
        ".debug_info",
        ".debug_abbrev",
        ".debug_aranges",
        ".debug_rnglists",
        ".debug_loc",
        ".group",
        ".shstrtab",
    ];
    match section.name.as_str() {
        ".note.gnu.build-id" => Kind::Identity,
        ".debug_line_str" => Kind::Text,
        _ if section.kind == SectionKind::Text => Kind::Code,
        name if tables.iter().any(|table| name.starts_with(table)) => Kind::Table,
        _ => Kind::Text,
    }
}

impl<'data> Elf<'data> {
    fn read(bytes: &'data [u8]) -> Option<Self> {
        let file = File::parse(bytes).ok()?;
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut sections = BTreeMap::new();
        for section in file.sections() {
            let name = String::from_utf8_lossy(section.name_bytes().ok()?).into_owned();
            let nth = seen.entry(name.clone()).or_default();
            let (kind, address) = (section.kind(), section.address());
            let data = section.data().ok()?;
            sections.insert((name.clone(), *nth), Section { name, kind, address, data });
            *nth += 1;
        }
        Some(Elf { sections, symbols: symbols(&file) })
    }

    /// The symbol that holds `offset` of a section.
    fn symbol_at(&self, section: &Section<'_>, offset: usize) -> Option<&str> {
        let address = section.address.checked_add(offset as u64)?;
        let holds = |symbol: &&Symbol<'_>| {
            symbol.section == section.name
                && address
                    .checked_sub(symbol.address)
                    .is_some_and(|at| at < symbol.data.len() as u64)
        };
        self.symbols.iter().find(holds).map(|symbol| symbol.name.as_str())
    }
}

fn symbols<'data>(file: &File<'data>) -> Vec<Symbol<'data>> {
    let mut symbols = Vec::new();
    for symbol in file.symbols() {
        if !matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data) || symbol.size() == 0 {
            continue;
        }
        let section = symbol.section_index().and_then(|index| file.section_by_index(index).ok());
        let (Some(section), Ok(name)) = (section, symbol.name_bytes()) else { continue };
        let Ok(section_name) = section.name_bytes() else { continue };
        let data = section.data_range(symbol.address(), symbol.size()).ok().flatten();
        symbols.push(Symbol {
            name: String::from_utf8_lossy(name).into_owned(),
            section: String::from_utf8_lossy(section_name).into_owned(),
            address: symbol.address(),
            data: data.unwrap_or_default(),
        });
    }
    symbols.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
    symbols
}

/// Sections that one of the two has alone.
fn presence(found: &mut Found<'_>, one: &Elf<'_>, other: &Elf<'_>) {
    let mut only = |mine: &Elf<'_>, yours: &Elf<'_>, first: bool| {
        for key in mine.sections.keys().filter(|key| !yours.sections.contains_key(key)) {
            let (one, other) = if first { ("there", "") } else { ("", "there") };
            found.inside(&format!("section {}", key.0), |found| {
                found.add(Cause::Presence, None, one, other);
            });
        }
    };
    only(one, other, true);
    only(other, one, false);
}

/// Sections of one kind that both have.
fn contents(found: &mut Found<'_>, one: &Elf<'_>, other: &Elf<'_>, wanted: Kind) {
    for (key, ours) in one.sections.iter().filter(|(_, section)| kind(section) == wanted) {
        let Some(theirs) = other.sections.get(key).filter(|theirs| theirs.data != ours.data) else {
            continue;
        };
        let at = bytes::first_difference(ours.data, theirs.data);
        let place = match one.symbol_at(ours, at) {
            Some(symbol) => format!("section {} ({symbol})", ours.name),
            None => format!("section {}", ours.name),
        };
        found.inside(&place, |found| match wanted {
            Kind::Identity => {
                let id = |data: &[u8]| bytes::excerpt(data, 16).replace(' ', "");
                found.add(Cause::BuildId, Some(at), &id(ours.data), &id(theirs.data));
            }
            Kind::Text => drop(bytes::texts(found, ours.data, theirs.data)),
            Kind::Code | Kind::Table => bytes::compare(found, ours.data, theirs.data),
        });
    }
}

/// The same functions and variables at other places.
fn order(found: &mut Found<'_>, one: &Elf<'_>, other: &Elf<'_>) {
    let names = |elf: &Elf<'_>| -> Vec<String> {
        elf.symbols.iter().map(|symbol| symbol.name.clone()).collect()
    };
    let (ours, theirs) = (names(one), names(other));
    let (mut sorted, mut also) = (ours.clone(), theirs.clone());
    sorted.sort_unstable();
    also.sort_unstable();
    if ours != theirs && sorted == also {
        let mut pairs = ours.iter().zip(&theirs);
        if let Some((one, other)) = pairs.find(|(a, b)| a != b) {
            found.inside("the symbols", |found| found.add(Cause::Order, None, one, other));
        }
    }
}

/// Data and code in which no text differs: numbers, or other instructions.
fn numbers(found: &mut Found<'_>, one: &Elf<'_>, other: &Elf<'_>) {
    for wanted in [Kind::Text, Kind::Code] {
        let before = found.differences.len();
        symbols_apart(found, one, other, wanted);
        if found.differences.len() == before {
            for (key, ours) in one.sections.iter().filter(|(_, section)| kind(section) == wanted) {
                let theirs = other.sections.get(key).filter(|theirs| theirs.data != ours.data);
                if let Some(theirs) = theirs {
                    found.inside(&format!("section {}", ours.name), |found| {
                        piece(found, ours.data, theirs.data, wanted);
                    });
                }
            }
        }
        if found.differences.len() > before {
            return; // the code only follows the data
        }
    }
}

/// Functions or variables of one name and other bytes.
fn symbols_apart(found: &mut Found<'_>, one: &Elf<'_>, other: &Elf<'_>, wanted: Kind) {
    const MOST: usize = 5;
    let of = |elf: &Elf<'_>, symbol: &Symbol<'_>| {
        let section = elf.sections.get(&(symbol.section.clone(), 0));
        section.is_some_and(|section| kind(section) == wanted)
    };
    let theirs: BTreeMap<&str, &Symbol<'_>> =
        other.symbols.iter().map(|symbol| (symbol.name.as_str(), symbol)).collect();
    let apart = one.symbols.iter().filter(|symbol| of(one, symbol)).filter_map(|ours| {
        let theirs = theirs.get(ours.name.as_str())?;
        (theirs.data != ours.data).then_some((ours, *theirs))
    });
    for (ours, theirs) in apart.take(MOST) {
        found.inside(&format!("section {} ({})", ours.section, ours.name), |found| {
            piece(found, ours.data, theirs.data, wanted);
        });
    }
}

/// A piece without texts that differ. In code, a number is part of one instruction.
fn piece(found: &mut Found<'_>, one: &[u8], other: &[u8], kind: Kind) {
    let at = bytes::first_difference(one, other);
    let cause = match kind {
        Kind::Code => number_in_code(one, other, at, found.known).unwrap_or(Cause::Code),
        _ => bytes::number_at(one, other, at, found.known).unwrap_or(Cause::Contents),
    };
    found.add(cause, Some(at), &bytes::excerpt(one, at), &bytes::excerpt(other, at));
}

/// The one number in which two pieces of code of one size differ: a constant of an
/// instruction, or a displacement.
fn number_in_code(one: &[u8], other: &[u8], at: usize, known: &Known) -> Option<Cause> {
    if one.len() != other.len() {
        return None;
    }
    let last = one.iter().zip(other).rposition(|(a, b)| a != b)?;
    if last.checked_sub(at)? >= 8 {
        return None;
    }
    let constant = |code: &[u8]| {
        let place = constant_at(code, at).filter(|place| place.contains(&last))?;
        let bytes = code.get(place)?.iter().rev();
        Some(bytes.fold(0, |value: u64, byte| value << 8 | u64::from(*byte)))
    };
    let time = constant(one).zip(constant(other)).is_some_and(|(a, b)| known.are_times(a, b));
    Some(if time { Cause::Timestamp } else { Cause::Number })
}

/// The constant that holds byte `at` of `code`, which begins with an instruction.
fn constant_at(code: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let mut begin = 0;
    loop {
        let (length, immediate) = match x86::decode(code.get(begin..)?) {
            Some(instruction) => (instruction.length, instruction.immediate),
            None => (1, 0), // data among code
        };
        let end = begin + length;
        if at < end {
            return Some(end - immediate..end).filter(|place| place.contains(&at));
        }
        begin = end;
    }
}
