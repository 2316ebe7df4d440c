//! What lies in the bytes: host paths, instructions, the build id.

use crate::abi::elf::Elf;
use crate::abi::finding::{Finding, Rule};
use crate::abi::policy::Policy;
use crate::abi::provider::Providers;
use crate::abi::symbol::demangled;

/// At most so many paths are shown; the rest is counted.
const SHOWN: usize = 3;

/// No path of the machine that built it.
pub(super) fn paths(elf: &Elf<'_>, _: &Providers<'_>, policy: &Policy) -> Vec<Finding> {
    let found = host_paths(elf.bytes, &policy.host_paths);
    if found.is_empty() {
        return Vec::new();
    }
    let shown = found.iter().take(SHOWN).map(|(offset, path)| {
        let section = elf.section_at(*offset).map_or("between sections", |section| section.name);
        format!("`{path}` at 0x{offset:x} ({section})")
    });
    let mut shown = shown.collect::<Vec<_>>().join(", ");
    if found.len() > SHOWN {
        shown += &format!(" and {} more", found.len() - SHOWN);
    }
    vec![Finding {
        rule: Rule::Paths,
        what: "it carries paths of the machine that built it".to_owned(),
        expected: format!("no path under {}", policy.host_paths.join(", ")),
        found: shown,
        hint: "use paths relative to the workspace in sources, and \
               `-ffile-prefix-map=$PWD=.` for `__FILE__`, assertions and debug information"
            .to_owned(),
    }]
}

/// Where absolute paths under one of `starts` are, and as much of each as is printable.
fn host_paths<'data>(bytes: &'data [u8], starts: &[String]) -> Vec<(u64, &'data str)> {
    let mut found = Vec::new();
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        let before = at.checked_sub(1).and_then(|before| bytes.get(before));
        let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+~".contains(byte);
        let rest = &bytes[at..];
        if before.is_some_and(goes_on)
            || !starts.iter().any(|start| rest.starts_with(start.as_bytes()))
        {
            continue;
        }
        let printable = |byte: &&u8| byte.is_ascii_graphic() && !b"\"'`".contains(byte);
        let length = rest.iter().take(200).take_while(printable).count();
        found.push((at as u64, std::str::from_utf8(&rest[..length]).unwrap_or_default()));
    }
    found
}

/// The op runs on the lowest processor of the cluster.
pub(super) fn isa(elf: &Elf<'_>, _: &Providers<'_>, policy: &Policy) -> Vec<Finding> {
    let beyond = elf.needs.beyond(policy.level);
    if beyond.is_empty() {
        return Vec::new();
    }
    let shown = beyond.iter().map(|(feature, address)| match elf.function_at(*address) {
        Some((name, offset)) => {
            format!("{} in `{}` at +0x{offset:x}", feature.name, demangled(name))
        }
        None => format!("{} at 0x{address:x}", feature.name),
    });
    vec![Finding {
        rule: Rule::Isa,
        what: "older machines of the cluster end it with `Illegal instruction`".to_owned(),
        expected: format!("instructions of {}", policy.level),
        found: format!("those of {}: {}", elf.needs, shown.collect::<Vec<_>>().join(", ")),
        hint: "remove `-march=native`, `-mavx2` and the like from copts; for faster processors \
               write `__attribute__((target_clones(\"avx2\", \"default\")))` before the function"
            .to_owned(),
    }]
}

/// The build id is absent or a function of the contents.
pub(super) fn build_id(elf: &Elf<'_>, _: &Providers<'_>, _: &Policy) -> Vec<Finding> {
    const SHA1: usize = 20;
    match elf.build_id {
        Some(id) if id.len() != SHA1 => vec![Finding {
            rule: Rule::BuildId,
            what: "its build id may be another one in each build".to_owned(),
            expected: "no build id, or a sha1 of the contents (20 bytes)".to_owned(),
            found: format!("{} bytes", id.len()),
            hint: "link with `-Wl,--build-id=sha1` or `-Wl,--build-id=none`, never `uuid`"
                .to_owned(),
        }],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_paths_under_a_start_are_host_paths() {
        let starts = ["/work/".to_owned(), "/tmp/".to_owned()];
        let bytes =
            b"\0/work/ops/a.cc\0x/work/b\0external/tmp/c\0see '/tmp/d' \0/workshop/\0//tmp/e";
        let found = host_paths(bytes, &starts);
        assert_eq!(found, [(1, "/work/ops/a.cc"), (45, "/tmp/d")]);
    }
}
