//! `workspace.lock`: every pin resolved to exact versions and SHA-256 digests.
//!
//! Every stage after this one takes a [`Lock`], never pins: an unlocked build cannot be
//! written down.

mod check;
pub mod identity;
mod moves;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::error::Result;
use crate::pins::Pins;

pub use crate::pins::Compression;

pub use self::moves::{Move, moves};

/// The schema version that this code reads and writes.
pub const SCHEMA: u32 = 1;

/// The whole lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lock {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Target platform, `linux/amd64`.
    pub platform: String,
    /// Seconds since 1970-01-01 UTC: every time stamp in what comes out (SOURCE_DATE_EPOCH).
    pub epoch: u64,
    /// The pins that this lock was made from, flat: `tensorflow.version` to its text.
    pub pins: BTreeMap<String, String>,
    /// The Bazel that drives the compiler.
    pub bazel: Bazel,
    /// TensorFlow and its identity.
    pub tensorflow: TensorFlow,
    /// Python's `major.minor`.
    pub python: String,
    /// Name and version of the ops wheel.
    pub ops: OpsWheel,
    /// How TensorFlow is built, in the lane `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// How the image is made, where not in the ordinary way.
    #[serde(default, skip_serializing_if = "is_default")]
    pub image: Image,
    /// The image that ours starts from, when it does not start from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Debian packages, sorted by name.
    #[serde(rename = "package")]
    pub packages: Vec<Package>,
    /// Wheels of the Python closure, TensorFlow's among them, sorted by name.
    #[serde(rename = "wheel")]
    pub wheels: Vec<Wheel>,
}

/// Where Bazel comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bazel {
    /// The pinned version, for example `1.2.3`.
    pub version: String,
    /// What `bazel --version` must answer, for example `bazel 1.2.3- (@non-git)`.
    pub answer: String,
    /// Whether it finds what it builds with by `MODULE.bazel` (bzlmod) instead of `WORKSPACE`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub modules: bool,
    /// The official release binary, when Bazel is pinned by URL; otherwise Bazel is one of
    /// the builder's Debian packages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary: Option<Binary>,
}

/// A file pinned by URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binary {
    /// As the person pinned it.
    pub url: String,
    /// Bytes.
    pub size: u64,
    /// Of the file.
    pub sha256: Sha256,
}

/// What a person chose for the image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Image {
    /// Of its layers.
    #[serde(skip_serializing_if = "is_default")]
    pub compression: Compression,
    /// Whether it leaves out what only compiles, tests or debugs code.
    #[serde(skip_serializing_if = "is_default")]
    pub slim: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// An image in a registry, of which the layers are used and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Base {
    /// `registry.example/debian`.
    pub name: String,
    /// As the person pinned it: of its manifest, or of the list of its platforms' manifests.
    pub digest: Sha256,
    /// The layers of our platform, the lowest first.
    #[serde(rename = "layer")]
    pub layers: Vec<BaseLayer>,
}

/// A layer of a [`Base`], gzip of a tar stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BaseLayer {
    /// Bytes of the blob.
    pub size: u64,
    /// Of the blob.
    pub sha256: Sha256,
    /// Of the tar stream.
    pub diff_id: Sha256,
}

/// TensorFlow's identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TensorFlow {
    /// `wheel` or `source`.
    pub lane: String,
    /// Distribution name on the index, `tensorflow-cpu`; its wheel is in [`Lock::wheels`].
    pub package: String,
    /// `9.8.7`.
    pub version: String,
    /// The 40-digit source revision.
    pub revision: String,
    /// What the wheel says of itself: `tf.version.GIT_VERSION`.
    pub git_version: String,
}

/// How TensorFlow is built from source, and all that its build asks a network for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Source {
    /// The git repository; the revision is TensorFlow's own.
    pub git: String,
    /// The target that yields the wheel.
    pub target: String,
    /// Bazel's `--config`s, in their order.
    pub configs: Vec<String>,
    /// Bazel's `--repo_env`s, `NAME=value`.
    pub repo_env: Vec<String>,
    /// Gigabytes that the build needs on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_gb: Option<u64>,
    /// Of the commit, Bazel and the flags that the vault was gathered for.
    pub vault: Sha256,
    /// What is in the vault, sorted by where it is from.
    #[serde(rename = "external", default)]
    pub externals: Vec<External>,
}

/// One file that TensorFlow's build asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// A URL, or `index/PROJECT/FILE` of the Python index.
    pub from: String,
    /// Bytes.
    pub size: u64,
    /// Of the file.
    pub sha256: Sha256,
}

/// The wheel that carries every op.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpsWheel {
    /// Distribution name.
    pub name: String,
    /// Its version (PEP 440).
    pub version: String,
}

