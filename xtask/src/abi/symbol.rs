//! Mangled names in a person's words, and the near relatives of a name that is missing.
//!
//! Format: Itanium C++ ABI, section 5.1 "External Names (a.k.a. Mangling)".

use cpp_demangle::{DemangleOptions, Symbol};

/// The absl namespace that is part of every mangled name: `lts_20250814`.
pub const ABSL_TAG_LENGTH: usize = "lts_".len() + 8;

/// A symbol as it is written in C++; as it is when it is not a C++ symbol.
pub fn demangled(name: &str) -> String {
    let options = DemangleOptions::new().no_return_type();
    Symbol::new(name)
        .ok()
        .and_then(|symbol| symbol.demangle_with_options(&options).ok())
        .unwrap_or_else(|| name.to_owned())
}

/// absl's inline namespace in a mangled name, `lts_20250814`, when the name has one.
pub fn absl_tag(name: &str) -> Option<&str> {
    let at = name.find("lts_2")?;
    let tag = name.get(at..at + ABSL_TAG_LENGTH)?;
    tag["lts_".len()..].bytes().all(|byte| byte.is_ascii_digit()).then_some(tag)
}

/// The first few symbols, demangled, and how many more there are.
pub fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 3;
    let mut names: Vec<String> = names.map(|name| format!("`{}`", demangled(name))).collect();
    names.dedup(); // a constructor has two names in the file
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Whether a symbol *is* something of this namespace (and does not merely take one as a
/// parameter): `[3, absl]` of `_ZN4absl12lts_20250814…`.
pub fn is_in(name: &str, namespace: &[&str]) -> bool {
    let path = path(name);
    path.len() > namespace.len() && path.iter().zip(namespace).all(|(found, name)| found == name)
}

/// The namespaces, class and function that a mangled name spells out in full, outermost
/// first: `tensorflow`, `OpKernel`, `TraceString`.
pub fn path(name: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let Some(mut rest) = name.strip_prefix("_Z") else { return found };
    // vtables, type infos and guards (TV, TI, TS, TT, GV) name what they belong to
    for special in ["TV", "TI", "TS", "TT", "GV"] {
        rest = rest.strip_prefix(special).unwrap_or(rest);
    }
    rest = rest.strip_prefix('N').unwrap_or(rest);
    rest = rest.trim_start_matches(['K', 'V', 'R', 'O']);
    while let Some((name, after)) = source_name(rest) {
        found.push(name);
        rest = after;
    }
    found
}

/// `<source-name> ::= <positive length number> <identifier>`
fn source_name(text: &str) -> Option<(&str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let length: usize = text.get(..digits)?.parse().ok()?;
    let name = text.get(digits..digits.checked_add(length)?)?;
    Some((name, &text[digits + length..]))
}

/// What a missing symbol's near relative says about the mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Twin {
    /// The same but for the libstdc++ ABI; `new` tells which one the op was compiled with.
    CxxAbi {
        /// The provider's spelling, mangled.
        name: String,
        /// Whether the *op* has the new ABI.
        new: bool,
    },
    /// The same but for absl's tag.
    Absl {
        /// The tag in the op.
        op: String,
        /// The tag that is provided.
        provided: String,
    },
    /// The same name with other parameters: TensorFlow changed it.
    Overload {
        /// The provider's spelling, mangled.
        name: String,
    },
}

/// Finds the nearest relative of a missing symbol among provided names.
pub fn twin<'a>(missing: &str, provided: impl Iterator<Item = &'a str>) -> Option<Twin> {
    let wanted = path(missing);
    if wanted.len() < 2 {
        return None;
    }
    let untagged = |name: &str| absl_tag(name).map(|tag| name.replace(tag, ABSL_ANY));
    let any_tag = untagged(missing);
    let plain = plain(missing);
    let mut overload = None;
    for name in provided.filter(|name| name.contains(wanted[wanted.len() - 1])) {
        if let (Some(op), Some(found)) = (absl_tag(missing), absl_tag(name))
            && op != found
            && any_tag == untagged(name)
        {
            return Some(Twin::Absl { op: op.to_owned(), provided: found.to_owned() });
        }
        if !same_path(&wanted, &path(name)) {
            continue;
        }
        if self::plain(name) == plain {
            return Some(Twin::CxxAbi { name: name.to_owned(), new: is_new_abi(missing) });
        }
        overload.get_or_insert_with(|| Twin::Overload { name: name.to_owned() });
    }
    overload
}

