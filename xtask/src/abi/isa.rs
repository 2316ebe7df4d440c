//! Which processors can run an op: the x86-64 level of its instructions.
//!
//! Levels: x86-64 psABI, section 3.1.1 "Processor Architecture". The code is swept from
//! start to end, in step with the function symbols: compilers put no data between x86-64
//! instructions.

use std::collections::BTreeMap;
use std::fmt;

use super::elf::{Elf, Section};
use super::x86;

/// A level of the x86-64 psABI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The baseline: every x86-64 processor.
    #[default]
    V1,
    /// SSE3, SSSE3, SSE4, POPCNT, CMPXCHG16B.
    V2,
    /// AVX, AVX2, BMI, FMA, F16C, LZCNT, MOVBE.
    V3,
    /// AVX-512 F, BW, CD, DQ, VL.
    V4,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::V1 => "x86-64",
            Level::V2 => "x86-64-v2",
            Level::V3 => "x86-64-v3",
            Level::V4 => "x86-64-v4",
        })
    }
}

/// A group of instructions that not every x86-64 processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Feature {
    /// The vendor's name.
    pub name: &'static str,
    /// The first level that has it; none when no level has it.
    pub level: Option<Level>,
}

/// What an op's instructions need beyond the baseline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Where each feature is used first.
    pub features: BTreeMap<Feature, u64>,
    /// The same in functions that run only where the processor has it.
    pub guarded: BTreeMap<Feature, u64>,
}

impl Needs {
    /// Sweeps all code of a library.
    pub fn of(elf: &Elf<'_>) -> Self {
        let mut needs = Needs::default();
        for section in elf.sections.iter().filter(|section| section.code) {
            needs.sweep(elf, section);
        }
        needs
    }

    fn sweep(&mut self, elf: &Elf<'_>, section: &Section<'_>) {
        let next = elf.functions.partition_point(|function| function.address < section.address);
        let mut functions = elf.functions[next..].iter().map(|function| function.address);
        let mut start = functions.next();
        let mut at = 0;
        while let Some(code) = section.data.get(at..).filter(|code| !code.is_empty()) {
            let address = section.address + at as u64;
            while start.is_some_and(|start| start <= address) {
                start = functions.next();
            }
            let instruction = x86::decode(code);
            if let Some(feature) = instruction.and_then(|found| found.feature) {
                self.note(elf, feature, address);
            }
            // What is no instruction is padding or data: go on behind it, byte by byte.
            let length = instruction.map_or(1, |found| found.length as u64);
            let end = address + length;
            at +=
                start.filter(|start| *start < end).map_or(length, |start| start - address) as usize;
        }
    }

    fn note(&mut self, elf: &Elf<'_>, feature: Feature, address: u64) {
        if self.features.contains_key(&feature) {
            return;
        }
        if is_guarded(elf, address) {
            self.guarded.entry(feature).or_insert(address);
        } else {
            self.features.insert(feature, address);
        }
    }

    /// The features beyond `level`, in the order of the code.
    pub fn beyond(&self, level: Level) -> Vec<(Feature, u64)> {
        let beyond = |feature: &Feature| feature.level.is_none_or(|needed| needed > level);
        let mut found: Vec<(Feature, u64)> = self
            .features
            .iter()
            .filter(|(feature, _)| beyond(feature))
            .map(|(feature, address)| (*feature, *address))
            .collect();
        found.sort_by_key(|(_, address)| *address);
        found
    }
}

/// `x86-64`, `x86-64-v3`, `x86-64 + AES`, `x86-64 (dispatches to x86-64-v3)`.
impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", levels(&self.features))?;
        if self.guarded.is_empty() {
            return Ok(());
        }
        write!(f, " (dispatches to {})", levels(&self.guarded))
    }
}

fn levels(features: &BTreeMap<Feature, u64>) -> String {
    let level = features.keys().filter_map(|feature| feature.level).max().unwrap_or_default();
    let others = features.keys().filter(|feature| feature.level.is_none());
    others.fold(level.to_string(), |text, feature| text + " + " + feature.name)
}

/// Whether the function at `address` is one of several that a resolver chooses from when
/// the library is loaded: GCC's and Clang's `target_clones` name them `f.avx2` and
/// `f.resolver`.
fn is_guarded(elf: &Elf<'_>, address: u64) -> bool {
    let Some((name, _)) = elf.function_at(address) else { return false };
    let Some((base, _)) = name.split_once('.') else { return false };
    elf.functions.iter().any(|function| {
        function.name.strip_prefix(base).is_some_and(|suffix| suffix == ".resolver")
    })
}
