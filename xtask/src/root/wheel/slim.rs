//! What a slim image leaves out of an installed wheel: what only compiles or tests code.
//!
//! Stubs (`.pyi`) stay: packages that load their parts lazily read them at run time. So do
//! licences and all else in `.dist-info`. What is left is what RECORD says.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::digest::Sha256;
use crate::error::Result;
use crate::root::path::TreePath;

use super::spread::{Content, FILE, Installed};
use super::{Wheel, record};

/// Folders that go, wherever they are.
const FOLDERS: [&str; 2] = ["include", "tests"];
/// Files that go: headers and static libraries.
const SUFFIXES: [&str; 6] = ["a", "cuh", "h", "hh", "hpp", "hxx"];
/// The parser of C++ that TensorFlow's wheel requires and nothing at run time loads.
const PARSER: &str = "clang/native";

/// Files in place of those of the same path: where they are, their size and digest.
pub type Replaced = BTreeMap<TreePath, (PathBuf, u64, Sha256)>;

/// Whether a slim image has the file `path` of site-packages.
fn stays(path: &TreePath) -> bool {
    let mut folders: Vec<_> = path.components().collect();
    folders.pop();
    if folders.first().is_some_and(|top| top.ends_with(".dist-info")) {
        return true;
    }
    let suffix = path.name().rsplit_once('.').map_or("", |(_, suffix)| suffix);
    !SUFFIXES.contains(&suffix)
        && !folders.iter().any(|folder| FOLDERS.contains(folder))
        && path.below(PARSER).is_none()
}

/// Whether the file `path` of TensorFlow's wheel is a library that may be stripped: its own.
/// What auditwheel has patched no longer loads afterwards (its segments lose their alignment).
pub fn is_own_library(path: &TreePath) -> bool {
    let name = path.name();
    let library = name.ends_with(".so") || name.contains(".so.");
    let patched = path.components().any(|folder| folder.ends_with(".libs")) || has_hash(name);
    library && path.below("tensorflow").is_some() && !patched && stays(path)
}

/// `libgfortran-040039e1.so.5`: auditwheel puts eight hex digits into each name it changes.
fn has_hash(name: &str) -> bool {
    let stem = name.split(".so").next().unwrap_or_default();
    stem.rsplit_once('-').is_some_and(|(_, hash)| {
        hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

impl Wheel {
    /// `files`, which are all of this installed wheel, without what a slim image leaves out,
    /// those of `replaced` in their place, and with a RECORD that says so.
    pub fn slim(&self, files: Vec<Installed>, replaced: &Replaced) -> Result<Vec<Installed>> {
        let own = self.path(&format!("{}/RECORD", self.info))?;
        let rest = files.into_iter().filter(|file| file.path != own && stays(&file.path));
        let mut slim: Vec<_> = rest
            .map(|file| match replaced.get(&file.path) {
                None => file,
                Some((path, size, digest)) => {
                    let content = Content::File(path.clone());
                    Installed { size: *size, digest: *digest, content, ..file }
                }
            })
            .collect();
        let rows = slim.iter().map(|file| (&file.path, file.size, file.digest));
        let record = record::write(rows, &own).into_bytes();
        let at = slim.partition_point(|file| file.path < own);
        slim.insert(at, Installed::made(own, FILE, record));
        Ok(slim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root::wheel::tests::{open, parts};

    fn path(text: &str) -> TreePath {
        TreePath::try_from(text).unwrap()
    }

    #[test]
    fn what_only_compiles_or_tests_goes_and_all_else_stays() {
        for gone in [
            "tensorflow/include/tensorflow/core/framework/op.h",
            "tensorflow/include/unsupported/Eigen/CXX11/Tensor",
            "numpy/_core/lib/libnpymath.a",
            "numpy/tests/test_lazyloading.py",
            "keras/src/layers/tests/x.py",
            "tensorflow/xla_aot_runtime_src/xla/executable.h",
            "include/numpy/arrayobject.h",
            "clang/native/libclang.so",
        ] {
            assert!(!stays(&path(gone)), "{gone}");
        }
        for stays_ in [
            "numpy/__init__.pyi",
            "numpy/testing/__init__.py",
            "tensorflow/_api/v2/test/__init__.py",
            "tensorflow/python/framework/test_util.py",
            "numpy-1.dist-info/licenses/numpy/include/LICENSE",
            "numpy-1.dist-info/tests/x.h",
            "tests.py",
            "include",
            "clang/cindex.py",
            "h/a",
        ] {
            assert!(stays(&path(stays_)), "{stays_}");
        }
    }

    #[test]
    fn only_tensorflows_own_libraries_are_stripped() {
        for own in ["tensorflow/libtensorflow_cc.so.2", "tensorflow/python/_pywrap_x.so"] {
            assert!(is_own_library(&path(own)), "{own}");
        }
        for other in [
            "numpy/_core/_multiarray_umath.so",
            "tensorflow.libs/libgomp-24e2ab19.so.1.0.0",
            "tensorflow/x.libs/liba.so",
            "tensorflow/libgfortran-040039e1-0352e75f.so.5.0.0",
            "tensorflow/so.py",
            "tensorflow/include/liba.so",
            "other/tensorflow/liba.so",
        ] {
            assert!(!is_own_library(&path(other)), "{other}");
        }
    }

    #[test]
    fn record_says_what_is_there() {
        let file = "a-1-py3-none-any.whl";
        let files: [(&str, &[u8]); 3] = [("a/x.h", b"h"), ("a/x.py", b"p"), ("a/x.so", b"so")];
        let wheel = open(file, parts(file, &files)).unwrap();
        let whole = wheel.installed().unwrap();
        let (place, digest) = (PathBuf::from("/stripped/x.so"), Sha256::of(b"s"));
        let replaced = Replaced::from([(path("a/x.so"), (place.clone(), 1, digest))]);
        let slim = wheel.slim(whole.clone(), &replaced).unwrap();
        assert_eq!(slim.len() + 1, whole.len());
        assert!(slim.is_sorted_by_key(|file| &file.path));
        let find = |name: &str| slim.iter().find(|file| file.path.as_str() == name).unwrap();
        assert!(matches!(&find("a/x.so").content, Content::File(path) if *path == place));
        let Content::Made(record) = &find("a-1.dist-info/RECORD").content else { panic!() };
        let rows = record::parse(record).unwrap();
        assert_eq!(rows.len(), slim.len());
        assert_eq!(rows[&path("a/x.so")].digest, Some(digest));
        assert_eq!(rows[&path("a/x.so")].size, Some(1));
        assert_eq!(find("a-1.dist-info/RECORD").digest, Sha256::of(record));
    }
}
