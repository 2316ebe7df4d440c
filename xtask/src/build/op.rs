//! Op packages: the folders under `ops/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::error::{Error, IoContext as _, Kind, Result};

/// An op package: a folder under `ops/` with a BUILD file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpPackage {
    name: String,
}

impl OpPackage {
    /// An op package of this name, if it can be one: the name is a Bazel package, a
    /// Python package and part of a file name at once.
    pub fn named(name: &str) -> Result<Self> {
        let first = name.starts_with(|c: char| c.is_ascii_lowercase());
        let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if first && name.chars().all(rest) && name.len() <= 64 && !PYTHON_WORDS.contains(&name) {
            return Ok(OpPackage { name: name.to_owned() });
        }
        let suggestion = suggested(name);
        Err(Error::new(
            Kind::Pins,
            format!(
                "`{name}` cannot be an op package: expected lower-case letters, digits and `_`, \
                 a letter first, no Python keyword"
            ),
        )
        .hint(format!("name it `{suggestion}`, for example")))
    }

    /// The folder's name: Bazel package, Python package.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The shared library of this package, `libNAME.so`, as it lies in `tensorflow-plugins/`.
    pub fn library(&self) -> String {
        format!("lib{}.so", self.name)
    }
}

const PYTHON_WORDS: [&str; 35] = [
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif",
    "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda",
    "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield", "match",
    "case", "type",
];

/// A valid name near `name`.
fn suggested(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        match c {
            'A'..='Z' if !out.is_empty() && !out.ends_with('_') => {
                out.push('_');
                out.push(c.to_ascii_lowercase());
            }
            'a'..='z' | 'A'..='Z' => out.push(c.to_ascii_lowercase()),
            '0'..='9' if !out.is_empty() => out.push(c),
            _ if !out.is_empty() && !out.ends_with('_') => out.push('_'),
            _ => {}
        }
    }
    match out.trim_end_matches('_') {
        "" => "my_op".to_owned(),
        word if PYTHON_WORDS.contains(&word) => format!("{word}_ops"),
        word => word.to_owned(),
    }
}

/// All op packages in `ops`, sorted by name. A folder is an op package when it has a BUILD
/// file; a folder with C++ sources and none is an error, since Bazel would pass it over.
pub fn discover(ops: &Path) -> Result<Vec<OpPackage>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(ops).at("list", ops)? {
        let entry = entry.at("list", ops)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.path().is_dir() || name.starts_with('.') {
            continue;
        }
        let folder = entry.path();
        if folder.join("BUILD").is_file() || folder.join("BUILD.bazel").is_file() {
            found.insert(OpPackage::named(&name).map_err(|e| e.context(format!("ops/{name}")))?);
        } else if holds_sources(&folder)? {
            return Err(no_build_file(&folder, &name));
        }
    }
    if found.is_empty() {
        return Err(Error::new(Kind::Pins, format!("no op package in `{}`", ops.display()))
            .hint("`cargo xtask new-op NAME` makes one"));
    }
    Ok(found.into_iter().collect())
}

/// The classic `BUILD file not found`, found before Bazel is.
fn no_build_file(folder: &Path, name: &str) -> Error {
    let near = fs::read_dir(folder).into_iter().flatten().flatten().find_map(|entry| {
        let file = entry.file_name().to_string_lossy().into_owned();
        file.to_lowercase().starts_with("build").then_some(file)
    });
    let error = Error::new(
        Kind::Pins,
        format!(
            "op package `{name}` has no BUILD file: expected `{}/BUILD`, found C++ sources without one",
            folder.display()
        ),
    );
    match near {
        Some(file) => error.hint(format!("rename `{name}/{file}` to `{name}/BUILD`")),
        None => error.hint(
            "`cargo xtask new-op NAME` makes an op package with a BUILD file to copy from; a folder \
             that is no op package belongs elsewhere",
        ),
    }
}

/// Whether there are C++ sources in `folder` or below.
fn holds_sources(folder: &Path) -> Result<bool> {
    for entry in fs::read_dir(folder).at("list", folder)? {
        let path = entry.at("list", folder)?.path();
        let source = path.extension().is_some_and(|e| e == "cc" || e == "cpp" || e == "cxx");
        if source || path.is_dir() && !path.is_symlink() && holds_sources(&path)? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bazel_and_python_packages_at_once() {
        assert!(OpPackage::named("image_ops").is_ok());
        for (bad, good) in
            [("Zero-Out", "zero_out"), ("9lives", "lives"), ("", "my_op"), ("class", "class_ops")]
        {
            let error = OpPackage::named(bad).unwrap_err();
            assert_eq!(error.hints(), [format!("name it `{good}`, for example")], "{bad}");
        }
    }

    #[test]
    fn a_folder_of_sources_without_a_build_file_is_named_with_its_near_miss() {
        let ops = tempfile::tempdir().unwrap();
        fs::create_dir_all(ops.path().join("zero_out/kernels")).unwrap();
        fs::write(ops.path().join("zero_out/kernels/a.cc"), "").unwrap();
        fs::write(ops.path().join("zero_out/Build.txt"), "").unwrap();
        let error = discover(ops.path()).unwrap_err();
        assert!(error.message().starts_with("op package `zero_out` has no BUILD file"), "{error}");
        assert_eq!(error.hints(), ["rename `zero_out/Build.txt` to `zero_out/BUILD`"]);
        fs::write(ops.path().join("zero_out/BUILD"), "").unwrap();
        assert_eq!(discover(ops.path()).unwrap(), [OpPackage::named("zero_out").unwrap()]);
    }
}
