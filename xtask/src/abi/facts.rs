//! What is known of an op library that passed: the loader's half of its surface.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::elf::Elf;
use super::symbol;
use crate::digest::{Hasher, Sha256};

/// Measured facts of one op library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Facts {
    /// Op package.
    pub package: String,
    /// File name.
    pub file: String,
    /// Of the file.
    pub sha256: Sha256,
    /// Of what the compiler made of the sources: code and data without the linker's tables,
    /// notes, names and debug information. Equal when only bytes moved.
    pub code: Sha256,
    /// `DT_NEEDED`, in the loader's order.
    pub needed: Vec<String>,
    /// `DT_RUNPATH`.
    pub runpath: String,
    /// The highest version needed of each family of symbol versions: `GLIBC` to `2.14`.
    pub floors: BTreeMap<String, String>,
    /// absl's inline namespace in the op's symbols: `lts_20250814`.
    pub absl_lts: Option<String>,
    /// The x86-64 level that its instructions need: `x86-64-v3`.
    pub isa: String,
    /// What the compilers wrote into `.comment`.
    pub compilers: Vec<String>,
}

impl Facts {
    pub(super) fn of(package: &str, file: &str, elf: &Elf<'_>) -> Self {
        Facts {
            package: package.to_owned(),
            file: file.to_owned(),
            sha256: Sha256::of(elf.bytes),
            code: code_digest(elf),
            needed: elf.needed.iter().map(ToString::to_string).collect(),
            runpath: elf.runpath.unwrap_or_default().to_owned(),
            floors: floors(elf),
            absl_lts: absl_tag_of(elf).map(str::to_owned),
            isa: elf.needs.to_string(),
            compilers: elf.compilers.iter().map(ToString::to_string).collect(),
        }
    }
}

fn code_digest(elf: &Elf<'_>) -> Sha256 {
    let mut hasher = Hasher::default();
    for section in elf.sections.iter().filter(|section| section.program) {
        hasher.update(section.name.as_bytes());
        hasher.update(&(section.data.len() as u64).to_le_bytes());
        hasher.update(section.data);
    }
    hasher.finish()
}

/// The absl tag that an op's symbols speak of.
pub(super) fn absl_tag_of<'data>(elf: &Elf<'data>) -> Option<&'data str> {
    let undefined = elf.undefined.iter().map(|symbol| symbol.name);
    let mut names = undefined.chain(elf.defined.iter().map(|symbol| symbol.name));
    names.find_map(symbol::absl_tag)
}

fn floors(elf: &Elf<'_>) -> BTreeMap<String, String> {
    let mut floors = BTreeMap::new();
    for version in elf.versions_needed.values().flatten() {
        let Some((family, number)) = version.rsplit_once('_') else { continue };
        let highest: &mut String = floors.entry(family.to_owned()).or_default();
        if number_key(number) > number_key(highest) {
            number.clone_into(highest);
        }
    }
    floors
}

/// `2.14` sorts before `2.34` and after `2.2.5`.
pub(super) fn number_key(version: &str) -> Vec<u64> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}
