//! The surface of an op library: what a loader and TensorFlow see of it.
//!
//! The loader's half is [`Facts`]; TensorFlow's half is what the library registers, which
//! the probe (`toolchains/probe`) prints: a line of JSON a library, with TensorFlow's own
//! `OpDef` (op_def.proto) and `KernelDef` (kernel_def.proto) in protobuf's JSON mapping.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::facts::Facts;
use super::opdef::{KernelDef, OpDef};
use crate::error::{Error, Kind, Result};

/// What a loader and TensorFlow see of one op library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surface {
    /// The loader's half.
    pub facts: Facts,
    /// The ops that it registers, each as one line in the notation of `REGISTER_OP`, sorted.
    pub ops: Vec<String>,
    /// The kernels that it registers, one line each, sorted.
    pub kernels: Vec<String>,
}

/// One line of the probe.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    library: String,
    #[serde(default)]
    ops: Ops,
    #[serde(default)]
    kernels: Kernels,
    error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ops {
    #[serde(default)]
    op: Vec<OpDef>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kernels {
    #[serde(default)]
    kernel: Vec<KernelDef>,
}

impl Surface {
    /// Joins what the probe printed with the facts of the same libraries, in the facts' order.
    pub fn join(probe: &str, facts: Vec<Facts>) -> Result<Vec<Self>> {
        let mut found: Vec<(String, Surface)> = Vec::new();
        let mut facts = facts.into_iter();
        for (number, line) in probe.lines().enumerate() {
            let malformed = |why: String| {
                let message = format!("line {} of the surface probe's output: {why}", number + 1);
                Error::new(Kind::Tool, message)
            };
            let line: Line = serde_json::from_str(line).map_err(|e| malformed(e.to_string()))?;
            let file = Path::new(&line.library).file_name().unwrap_or_default();
            let facts = facts
                .next()
                .filter(|facts| *file == *facts.file)
                .ok_or_else(|| malformed(format!("`{}` was not asked for here", line.library)))?;
            if let Some(error) = &line.error {
                return Err(not_loadable(&facts, error, &found));
            }
            let package = facts.package.clone();
            found.push((package, Surface::of(facts, &line).map_err(malformed)?));
        }
        match facts.next() {
            Some(facts) => Err(Error::new(
                Kind::Tool,
                format!("the surface probe said nothing of {} ({})", facts.package, facts.file),
            )),
            None => Ok(found.into_iter().map(|(_, surface)| surface).collect()),
        }
    }

    fn of(facts: Facts, line: &Line) -> Result<Self, String> {
        let mut ops: Vec<String> =
            line.ops.op.iter().map(OpDef::signature).collect::<Result<_, _>>()?;
        let mut kernels: Vec<String> =
            line.kernels.kernel.iter().map(KernelDef::signature).collect::<Result<_, _>>()?;
        ops.sort_unstable();
        kernels.sort_unstable();
        Ok(Surface { facts, ops, kernels })
    }

    /// The names of the ops that it registers.
    pub fn op_names(&self) -> impl Iterator<Item = &str> {
        self.ops.iter().map(|signature| op_name(signature))
    }
}

/// The op's name in the line that shows its signature.
pub fn op_name(signature: &str) -> &str {
    signature.split('(').next().unwrap_or(signature)
}

/// A library that TensorFlow cannot load, with what it registers twice spelt out.
fn not_loadable(facts: &Facts, error: &str, before: &[(String, Surface)]) -> Error {
    let Facts { package, file, .. } = facts;
    let Some(op) = registered_twice(error) else {
        let message = format!("{package}: TensorFlow cannot load `{file}`: {error}");
        return Error::new(Kind::Abi, message)
            .hint("`cargo xtask shell` opens the builder root to look around");
    };
    let has = |(_, surface): &&(String, Surface)| surface.op_names().any(|name| name == op);
    let owner = match before.iter().find(has) {
        Some((other, _)) if other == package => "the same package".to_owned(),
        Some((other, _)) => format!("the op package {other}"),
        None => "TensorFlow itself".to_owned(),
    };
    let message = format!(
        "{package}: the op `{op}` is registered by {owner} already: expected a name of its own"
    );
    Error::new(Kind::Abi, message)
        .hint(format!("rename it in `REGISTER_OP(\"{op}\")`, its kernels and its Python wrapper"))
}

/// TensorFlow's words: `Op with name X`.
fn registered_twice(error: &str) -> Option<&str> {
    let (_, rest) = error.split_once("Op with name ")?;
    rest.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    fn facts(package: &str) -> Facts {
        Facts {
            package: package.to_owned(),
            file: format!("lib{package}.so"),
            sha256: Sha256::of(b""),
            code: Sha256::of(b""),
            needed: Vec::new(),
            runpath: String::new(),
            floors: std::collections::BTreeMap::new(),
            absl_lts: None,
            isa: String::new(),
            compilers: Vec::new(),
        }
    }

    const A: &str = r#"{"library":"/out/a/liba.so","ops":{"op":[{"name":"Two"},{"name":"One"}]},"kernels":{"kernel":[{"op":"One","device_type":"CPU"}]}}"#;

    fn refused(probe: &str) -> Error {
        Surface::join(probe, vec![facts("a"), facts("b")]).unwrap_err()
    }

    #[test]
    fn the_probes_lines_join_the_facts_in_their_order() {
        let found = Surface::join(A, vec![facts("a")]).unwrap();
        assert_eq!(found[0].ops, ["One() -> ()", "Two() -> ()"]);
        assert_eq!(found[0].op_names().collect::<Vec<_>>(), ["One", "Two"]);
        assert_eq!(found[0].kernels, ["One on CPU"]);
    }

    #[test]
    fn a_name_that_is_taken_says_by_whom() {
        let taken = |name: &str| {
            format!("{A}\n{{\"library\":\"libb.so\",\"error\":\"Op with name {name} already\"}}")
        };
        insta::assert_snapshot!(refused(&taken("One")), @r#"
        error: b: the op `One` is registered by the op package a already: expected a name of its own
        hint: rename it in `REGISTER_OP("One")`, its kernels and its Python wrapper
        "#);
        insta::assert_snapshot!(refused(&taken("Case")), @r#"
        error: b: the op `Case` is registered by TensorFlow itself already: expected a name of its own
        hint: rename it in `REGISTER_OP("Case")`, its kernels and its Python wrapper
        "#);
    }

    #[test]
    fn an_output_that_is_not_the_probes_is_named_by_line() {
        let lost = refused(A);
        assert_eq!(lost.message(), "the surface probe said nothing of b (libb.so)");
        let wrong = refused(&A.replace("liba", "libc"));
        assert!(wrong.message().ends_with("`/out/a/libc.so` was not asked for here"), "{wrong}");
        let cut = refused(&A[..40]);
        assert!(cut.message().starts_with("line 1 of the surface probe's output: "), "{cut}");
    }
}
