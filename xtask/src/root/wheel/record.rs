//! RECORD: what a wheel holds, with digests ("Recording installed projects", the RECORD
//! file; CSV as Python's `csv` module writes it).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::digest::Sha256;
use crate::root::path::TreePath;

/// What RECORD says of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// `None` for RECORD itself and its signatures.
    pub digest: Option<Sha256>,
    pub size: Option<u64>,
}

/// All rows by path; an error names the line.
pub(super) fn parse(text: &[u8]) -> Result<BTreeMap<TreePath, Row>, String> {
    let text = std::str::from_utf8(text).map_err(|_| "RECORD is not UTF-8")?;
    let mut rows = BTreeMap::new();
    for (at, line) in text.lines().enumerate() {
        let wrong = |why: &str| format!("RECORD line {}: {why}", at + 1);
        if line.is_empty() {
            continue;
        }
        let fields = fields(line).ok_or_else(|| wrong("it is no CSV"))?;
        let [path, digest, size] = &fields[..] else {
            return Err(wrong(&format!("expected 3 fields, found {}", fields.len())));
        };
        let path = TreePath::parse(path.as_bytes()).map_err(|e| wrong(e.message()))?;
        let row = row(digest, size).map_err(|why| wrong(&format!("`{path}`: {why}")))?;
        if rows.insert(path, row).is_some() {
            return Err(wrong("its file was named before"));
        }
    }
    Ok(rows)
}

fn row(digest: &str, size: &str) -> Result<Row, String> {
    let digest = match digest.split_once('=') {
        Some(("sha256", text)) => {
            Some(Sha256::from_base64(text).ok_or("its sha256 is no base64 of 32 bytes")?)
        }
        None if digest.is_empty() => None,
        _ => return Err(format!("expected a sha256, found `{}`", digest.escape_debug())),
    };
    let number = || size.parse().map_err(|_| format!("`{}` is no size", size.escape_debug()));
    let size = if size.is_empty() { None } else { Some(number()?) };
    Ok(Row { digest, size })
}

/// The fields of one line: plain, or quoted with quotes doubled.
fn fields(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let field;
        (field, rest) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return rest.is_empty().then_some(fields),
        }
    }
}

fn quoted_field(mut rest: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    loop {
        let (text, after) = rest.split_once('"')?;
        field += text;
        match after.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, after)),
        }
    }
}

/// A RECORD of `files`, and of itself at `own`.
pub(super) fn write<'a>(
    files: impl Iterator<Item = (&'a TreePath, u64, Sha256)>,
    own: &TreePath,
) -> String {
    let mut text = String::new();
    for (path, size, digest) in files {
        let _ = writeln!(text, "{},sha256={},{size}", field(path.as_str()), digest.base64());
    }
    text + &field(own.as_str()) + ",,\n"
}

fn field(path: &str) -> String {
    match path.contains([',', '"']) {
        true => format!("\"{}\"", path.replace('"', "\"\"")),
        false => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let digest = Sha256::of(b"x");
        let own = TreePath::try_from("a.dist-info/RECORD").unwrap();
        let paths = ["a b", "a,b", "a\"b\"", "ä/ß"].map(|p| TreePath::try_from(p).unwrap());
        let text = write(paths.iter().map(|path| (path, 7, digest)), &own);
        let rows = parse(text.as_bytes()).unwrap();
        assert_eq!(rows.len(), 5);
        for path in &paths {
            assert_eq!(rows[path], Row { digest: Some(digest), size: Some(7) });
        }
        assert_eq!(rows[&own], Row { digest: None, size: None });
    }

    #[test]
    fn each_fault_is_named_with_its_line() {
        let good = format!("a,sha256={},1\n", Sha256::of(b"x").base64());
        for (line, why) in [
            ("b", "expected 3 fields, found 1"),
            ("b,,,", "expected 3 fields, found 4"),
            ("\"b,,", "it is no CSV"),
            ("\"b\"c,,", "it is no CSV"),
            ("../b,,", "the name `../b` has a `..` component"),
            ("/b,,", "the name `/b` is absolute"),
            ("a,,", "its file was named before"),
            ("b,sha256=abc,1", "`b`: its sha256 is no base64 of 32 bytes"),
            ("b,md5=abc,1", "`b`: expected a sha256, found `md5=abc`"),
            ("b,,-1", "`b`: `-1` is no size"),
        ] {
            let error = parse((good.clone() + line).as_bytes()).unwrap_err();
            assert_eq!(error, format!("RECORD line 2: {why}"));
        }
        assert!(parse(b"\xff").is_err());
    }
}
