//! Symbols: of another absl, too new, there twice, registering protobuf messages.

use std::collections::BTreeSet;

use crate::abi::elf::{Elf, Undefined};
use crate::abi::facts::{absl_tag_of, number_key};
use crate::abi::finding::{Finding, Rule};
use crate::abi::policy::Policy;
use crate::abi::provider::{Library, Providers};
use crate::abi::symbol::{demangled, listed};

/// The op was compiled for TensorFlow's own absl.
pub(super) fn absl(elf: &Elf<'_>, providers: &Providers<'_>, _: &Policy) -> Vec<Finding> {
    let (Some(op), Some(framework)) = (absl_tag_of(elf), providers.framework.absl_tag()) else {
        return Vec::new();
    };
    if op == framework {
        return Vec::new();
    }
    let using = elf.undefined.iter().filter(|symbol| symbol.name.contains(op));
    vec![Finding {
        rule: Rule::Absl,
        what: format!(
            "it was compiled against another absl, hence for another TensorFlow: {}",
            listed(using.map(|symbol| symbol.name))
        ),
        expected: format!("absl::{framework}, TensorFlow's own"),
        found: format!("absl::{op}"),
        hint: "compile with the headers of the pinned TensorFlow: \
               `@org_tensorflow//tensorflow/core:framework` first, no absl of your own"
            .to_owned(),
    }]
}

/// The runtime root has every symbol version.
pub(super) fn versions(elf: &Elf<'_>, providers: &Providers<'_>, _: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, versions) in &elf.versions_needed {
        // A library that is not of the base is the needed rule's business.
        let Some(library) = providers.base(file) else { continue };
        for version in versions.iter().filter(|version| !library.versions.contains(*version)) {
            findings.push(too_new(elf, library, version));
        }
    }
    findings
}

fn too_new(elf: &Elf<'_>, library: &Library<'_>, version: &str) -> Finding {
    let of = |symbol: &&Undefined<'_>| {
        symbol.version.as_ref().is_some_and(|found| found.name() == version.as_bytes())
    };
    let names = elf.undefined.iter().filter(of).map(|symbol| symbol.name);
    let family = version.rsplit_once('_').map_or(version, |(family, _)| family);
    let same = |found: &&&str| found.rsplit_once('_').is_some_and(|(name, _)| name == family);
    let number = |found: &&&str| number_key(found.rsplit_once('_').map_or("", |(_, n)| n));
    let highest = library.versions.iter().filter(same).max_by_key(number);
    Finding {
        rule: Rule::Versions,
        what: format!("it needs a newer {}: {}", library.soname, listed(names)),
        expected: highest.map_or_else(
            || format!("no {family} version"),
            |highest| format!("at most {highest}, which the runtime root's {} has", library.soname),
        ),
        found: version.to_owned(),
        hint: "build it with `cargo xtask build-ops`: the builder root's C library is the runtime root's"
            .to_owned(),
    }
}

/// No second copy of what TensorFlow or the base has.
///
/// Inline functions and template instantiations are in many libraries, and weak; what the
/// provider owns is there because a whole library was linked in. It is looked for among
/// hidden functions too, as far as `.symtab` names them.
pub(super) fn copies(elf: &Elf<'_>, providers: &Providers<'_>, _: &Policy) -> Vec<Finding> {
    let exported = elf.defined.iter().filter(|symbol| symbol.strong).map(|symbol| symbol.name);
    let hidden = elf.functions.iter().map(|function| function.name);
    let hidden = hidden.filter(|name| name.starts_with("_Z")); // C names are anybody's
    let owner = |name: &str| providers.allowed().find(|library| library.owns(name));
    let names: BTreeSet<&str> = exported.chain(hidden).collect();
    let copies: Vec<(&str, &Library<'_>)> =
        names.iter().filter_map(|name| Some((*name, owner(name)?))).collect();
    let Some((_, library)) = copies.first() else { return Vec::new() };
    vec![Finding {
        rule: Rule::Copies,
        what: format!(
            "it brings a second copy of {}",
            listed(copies.iter().map(|(name, _)| *name))
        ),
        expected: format!("one copy in the process, that of {}", library.soname),
        found: format!("{} definitions in the op", copies.len()),
        hint: "remove what brings them from deps and linkopts (absl, protobuf, TensorFlow's \
               sources, `-static-libstdc++`): an op finds them when it is loaded"
            .to_owned(),
    }]
}

/// Protobuf messages are registered by TensorFlow alone.
pub(super) fn protobuf(elf: &Elf<'_>, _: &Providers<'_>, _: &Policy) -> Vec<Finding> {
    // What every generated `.pb.cc` calls when its library is loaded.
    const REGISTERS: &str = "_ZN6google8protobuf8internal14AddDescriptors";
    const RUNNER: &str = "_ZN6google8protobuf8internal20AddDescriptorsRunner";
    // What only the runtime library itself says.
    const RUNTIME: &[u8] = b"File already exists in database: ";
    let registers = |symbol: &&Undefined<'_>| {
        symbol.name.starts_with(REGISTERS) || symbol.name.starts_with(RUNNER)
    };
    let registering = elf.undefined.iter().find(registers).map(|symbol| demangled(symbol.name));
    let runtime = elf.sections.iter().any(|section| {
        section.program && section.data.windows(RUNTIME.len()).any(|bytes| bytes == RUNTIME)
    });
    let found = match (registering, runtime) {
        (_, true) => "libprotobuf itself, linked in".to_owned(),
        (Some(call), false) => format!("a call of `{call}` when it is loaded"),
        (None, false) => return Vec::new(),
    };
    vec![Finding {
        rule: Rule::Protobuf,
        what: "it registers protobuf messages: a file that TensorFlow has too ends the \
               process with `File already exists in database`"
            .to_owned(),
        expected: "no generated message code and no protobuf runtime in an op".to_owned(),
        found,
        hint:
            "remove the `cc_proto_library` or protobuf from deps; pass plain attributes or tensors"
                .to_owned(),
    }]
}
