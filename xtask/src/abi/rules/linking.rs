//! How the library is linked: needed libraries, search path, memory permissions.

use crate::abi::elf::Elf;
use crate::abi::finding::{Finding, Rule};
use crate::abi::policy::Policy;
use crate::abi::provider::{BASE_LIBRARIES, Providers};

/// `NEEDED` names the framework library and the C and C++ runtime, nothing else.
pub(super) fn needed(elf: &Elf<'_>, providers: &Providers<'_>, _: &Policy) -> Vec<Finding> {
    let framework = &*providers.framework.soname;
    let expected = format!("`{framework}`, and of others only {}", BASE_LIBRARIES.join(", "));
    let finding = |what: String, hint: &str| Finding {
        rule: Rule::Needed,
        what,
        expected: expected.clone(),
        found: if elf.needed.is_empty() { "none".to_owned() } else { elf.needed.join(", ") },
        hint: hint.to_owned(),
    };
    let mut findings = Vec::new();
    if !elf.needed.contains(&framework) {
        findings.push(finding(
            format!("it is not linked to `{framework}`"),
            "add `@org_tensorflow//tensorflow/core:framework` to deps, or build it with `tf_custom_op_library`",
        ));
    }
    for library in &elf.needed {
        if *library == framework || BASE_LIBRARIES.contains(library) {
            continue;
        }
        let (what, hint) = if library.contains("tensorflow_framework") {
            (
                format!(
                    "it needs another framework library, `{library}`: its ops would register there, unseen"
                ),
                "link the pinned TensorFlow's own library; do not run `auditwheel repair` over an op",
            )
        } else if library.contains("tensorflow") {
            (
                format!("it needs `{library}`, which is TensorFlow's own business"),
                "ops link only the framework library: use `@org_tensorflow//tensorflow/core:framework`",
            )
        } else {
            (
                format!("it needs `{library}`, which no machine of the cluster is sure to have"),
                "link that library statically (a `cc_library` from sources), or do without it",
            )
        };
        findings.push(finding(what, hint));
    }
    findings
}

/// `RUNPATH` leads from `tensorflow-plugins/` to TensorFlow; there is no `RPATH`.
pub(super) fn runpath(elf: &Elf<'_>, _: &Providers<'_>, policy: &Policy) -> Vec<Finding> {
    let hint = format!(
        "link with `-Wl,-rpath,{}` and `-Wl,--enable-new-dtags`, as `tf_custom_op_library` does",
        policy.runpath
    );
    let finding = |what: &str, found: String| Finding {
        rule: Rule::Runpath,
        what: what.to_owned(),
        expected: format!("RUNPATH `{}`, no RPATH", policy.runpath),
        found,
        hint: hint.clone(),
    };
    let mut findings = Vec::new();
    if let Some(rpath) = elf.rpath {
        let what = "it has an RPATH, which wins over `LD_LIBRARY_PATH`";
        findings.push(finding(what, format!("RPATH `{rpath}`")));
    }
    match elf.runpath {
        Some(runpath) if runpath == policy.runpath => {}
        Some(runpath) => {
            let what = "its RUNPATH does not lead to TensorFlow alone";
            findings.push(finding(what, format!("RUNPATH `{runpath}`")));
        }
        None if elf.rpath.is_some() => {}
        None => findings.push(finding("it has no RUNPATH", "none".to_owned())),
    }
    findings
}

/// Neither code nor stack is both writable and executable.
pub(super) fn hardening(elf: &Elf<'_>, _: &Providers<'_>, _: &Policy) -> Vec<Finding> {
    let finding = |what: &str, expected: &str, found: &str, hint: &str| Finding {
        rule: Rule::Hardening,
        what: what.to_owned(),
        expected: expected.to_owned(),
        found: found.to_owned(),
        hint: hint.to_owned(),
    };
    let mut findings = Vec::new();
    if elf.text_relocations {
        findings.push(finding(
            "the loader must write into its code",
            "no text relocations",
            "TEXTREL",
            "compile every source with `-fPIC`, assembler sources too",
        ));
    }
    if elf.executable_stack {
        findings.push(finding(
            "loading it makes the stack of TensorFlow's process executable",
            "GNU_STACK without the X flag",
            "an executable stack, or none declared",
            "add `.section .note.GNU-stack,\"\",@progbits` to assembler sources; avoid nested functions",
        ));
    }
    if elf.writable_code {
        findings.push(finding(
            "a segment is writable and executable at once",
            "segments that are either writable or executable",
            "a segment with the flags W and X",
            "link without `-Wl,-N` and without a linker script of your own",
        ));
    }
    findings
}
