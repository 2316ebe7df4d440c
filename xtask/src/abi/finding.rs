//! What the gate found wrong, and how it is said.

use std::collections::BTreeSet;
use std::fmt;

use super::elf::Damage;
use crate::error::{Error, Kind};

/// A broken rule, in the words of whoever built the op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule.
    pub rule: Rule,
    /// What is wrong, in one clause.
    pub what: String,
    /// What the rule asks for.
    pub expected: String,
    /// What the file has.
    pub found: String,
    /// What to change.
    pub hint: String,
}

/// The rules of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The file is a shared library of x86-64, whole.
    Library,
    /// `NEEDED` names the framework library and the C and C++ runtime, nothing else.
    Needed,
    /// `RUNPATH` leads from `tensorflow-plugins/` to TensorFlow; there is no `RPATH`.
    Runpath,
    /// Every undefined symbol is provided.
    Symbols,
    /// The old and the new libstdc++ ABI are not mixed.
    CxxAbi,
    /// The op was compiled for TensorFlow's own absl.
    Absl,
    /// The runtime root has every symbol version.
    Versions,
    /// No second copy of what TensorFlow or the base has.
    Copies,
    /// Protobuf messages are registered by TensorFlow alone.
    Protobuf,
    /// The op runs on the baseline of x86-64.
    Isa,
    /// No path of the machine that built it.
    Paths,
    /// The build id is absent or a function of the contents.
    BuildId,
    /// Neither code nor stack is both writable and executable.
    Hardening,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rule::Library => "library",
            Rule::Needed => "needed",
            Rule::Runpath => "runpath",
            Rule::Symbols => "symbols",
            Rule::CxxAbi => "cxx-abi",
            Rule::Absl => "absl",
            Rule::Versions => "versions",
            Rule::Copies => "copies",
            Rule::Protobuf => "protobuf",
            Rule::Isa => "isa",
            Rule::Paths => "paths",
            Rule::BuildId => "build-id",
            Rule::Hardening => "hardening",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.what, self.rule)?;
        write!(f, "\n  expected: {}", self.expected)?;
        write!(f, "\n  found: {}", self.found)
    }
}

/// All findings of all ops as one error; each different hint once, with the ops it is for.
pub(super) fn error(findings: &[(String, Finding)], ops: usize) -> Error {
    let mut message = headline(findings, ops);
    let mut hints: Vec<(&str, Vec<&str>)> = Vec::new();
    for (op, finding) in findings {
        message += &format!("\n{op}: {finding}");
        match hints.iter_mut().find(|(hint, _)| *hint == finding.hint) {
            Some((_, of)) if of.contains(&op.as_str()) => {}
            Some((_, of)) => of.push(op),
            None => hints.push((&finding.hint, vec![op])),
        }
    }
    let error = Error::new(Kind::Abi, message);
    hints.iter().fold(error, |error, (hint, of)| error.hint(format!("{}: {hint}", of.join(", "))))
}

fn headline(findings: &[(String, Finding)], ops: usize) -> String {
    let broken: BTreeSet<&str> = findings.iter().map(|(op, _)| op.as_str()).collect();
    format!("the ABI gate refuses {} of {ops} op libraries", broken.len())
}

/// The finding about a file that is not an op library at all.
pub(super) fn damaged(damage: &Damage) -> Finding {
    Finding {
        rule: Rule::Library,
        what: "TensorFlow cannot load it".to_owned(),
        expected: "a shared library for x86-64 Linux, whole".to_owned(),
        found: damage.to_string(),
        hint: "build it again with `cargo xtask build-ops`".to_owned(),
    }
}
