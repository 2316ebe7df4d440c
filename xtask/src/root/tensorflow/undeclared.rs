//! Headers that an op includes, that TensorFlow has, and that Bazel does not see.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::error::{Error, IoContext as _, Kind, Result};
use crate::root::includes::{Include, candidates, scan};

/// Checks the C++ files of all op packages against the repository's `tree`: each file by
/// its path in the workspace (`ops/image_ops/kernels/qoi.h`) with its bytes. The compiler
/// would only say that there is no such file.
pub fn check_includes(tree: &Path, sources: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    let mut strange = Vec::new();
    for (path, bytes) in sources {
        let in_ops = path.strip_prefix("ops/").unwrap_or(path);
        for include in scan(bytes) {
            let own = |name: String| sources.contains_key(&format!("ops/{name}"));
            let declared = tree.join("include").join(&include.name).is_file();
            if !declared && !candidates(in_ops, &include).into_iter().any(own) {
                strange.push((path, include));
            }
        }
    }
    if strange.is_empty() {
        return Ok(());
    }
    let all = tree.join(super::HEADERS);
    let all = std::fs::read_to_string(&all).at("read", &all)?;
    let all: BTreeSet<&str> = all.lines().collect();
    strange.retain(|(_, include)| all.contains(include.name.as_str()));
    let line = |(path, include): &(&String, Include)| {
        let Include { line, name, .. } = include;
        let package = path.split('/').nth(1).unwrap_or_default();
        format!("op package `{package}`: {path}:{line} includes `{name}`")
    };
    let lines: Vec<_> = strange.iter().map(line).collect();
    let names: BTreeSet<_> = strange.iter().map(|(_, include)| include.name.as_str()).collect();
    match lines.is_empty() {
        true => Ok(()),
        false => Err(undeclared(&lines, &names)),
    }
}

fn undeclared(lines: &[String], names: &BTreeSet<&str>) -> Error {
    let message = "TensorFlow has these headers, and toolchains/tensorflow/headers.txt does not \
                   declare them";
    let error = Error::new(Kind::Pins, format!("{}\n{message}", lines.join("\n")));
    names.iter().fold(error, |error, name| {
        error.hint(format!("add the line `{name}` to toolchains/tensorflow/headers.txt"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_undeclared_header_is_named_with_its_place_and_the_file_to_edit() {
        let tree = tempfile::tempdir().unwrap();
        let headers = ["absl/a.h", "tensorflow/op.h", "tensorflow/x.h", "y.h"];
        std::fs::write(tree.path().join(super::super::HEADERS), headers.join("\n")).unwrap();
        std::fs::create_dir_all(tree.path().join("include/tensorflow")).unwrap();
        std::fs::write(tree.path().join("include/tensorflow/op.h"), "").unwrap();

        let own = "#include <vector>\n#include \"tensorflow/op.h\"\n#include \"y.h\"\n\
                   #include \"a_ops/b.h\"\n#include \"tensorflow/no/such.h\"\n";
        let mut sources = BTreeMap::from([
            ("ops/a_ops/a.cc".to_owned(), own.as_bytes().to_vec()),
            ("ops/a_ops/y.h".to_owned(), Vec::new()),
            ("ops/a_ops/b.h".to_owned(), Vec::new()),
        ]);
        check_includes(tree.path(), &sources).unwrap();

        let more = b"\n#include \"tensorflow/x.h\"\n#include <absl/a.h>\n".to_vec();
        sources.insert("ops/a_ops/y.h".to_owned(), more);
        insta::assert_snapshot!(check_includes(tree.path(), &sources).unwrap_err(), @r"
        error: op package `a_ops`: ops/a_ops/y.h:2 includes `tensorflow/x.h`
        op package `a_ops`: ops/a_ops/y.h:3 includes `absl/a.h`
        TensorFlow has these headers, and toolchains/tensorflow/headers.txt does not declare them
        hint: add the line `absl/a.h` to toolchains/tensorflow/headers.txt
        hint: add the line `tensorflow/x.h` to toolchains/tensorflow/headers.txt
        ");
    }
}
