//! What can be updated alone.

use std::path::Path;

use crate::lock::{Lock, Package, RootKind};
use crate::pins::{BazelSource, Pins};

/// A part of `workspace.toml` that can be updated alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lowercase")]
pub enum Part {
    /// Where ops run
    Platform,
    /// The one time stamp
    Epoch,
    /// Every Debian package
    Debian,
    /// Bazel and the packages of its source
    Bazel,
    /// TensorFlow's wheel
    TensorFlow,
    /// Every wheel
    Python,
    /// The compiler and the packages of its source
    Compiler,
    /// The builder root's packages
    Builder,
    /// The runtime root's packages
    Runtime,
    /// Name and version of the ops wheel
    Ops,
    /// What the image starts from, and its form
    Image,
}

impl Part {
    /// Whether Debian packages may move: for Bazel, when it is one of them or was.
    pub fn is_debian(self, old: &Lock, pins: &Pins) -> bool {
        match self {
            Part::Debian | Part::Compiler | Part::Builder | Part::Runtime => true,
            Part::Bazel => {
                let is_package = matches!(pins.bazel.source, BazelSource::Package(_));
                is_package || old.bazel.binary.is_none()
            }
            _ => false,
        }
    }

    /// Whether wheels may move.
    pub fn is_python(self) -> bool {
        matches!(self, Part::Python | Part::TensorFlow)
    }

    /// Whether a locked package may move.
    pub fn frees(self, package: &Package, lock: &Lock, pins: &Pins) -> bool {
        let sibling = |name: &str| {
            let named = lock.packages.iter().find(|package| package.name == name);
            named.is_some_and(|named| source(named) == source(package))
        };
        match (self, &pins.bazel.source) {
            (Part::Debian, _) => true,
            (Part::Builder, _) => package.roots.contains(&RootKind::Builder),
            (Part::Runtime, _) => package.roots.contains(&RootKind::Runtime),
            (Part::Compiler, _) => sibling(pins.compiler.package.name.as_str()),
            (Part::Bazel, BazelSource::Package(request)) => sibling(request.name.as_str()),
            _ => false,
        }
    }

    /// Whether a flat pin, `bazel.version`, is of this part.
    pub fn has(self, pin: &str) -> bool {
        pin.split('.').next() == Some(&self.name())
    }

    /// As in `workspace.toml` and on the command line.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// Packages of one source share a folder of the pool, and as a rule one version.
fn source(package: &Package) -> Option<&Path> {
    Path::new(&package.path).parent()
}