/// One Debian package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// `libc6`.
    pub name: String,
    /// `2.36-9+deb12u14`.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// Below the mirror: `pool/main/g/glibc/libc6_2.36-9+deb12u14_amd64.deb`.
    pub path: String,
    /// Bytes of the `.deb`.
    pub size: u64,
    /// Of the `.deb`.
    pub sha256: Sha256,
    /// The roots that use it.
    pub roots: BTreeSet<RootKind>,
}

/// Which root a package is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootKind {
    /// Compiler, Bazel, Python.
    Builder,
    /// Python, nothing else.
    Runtime,
}

impl RootKind {
    /// As the lock and people write it.
    pub fn name(self) -> &'static str {
        match self {
            RootKind::Builder => "builder",
            RootKind::Runtime => "runtime",
        }
    }
}

/// One wheel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wheel {
    /// Normalised distribution name (PEP 503).
    pub name: String,
    /// PEP 440 version.
    pub version: String,
    /// File name on the index.
    pub file: String,
    /// Bytes.
    pub size: u64,
    /// Of the file.
    pub sha256: Sha256,
}

impl Lock {
    /// Reads `workspace.lock`: whole, unedited, of this schema, sound.
    pub fn load(path: &Path) -> Result<Lock> {
        text::load(path)
    }

    /// Parses the text of a lock, as strictly as [`Lock::load`].
    pub fn parse(text: &str) -> Result<Lock> {
        text::parse(text)
    }

    /// Its text, sorted, with header and trailing newline.
    pub fn render(&self) -> String {
        text::render(self)
    }

    /// Replaces the file at `path` by this lock, atomically and durably.
    pub fn store(&self, path: &Path) -> Result<()> {
        text::store(self, path)
    }

    /// Identity: the digest of its text.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(self.render().as_bytes())
    }

    /// Fails, naming pin, old and new value, unless this lock was made from `pins`.
    pub fn check_pins(&self, pins: &Pins) -> Result<()> {
        check::fresh(&self.pins, &pins.flat())
    }

    /// The flat pins that moved since this lock was made.
    pub fn stale_pins(&self, pins: &Pins) -> Vec<String> {
        let moved = check::moves(&self.pins, &pins.flat());
        moved.into_iter().map(|(pin, _)| pin).collect()
    }

    /// The packages of one root, in the lock's order.
    pub fn packages_of(&self, root: RootKind) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(move |package| package.roots.contains(&root))
    }

    /// TensorFlow's own wheel.
    pub fn tensorflow_wheel(&self) -> Option<&Wheel> {
        self.wheels.iter().find(|wheel| wheel.name == self.tensorflow.package)
    }
}

#[cfg(test)]
impl Lock {
    /// A small lock of every kind of record.
    pub(crate) fn example() -> Lock {
        let digest = Sha256::of(b"x");
        let package = |name: &str, roots: &[RootKind]| Package {
            name: name.to_owned(),
            version: "1:2.0-3".to_owned(),
            architecture: "amd64".to_owned(),
            path: format!("pool/main/{name}_2.0-3_amd64.deb"),
            size: 7,
            sha256: digest,
            roots: roots.iter().copied().collect(),
        };
        let wheel = |name: &str, version: &str| Wheel {
            name: name.to_owned(),
            version: version.to_owned(),
            file: format!("{name}-{version}-py3-none-any.whl"),
            size: 9,
            sha256: digest,
        };
        Lock {
            schema: SCHEMA,
            platform: "linux/amd64".to_owned(),
            epoch: 1_700_000_000,
            pins: [("builder.omit", "dpkg\nutil-linux"), ("tensorflow.version", "9.8.7")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            bazel: Bazel {
                version: "1.2.3".to_owned(),
                answer: "bazel 1.2.3".to_owned(),
                modules: false,
                binary: Some(Binary {
                    url: "https://mirror.example/bazel".to_owned(),
                    size: 5,
                    sha256: digest,
                }),
            },
            tensorflow: TensorFlow {
                lane: "wheel".to_owned(),
                package: "tensorflow-cpu".to_owned(),
                version: "9.8.7".to_owned(),
                revision: "0123456789abcdef0123456789abcdef01234567".to_owned(),
                git_version: "v9.8.7-0-g0123456789a".to_owned(),
            },
            python: "3.9".to_owned(),
            ops: OpsWheel { name: "my-ops".to_owned(), version: "0.1.0".to_owned() },
            source: None,
            image: Image::default(),
            base: None,
            packages: vec![
                package("libc6", &[RootKind::Builder, RootKind::Runtime]),
                package("sed", &[RootKind::Builder]),
            ],
            wheels: vec![wheel("numpy", "2.0"), wheel("tensorflow-cpu", "9.8.7")],
        }
    }
}

#[cfg(test)]
mod tests;
