//! Undefined symbols that nothing provides, and what each says about the mistake.

use std::collections::BTreeMap;

use crate::abi::elf::{Elf, Undefined};
use crate::abi::finding::{Finding, Rule};
use crate::abi::policy::Policy;
use crate::abi::provider::Providers;
use crate::abi::symbol::{self, Twin, demangled, listed};

/// Every undefined symbol is provided, and none of them is of the other libstdc++ ABI.
pub(super) fn provided(elf: &Elf<'_>, providers: &Providers<'_>, _: &Policy) -> Vec<Finding> {
    let missing = elf.undefined.iter().filter(|symbol| {
        !symbol.weak && !version_is_missing(symbol, providers) && providers.of(symbol).is_none()
    });
    let allowed = |library: &&str| providers.allowed().any(|known| known.soname == **library);
    let all_known = elf.needed.iter().all(allowed);
    let tag = providers.framework.absl_tag();
    let mut groups: BTreeMap<Cause, Vec<&str>> = BTreeMap::new();
    for symbol in missing {
        if symbol::absl_tag(symbol.name).is_some_and(|op| Some(op) != tag) {
            continue; // the absl rule speaks of these
        }
        match cause(symbol, providers) {
            // It may be in a library that the needed rule refuses.
            Cause::Own | Cause::Runtime(_) if !all_known => {}
            cause => groups.entry(cause).or_default().push(symbol.name),
        }
    }
    let framework = &providers.framework.soname;
    groups.iter().map(|(cause, names)| cause.finding(names, framework)).collect()
}

/// A version that the whole library lacks: the versions rule speaks of it.
fn version_is_missing(symbol: &Undefined<'_>, providers: &Providers<'_>) -> bool {
    let Some(version) = &symbol.version else { return false };
    let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
    let library = version.file().and_then(|file| providers.base(text(file)));
    library.is_some_and(|library| !library.versions.contains(text(version.name())))
}

/// Why a symbol is missing: one finding each, whatever the number of symbols.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// The op has the old libstdc++ ABI, TensorFlow the new.
    OldAbi,
    /// The other way round.
    NewAbi,
    /// Only TensorFlow's whole library has it.
    Whole,
    /// TensorFlow has it with other parameters: this spelling.
    Overload(String),
    /// It is of TensorFlow's namespaces, and not there.
    TensorFlow,
    /// It is of this versioned library, and not there.
    Runtime(String),
    /// Nobody's.
    Own,
}

fn cause(symbol: &Undefined<'_>, providers: &Providers<'_>) -> Cause {
    if let Some(file) = symbol.version.as_ref().and_then(|version| version.file()) {
        return Cause::Runtime(String::from_utf8_lossy(file).into_owned());
    }
    match symbol::twin(symbol.name, providers.framework.names()) {
        Some(Twin::CxxAbi { new: false, .. }) => return Cause::OldAbi,
        Some(Twin::CxxAbi { new: true, .. }) => return Cause::NewAbi,
        Some(Twin::Overload { name }) => return Cause::Overload(demangled(&name)),
        Some(Twin::Absl { .. }) | None => {}
    }
    if providers.whole().is_some_and(|whole| whole.provides(symbol.name, None)) {
        return Cause::Whole;
    }
    let namespaces: [&[&str]; 4] = [&["tensorflow"], &["tsl"], &["absl"], &["google", "protobuf"]];
    if namespaces.iter().any(|namespace| symbol::is_in(symbol.name, namespace)) {
        return Cause::TensorFlow;
    }
    Cause::Own
}

impl Cause {
    fn finding(&self, names: &[&str], framework: &str) -> Finding {
        let rule = match self {
            Cause::OldAbi | Cause::NewAbi => Rule::CxxAbi,
            _ => Rule::Symbols,
        };
        let names = listed(names.iter().copied());
        let (expected, found) = self.contrast(framework);
        let hint = self.hint().to_owned();
        Finding { rule, what: self.sentence(&names, framework), expected, found, hint }
    }

    fn sentence(&self, names: &str, framework: &str) -> String {
        match self {
            Cause::OldAbi => format!("it is compiled for the old libstdc++ ABI: {names}"),
            Cause::NewAbi => format!("it is compiled for the new libstdc++ ABI: {names}"),
            Cause::Whole => format!("it uses what TensorFlow does not offer to ops: {names}"),
            Cause::Overload(_) => {
                format!("it is compiled against another TensorFlow's headers: {names}")
            }
            Cause::TensorFlow => format!("{framework} does not have {names}"),
            Cause::Runtime(library) => {
                format!("the runtime root's {library} does not have {names}")
            }
            Cause::Own => format!("nothing defines {names}"),
        }
    }

    /// What is expected and what was found.
    fn contrast(&self, framework: &str) -> (String, String) {
        let old = "the old ABI, `std::string` without `__cxx11`";
        let new = "the new ABI, `std::__cxx11::string`";
        let (expected, found) = match self {
            Cause::OldAbi => (format!("{new}, as in {framework}"), old),
            Cause::NewAbi => (format!("{old}, as in {framework}"), new),
            Cause::Whole => (
                format!("symbols of {framework}"),
                "symbols that only libtensorflow_cc has, which an op does not find when it is loaded",
            ),
            Cause::Overload(near) => {
                (format!("`{near}`, which {framework} has"), "the same name with other parameters")
            }
            Cause::TensorFlow => (format!("symbols of {framework}"), "none there, nor near it"),
            Cause::Runtime(library) => {
                (format!("symbols of {library}"), "another library of that name when it was linked")
            }
            Cause::Own => (
                format!("a definition in the op, in {framework} or in the C and C++ runtime"),
                "none",
            ),
        };
        (expected, found.to_owned())
    }

    fn hint(&self) -> &'static str {
        match self {
            Cause::OldAbi => {
                "compile every source with `-D_GLIBCXX_USE_CXX11_ABI=1`, and link no archive \
                 that was compiled without it"
            }
            Cause::NewAbi => {
                "compile every source with `-D_GLIBCXX_USE_CXX11_ABI=0`, and link no archive \
                 that was compiled without it"
            }
            Cause::Whole => {
                "use the framework's interface (tensorflow/core/framework), not TensorFlow's \
                 own kernels or compiler"
            }
            Cause::Overload(_) | Cause::TensorFlow => {
                "compile with the headers of the pinned TensorFlow: \
                 `@org_tensorflow//tensorflow/core:framework` in deps, no other copy before it"
            }
            Cause::Runtime(_) => {
                "build it with `cargo xtask build-ops`: the builder root has the runtime root's \
                 libraries"
            }
            Cause::Own => {
                "is the source that defines it in `srcs`, or the library that has it in `deps`, \
                 of the BUILD file?"
            }
        }
    }
}
