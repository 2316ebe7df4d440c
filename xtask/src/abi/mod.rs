//! The ABI gate and the surface: what a loader and TensorFlow see of an op's `.so`.
//!
//! Bytes become an [`Elf`](elf::Elf), which rules compare with what the framework library
//! and the runtime root provide. Nothing is loaded or run.

use std::path::{Path, PathBuf};

use crate::error::{IoContext as _, Result};

pub mod elf;
mod facts;
mod finding;
pub mod isa;
mod opdef;
mod policy;
mod provider;
mod rules;
mod surface;
pub mod symbol;
pub mod x86;

pub use facts::Facts;
pub use finding::{Finding, Rule};
pub use isa::Level;
pub use policy::Policy;
pub use surface::{Surface, op_name};

/// A built library of an op package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpLibrary {
    /// The op package: the folder's name under `ops/`.
    pub package: String,
    /// The library's file.
    pub path: PathBuf,
}

/// Judges every op library by every rule; an error of kind `Abi` lists all findings at once.
///
/// `framework` is `libtensorflow_framework.so.2` of the pinned wheel; `runtime_root` is the
/// root that the op will run in.
pub fn gate(ops: &[OpLibrary], framework: &Path, runtime_root: &Path) -> Result<Vec<Facts>> {
    gate_by(ops, framework, runtime_root, &Policy::default())
}

/// [`gate`] with other values for the rules.
pub fn gate_by(
    ops: &[OpLibrary],
    framework: &Path,
    runtime_root: &Path,
    policy: &Policy,
) -> Result<Vec<Facts>> {
    let files = provider::Files::open(framework, runtime_root)?;
    let providers = provider::Providers::read(&files)?;
    let mut findings = Vec::new();
    let mut facts = Vec::new();
    for op in ops {
        // One library at a time: a thousand of them need no more memory than the largest.
        let bytes = std::fs::read(&op.path).at("read", &op.path)?;
        let file = op.path.file_name().unwrap_or_default().to_string_lossy();
        let named = |finding| (format!("{} ({file})", op.package), finding);
        match elf::Elf::parse(&bytes) {
            Err(damage) => findings.push(named(finding::damaged(&damage))),
            Ok(elf) => {
                findings.extend(rules::check(&elf, &providers, policy).into_iter().map(named));
                facts.push(Facts::of(&op.package, &file, &elf));
            }
        }
    }
    if findings.is_empty() { Ok(facts) } else { Err(finding::error(&findings, ops.len())) }
}
