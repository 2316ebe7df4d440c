//! What a command needs of the lock's downloads: pure, so that it can be shown and tested.

use std::collections::{BTreeMap, BTreeSet};

use super::url::Url;
use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::lock::{External, Lock, RootKind};

/// Which of the lock's downloads a command needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Debian packages of these roots; the builder brings a Bazel pinned by URL along.
    pub roots: BTreeSet<RootKind>,
    /// Wheels.
    pub wheels: Wheels,
    /// What TensorFlow's own build asks for, in the lane `source`.
    pub externals: bool,
}

/// Which wheels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wheels {
    /// None.
    None,
    /// TensorFlow's own: compiling needs no other.
    TensorFlow,
    /// The whole Python closure.
    All,
}

impl Selection {
    /// Everything that the lock names.
    pub fn all() -> Self {
        let roots = [RootKind::Builder, RootKind::Runtime].into();
        Selection { roots, wheels: Wheels::All, externals: true }
    }

    /// What building TensorFlow itself needs.
    pub fn source() -> Self {
        Selection { roots: [RootKind::Builder].into(), wheels: Wheels::None, externals: true }
    }

    /// What building ops needs: both roots (the runtime root is what ops are checked
    /// against) and TensorFlow's wheel.
    pub fn build() -> Self {
        Selection { wheels: Wheels::TensorFlow, externals: false, ..Selection::all() }
    }
}

/// One file to have in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// For people: `libc6 2.36-9+deb12u14 (libc6_2.36-9+deb12u14_amd64.deb)`.
    pub what: String,
    /// Bytes.
    pub size: u64,
    /// Of the file.
    pub sha256: Sha256,
    /// Who serves it.
    pub origin: Origin,
}

/// Who serves a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A Debian mirror, at this path below it.
    Pool(String),
    /// A Python index, on the page of the project.
    Index {
        /// Normalised name of the project.
        project: String,
        /// Name of the file.
        file: String,
    },
    /// This URL.
    Url(Url),
}

/// The files of `selection`, each once, largest first: the last one to come is then a small
/// one, and no worker waits long for another.
pub fn plan(lock: &Lock, selection: &Selection) -> Result<Vec<Download>> {
    let mut downloads = BTreeMap::new();
    let wheels = lock.wheels.iter().filter(|wheel| match selection.wheels {
        Wheels::None => false,
        Wheels::TensorFlow => wheel.name == lock.tensorflow.package,
        Wheels::All => true,
    });
    let packages =
        lock.packages.iter().filter(|package| !package.roots.is_disjoint(&selection.roots));
    let bazel = lock.bazel.binary.iter().filter(|_| selection.roots.contains(&RootKind::Builder));
    for binary in bazel {
        let url = Url::parse(&binary.url).map_err(|why| {
            Error::new(Kind::Lock, format!("workspace.lock: `bazel.binary.url`: {why}"))
                .hint("run `cargo xtask update bazel`")
        })?;
        let what = format!("Bazel {} ({})", lock.bazel.version, url.file_name());
        let (size, sha256) = (binary.size, binary.sha256);
        downloads.insert(sha256, Download { what, size, sha256, origin: Origin::Url(url) });
    }
    for package in packages {
        let file = package.path.rsplit('/').next().unwrap_or_default();
        let what = format!("{} {} ({file})", package.name, package.version);
        let (size, sha256) = (package.size, package.sha256);
        let origin = Origin::Pool(package.path.clone());
        downloads.insert(sha256, Download { what, size, sha256, origin });
    }
    for wheel in wheels {
        let what = format!("{} {} ({})", wheel.name, wheel.version, wheel.file);
        let (size, sha256) = (wheel.size, wheel.sha256);
        let origin = Origin::Index { project: wheel.name.clone(), file: wheel.file.clone() };
        downloads.insert(sha256, Download { what, size, sha256, origin });
    }
    for external in lock.source.iter().filter(|_| selection.externals).flat_map(|s| &s.externals) {
        let (size, sha256) = (external.size, external.sha256);
        let what = format!("external {}", external.from);
        downloads.insert(sha256, Download { what, size, sha256, origin: origin(external)? });
    }
    let mut downloads: Vec<Download> = downloads.into_values().collect();
    downloads.sort_by(|a, b| (b.size, &a.what).cmp(&(a.size, &b.what)));
    Ok(downloads)
}

/// Where an input of TensorFlow's own build is from.
fn origin(external: &External) -> Result<Origin> {
    let from = &external.from;
    if let Some((project, file)) = from.strip_prefix("index/").and_then(|f| f.split_once('/')) {
        return Ok(Origin::Index { project: project.to_owned(), file: file.to_owned() });
    }
    let url = Url::parse(from).map_err(|why| {
        Error::new(Kind::Lock, format!("workspace.lock: external `{from}`: {why}"))
            .hint("run `cargo xtask update tensorflow`")
    })?;
    Ok(Origin::Url(url))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::example;

    fn names(lock: &Lock, selection: &Selection) -> Vec<String> {
        plan(lock, selection).unwrap().into_iter().map(|download| download.what).collect()
    }

    #[test]
    fn the_whole_plan_is_the_whole_lock_largest_first() {
        assert_eq!(
            names(&example::lock(), &Selection::all()),
            [
                "tensorflow-cpu 2.0 (tensorflow_cpu-2.0-py3-none-any.whl)",
                "Bazel 9.8.7 (bazel-9.8.7)",
                "gcc 12 (gcc_12_amd64.deb)",
                "numpy 1.0 (numpy-1.0-py3-none-any.whl)",
                "libc6 2.36 (libc6_2.36_amd64.deb)",
            ]
        );
    }

    #[test]
    fn a_build_needs_one_wheel_and_a_runtime_root_no_compiler() {
        let lock = example::lock();
        assert!(!names(&lock, &Selection::build()).iter().any(|what| what.contains("numpy")));
        let roots = [RootKind::Runtime].into();
        let runtime = Selection { roots, wheels: Wheels::None, externals: false };
        assert_eq!(names(&lock, &runtime), ["libc6 2.36 (libc6_2.36_amd64.deb)"]);
    }

    #[test]
    fn a_bazel_url_that_is_none_is_named() {
        let mut lock = example::lock();
        lock.bazel.binary.as_mut().unwrap().url = "bazel-9.8.7".to_owned();
        let error = plan(&lock, &Selection::all()).unwrap_err();
        assert!(
            error.message().starts_with("workspace.lock: `bazel.binary.url`: expected"),
            "{error}"
        );
    }
}