const ABSL_ANY: &str = "lts_????????";

fn same_path(one: &[&str], two: &[&str]) -> bool {
    let same = |(a, b): (&&str, &&str)| a == b || (absl_tag(a).is_some() && absl_tag(b).is_some());
    one.len() == two.len() && one.iter().zip(two).all(same)
}

/// Whether a mangled name speaks of the new libstdc++ ABI's strings or lists.
fn is_new_abi(name: &str) -> bool {
    name.contains("cxx11")
}

/// The demangled name with both ABIs' spellings of `std::string` made one.
fn plain(name: &str) -> String {
    demangled(name)
        .replace("[abi:cxx11]", "")
        .replace("std::__cxx11::", "std::")
        .replace(
            "std::basic_string<char, std::char_traits<char>, std::allocator<char> >",
            "std::string",
        )
        .replace(" >", ">")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_tags_of_mangled_names() {
        assert_eq!(
            path("_ZNK10tensorflow8OpKernel11TraceStringERKNS_15OpKernelContextEb"),
            ["tensorflow", "OpKernel", "TraceString"]
        );
        assert_eq!(path("_ZTVN4absl12lts_202508146StatusE"), ["absl", "lts_20250814", "Status"]);
        assert_eq!(path("memcpy"), [""; 0]);
        assert_eq!(path("_ZN99short"), [""; 0]);
        assert_eq!(absl_tag("_ZN4absl12lts_202508146StatusE"), Some("lts_20250814"));
        assert_eq!(absl_tag("_ZN3foo5lts_2E"), None);
    }

    #[test]
    fn a_parameter_of_a_namespace_does_not_put_a_symbol_into_it() {
        assert!(is_in("_ZN4absl12lts_202508146StatusD1Ev", &["absl"]));
        assert!(!is_in("_ZN5mine31fERKN4absl12lts_202508146StatusE", &["absl"]));
        assert!(is_in("_ZTIN6google8protobuf7MessageE", &["google", "protobuf"]));
    }

    #[test]
    fn the_other_libstdcxx_abi_is_recognised_both_ways() {
        let old = "_ZNK10tensorflow8OpKernel11TraceStringERKNS_15OpKernelContextEb";
        let new = "_ZNK10tensorflow8OpKernel11TraceStringB5cxx11ERKNS_15OpKernelContextEb";
        let found = twin(old, ["_ZN3tsl3fooEv", new].into_iter());
        assert_eq!(found, Some(Twin::CxxAbi { name: new.into(), new: false }));
        let found = twin(new, [old].into_iter());
        assert_eq!(found, Some(Twin::CxxAbi { name: old.into(), new: true }));
        let old = "_ZN10tensorflow12OpDefBuilder4AttrESs";
        let new = "_ZN10tensorflow12OpDefBuilder4AttrENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE";
        let found = twin(old, [new].into_iter());
        assert_eq!(found, Some(Twin::CxxAbi { name: new.into(), new: false }));
    }

    #[test]
    fn another_absl_and_another_overload_are_told_apart() {
        let op = "_ZN10tensorflow15OpKernelContext10CtxFailureERKN4absl12lts_202501276StatusE";
        let tf = "_ZN10tensorflow15OpKernelContext10CtxFailureERKN4absl12lts_202508146StatusE";
        let tags = Twin::Absl { op: "lts_20250127".into(), provided: "lts_20250814".into() };
        assert_eq!(twin(op, [tf].into_iter()), Some(tags));
        let op = "_ZN3tsl8internal15LogMessageFatalC1EPKci";
        let tf = "_ZN3tsl8internal15LogMessageFatalC1EPKcib";
        assert_eq!(twin(op, [tf].into_iter()), Some(Twin::Overload { name: tf.into() }));
        assert_eq!(twin(op, ["_ZN3tsl8internal15LogMessageErrorC1EPKci"].into_iter()), None);
    }
}
