//! Programs that a wheel brings: scripts, and entry points to be made into scripts.

use std::collections::BTreeMap;

/// The one Python of a runtime root.
const SHEBANG: &str = "#!/usr/bin/python3\n";

/// A script of a wheel as it is installed: `#!python` becomes the root's Python ("Binary
/// distribution format", recommended archiver features). `None`: it stays as it is.
pub(super) fn with_shebang(script: &[u8]) -> Option<Vec<u8>> {
    let end = script.iter().position(|byte| *byte == b'\n').map_or(script.len(), |at| at + 1);
    let (first, rest) = script.split_at(end);
    let placeholder = [&b"#!python"[..], b"#!pythonw"].contains(&first.trim_ascii_end());
    placeholder.then(|| [SHEBANG.as_bytes(), rest].concat())
}

/// The scripts that `entry_points.txt` asks for, by name, as they are installed ("Entry
/// points specification").
pub(super) fn from_entry_points(text: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "entry_points.txt is not UTF-8")?;
    let mut scripts = BTreeMap::new();
    let mut wanted = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(group) = line.strip_prefix('[') {
            wanted = ["console_scripts]", "gui_scripts]"].contains(&group);
        } else if wanted {
            let wrong = |why| format!("entry_points.txt line {}: {why}", at + 1);
            let (name, script) = script(line).map_err(wrong)?;
            if scripts.insert(name, script.into_bytes()).is_some() {
                return Err(wrong("its name was used before".to_owned()));
            }
        }
    }
    Ok(scripts)
}

/// `name = package.module:object [extras]`.
fn script(line: &str) -> Result<(String, String), String> {
    let (name, value) = line.split_once('=').ok_or("expected `name = module:object`")?;
    let name = name.trim();
    let known = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if !name.bytes().all(known) || !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Err(format!("`{}` is no name of a program", name.escape_debug()));
    }
    let object = value.split('[').next().unwrap_or_default();
    let (module, object) = object.split_once(':').ok_or("expected `name = module:object`")?;
    let (module, object) = (module.trim(), object.trim());
    for dotted in [module, object] {
        if !dotted.split('.').all(is_identifier) {
            return Err(format!("`{}` is no Python name", dotted.escape_debug()));
        }
    }
    let first = object.split('.').next().unwrap_or(object);
    let body = format!("import sys\nfrom {module} import {first}\nsys.exit({object}())\n");
    Ok((name.to_owned(), SHEBANG.to_owned() + &body))
}

/// Nothing that could be more than a name: it is written into a program.
fn is_identifier(text: &str) -> bool {
    let known = |c: char| c.is_alphanumeric() || c == '_';
    text.chars().all(known) && text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_the_roots_python_and_nothing_else_changes() {
        let fixed =
            |text: &str| with_shebang(text.as_bytes()).map(|b| String::from_utf8(b).unwrap());
        assert_eq!(fixed("#!python\nx\n").unwrap(), "#!/usr/bin/python3\nx\n");
        assert_eq!(fixed("#!pythonw\r\nx").unwrap(), "#!/usr/bin/python3\nx");
        assert_eq!(fixed("#!python").unwrap(), "#!/usr/bin/python3\n");
        assert_eq!(fixed("#!/bin/sh\n#!python\n"), None);
        assert_eq!(fixed("#!python3\n"), None);
    }

    #[test]
    fn entry_points_become_scripts() {
        let text = b"[other]\nx = whatever\n[console_scripts]\n# why\na-b = c.d:E.f [g]\n[x]\ny\n";
        let scripts = from_entry_points(text).unwrap();
        assert_eq!(scripts.keys().collect::<Vec<_>>(), ["a-b"]);
        let script = "#!/usr/bin/python3\nimport sys\nfrom c.d import E\nsys.exit(E.f())\n";
        assert_eq!(String::from_utf8_lossy(&scripts["a-b"]), script);
    }

    #[test]
    fn entry_points_that_escape_are_refused() {
        for (line, why) in [
            ("../../x = a:b", "`../../x` is no name of a program"),
            ("x/../../y = a:b", "`x/../../y` is no name of a program"),
            ("/x = a:b", "`/x` is no name of a program"),
            (".. = a:b", "`..` is no name of a program"),
            ("= a:b", "`` is no name of a program"),
            ("x = a", "expected `name = module:object`"),
            ("x", "expected `name = module:object`"),
            ("x = a:b(); import os", "`b(); import os` is no Python name"),
            ("x = a..b:c", "`a..b` is no Python name"),
            ("x = :c", "`` is no Python name"),
        ] {
            let text = format!("[console_scripts]\n{line}\n");
            let error = from_entry_points(text.as_bytes()).unwrap_err();
            assert_eq!(error, format!("entry_points.txt line 2: {why}"));
        }
        let twice = from_entry_points(b"[gui_scripts]\nx = a:b\nx = a:c\n").unwrap_err();
        assert_eq!(twice, "entry_points.txt line 3: its name was used before");
    }
}
