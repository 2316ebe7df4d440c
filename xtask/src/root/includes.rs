//! Which headers a C++ file reaches, without a compiler: every `#include` is followed,
//! whatever the conditions around it say. So the answer is a little too large, and the
//! same for every flag.

use std::collections::BTreeMap;

use crate::error::Result;

/// One `#include` as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// Line, from 1.
    pub line: usize,
    /// What stands between the quotes or brackets.
    pub name: String,
    /// `"…"`: looked for beside the file first.
    pub quoted: bool,
}

/// All includes of a file. One whose name is a macro is no include here.
pub fn scan(source: &[u8]) -> Vec<Include> {
    let mut found = Vec::new();
    let mut comment = false;
    for (at, line) in source.split(|byte| *byte == b'\n').enumerate() {
        if !comment && let Some((name, quoted)) = directive(line) {
            found.push(Include { line: at + 1, name, quoted });
        }
        comment = comment_after(line, comment);
    }
    found
}

/// The name in `# include <name>`, and whether it is quoted.
fn directive(line: &[u8]) -> Option<(String, bool)> {
    let rest = line.trim_ascii_start().strip_prefix(b"#")?.trim_ascii_start();
    let rest = rest.strip_prefix(b"include")?.trim_ascii_start();
    let (close, quoted) = match rest.first()? {
        b'"' => (b'"', true),
        b'<' => (b'>', false),
        _ => return None,
    };
    let length = rest[1..].iter().position(|byte| *byte == close)?;
    let name = std::str::from_utf8(&rest[1..=length]).ok()?;
    Some((name.to_owned(), quoted))
}

/// Whether a `/* … */` comment is open at the end of a line. Quotes and `//` hide `/*`.
fn comment_after(line: &[u8], mut comment: bool) -> bool {
    let mut quote = None;
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        let next = line.get(at + 1);
        match (comment, quote, byte, next) {
            (true, _, b'*', Some(b'/')) => {
                comment = false;
                at += 1;
            }
            (true, ..) => {}
            (_, Some(_), b'\\', _) => at += 1,
            (_, Some(open), byte, _) if open == byte => quote = None,
            (_, Some(_), ..) => {}
            (_, None, b'/', Some(b'/')) => return false,
            (_, None, b'/', Some(b'*')) => {
                comment = true;
                at += 1;
            }
            (_, None, b'"', _) => quote = Some(byte),
            _ => {}
        }
        at += 1;
    }
    comment
}

/// Where an include of the file `from` may be, in the order in which a compiler looks, both
/// below the one include folder. What leads out of it is left out.
pub fn candidates(from: &str, include: &Include) -> Vec<String> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    let beside = include.quoted.then(|| join(folder, &include.name)).flatten();
    let mut places: Vec<_> = beside.into_iter().chain(join("", &include.name)).collect();
    places.dedup();
    places
}

/// `name` in `folder` without `.` and `..`; `None` when it is absolute or leads out.
fn join(folder: &str, name: &str) -> Option<String> {
    let mut parts: Vec<_> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.strip_prefix('/').is_none().then_some(name)?.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The files `entries` and all that they reach, by path, with their bytes. `read` knows the
/// files of the include folder; what it does not have is the system's, or nobody's.
pub fn closure(
    entries: impl IntoIterator<Item = String>,
    mut read: impl FnMut(&str) -> Result<Option<Vec<u8>>>,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut reached: BTreeMap<String, Option<Vec<u8>>> = BTreeMap::new();
    let mut waiting: Vec<String> = entries.into_iter().collect();
    while let Some(path) = waiting.pop() {
        if reached.contains_key(&path) {
            continue;
        }
        let bytes = read(&path)?;
        for include in bytes.iter().flat_map(|bytes| scan(bytes)) {
            waiting.extend(candidates(&path, &include));
        }
        reached.insert(path, bytes);
    }
    Ok(reached.into_iter().filter_map(|(path, bytes)| Some((path, bytes?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(source: &str) -> Vec<String> {
        scan(source.as_bytes()).into_iter().map(|include| include.name).collect()
    }

    #[test]
    fn every_spelling_is_seen_and_nothing_else() {
        let source = "#include <a>\n  #  include \"b c.h\" // why\n#include MACRO\n// #include <no>\n\
                      #include <open\n/* x\n#include <no>\n*/ #include <no>\n#include<d>\r\n\
                      const char* s = \"/*\";\n#include <e> /* from\n#include <no>\n*/\n// /*\n\
                      #include \"f\"\nint i = 1; /* a */ /* b\n#include <no>\n*/\n#includes <no>\n";
        assert_eq!(names(source), ["a", "b c.h", "d", "e", "f"]);
        assert_eq!(
            scan(b"\n#include \"x\"")[0],
            Include { line: 2, name: "x".into(), quoted: true }
        );
    }

    #[test]
    fn quoted_ones_are_looked_for_beside_the_file() {
        let at = |name: &str, quoted| {
            candidates("a/b/c.h", &Include { line: 1, name: name.to_owned(), quoted })
        };
        assert_eq!(at("x.h", true), ["a/b/x.h", "x.h"]);
        assert_eq!(at("x.h", false), ["x.h"]);
        assert_eq!(at("../x.h", true), ["a/x.h"]);
        assert_eq!(at("../../../x.h", true), [""; 0]);
        assert_eq!(at("/etc/passwd", true), [""; 0]);
    }

    #[test]
    fn the_closure_is_what_is_reached_circles_and_all() {
        let files = [
            ("op.h", "#include \"core/a.h\"\n#include <vector>"),
            ("core/a.h", "#include \"b.h\"\n#if 0\n#include <core/c.h>\n#endif"),
            ("core/b.h", "#include \"op.h\""),
            ("core/c.h", ""),
            ("core/d.h", ""),
        ];
        let files = BTreeMap::from(files);
        let read = |path: &str| Ok(files.get(path).map(|text| text.as_bytes().to_vec()));
        let reached = closure(["op.h".to_owned()], read).unwrap();
        assert_eq!(
            reached.keys().collect::<Vec<_>>(),
            ["core/a.h", "core/b.h", "core/c.h", "op.h"]
        );
    }
}
