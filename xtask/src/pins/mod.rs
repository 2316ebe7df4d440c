//! `workspace.toml`: what a person pins, parsed strictly into types that cannot be wrong.
//!
//! [`parse`] notes every problem before it gives up, so that a person mends them all at once.

pub mod cluster;
mod problem;
mod read;
mod value;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use toml::de::DeTable;

pub use self::problem::{Problem, render};
use self::read::Table;
pub use self::value::{
    Base, Compression, Config, DebianName, DebianRequest, DebianVersion, Describe, Distribution,
    Lane, Line, Platform, PythonVersion, Requirement, Revision, Suite, Target, Url, Variable,
    Version,
};
use crate::digest::Sha256;
use crate::error::{self, Error, IoContext as _, Kind, Result};

/// The form of `workspace.toml` that this code reads.
pub const SCHEMA: u64 = 1;

/// Longer files are not read.
const LONGEST: usize = 1 << 20;

/// Everything that a person pins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    /// Where ops run.
    pub platform: Platform,
    /// Seconds since 1970-01-01 UTC.
    pub epoch: u64,
    /// The packages' archive.
    pub debian: Debian,
    /// The build tool.
    pub bazel: Bazel,
    /// What ops are built for.
    pub tensorflow: TensorFlow,
    /// The one Python.
    pub python: Python,
    /// The C++ compiler.
    pub compiler: Compiler,
    /// What else is in the builder root.
    pub builder: Root,
    /// What is in the runtime root.
    pub runtime: Root,
    /// The ops wheel.
    pub ops: Ops,
    /// The image.
    pub image: Image,
    /// The tasks that run the image. No output is a function of it: it is not in the lock.
    pub cluster: Option<cluster::Cluster>,
}

/// `[debian]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debian {
    /// For example `bookworm`; of it only `main`.
    pub suite: Suite,
    /// The archive to use instead of the machine's own.
    pub mirror: Option<Url>,
}

/// `[bazel]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bazel {
    /// The release.
    pub version: Version,
    /// All that `bazel --version` prints.
    pub answer: Line,
    /// A package or a binary.
    pub source: BazelSource,
    /// Whether it reads `MODULE.bazel` (bzlmod) instead of `WORKSPACE`.
    pub modules: bool,
}

/// Where Bazel comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BazelSource {
    /// A package of the suite.
    Package(DebianRequest),
    /// An official release binary.
    Binary {
        /// Of the file.
        url: Url,
        /// Of the file.
        sha256: Sha256,
    },
}

/// `[tensorflow]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorFlow {
    /// Its distribution on the index.
    pub package: Distribution,
    /// The release.
    pub version: Version,
    /// The source that the release was built from.
    pub revision: Revision,
    /// Where the wheel comes from.
    pub lane: Lane,
    /// How it is built, in the lane `source`.
    pub source: Option<Source>,
}

/// What `[tensorflow]` says more in the lane `source`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The git repository.
    pub git: Url,
    /// What the wheel must say of itself.
    pub describe: Describe,
    /// The target that yields the wheel.
    pub target: Target,
    /// Bazel's `--config`s, in their order.
    pub configs: Vec<Config>,
    /// Bazel's `--repo_env`s.
    pub repo_env: Vec<Variable>,
    /// Gigabytes that the build needs on disk.
    pub disk_gb: Option<u64>,
}

/// `[python]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// `major.minor`.
    pub version: PythonVersion,
    /// The index to use instead of the machine's own.
    pub index: Option<Url>,
    /// Distributions beside TensorFlow and what it requires.
    pub requirements: Vec<Requirement>,
}

/// `[compiler]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    /// A package of the suite.
    pub package: DebianRequest,
    /// Its release.
    pub version: Version,
}

/// `[builder]` and `[runtime]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Asked of apt.
    pub packages: Vec<DebianRequest>,
    /// Dependencies that are cut off.
    pub omit: Vec<DebianName>,
}

/// `[ops]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ops {
    /// Distribution name of the ops wheel.
    pub name: Distribution,
    /// Its version.
    pub version: Version,
}

/// `[image]`, which may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// What it starts from, when not from nothing.
    pub base: Option<Base>,
    /// How its layers are compressed.
    pub compression: Compression,
    /// Whether headers, tests and symbols that no loader reads are left out.
    pub slim: bool,
}

/// Reads the pins at `path`.
pub fn load(path: &Path) -> Result<Pins> {
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path).at("open", path)?;
    opened.take(LONGEST as u64 + 1).read_to_end(&mut bytes).at("read", path)?;
    if bytes.len() > LONGEST {
        let message = format!("{file} is longer than {LONGEST} bytes: nobody pins so much by hand");
        return Err(Error::new(Kind::Pins, message));
    }
    let text = std::str::from_utf8(&bytes).map_err(|cause| not_utf8(&file, &bytes, cause))?;
    parse(text)
        .map_err(|problems| Error::new(Kind::Pins, render(&file, text, &problems, error::color())))
}

/// Parses the text of `workspace.toml`; otherwise says all that is wrong with it.
pub fn parse(text: &str) -> Result<Pins, Vec<Problem>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(in_order(errors.iter().map(syntax).collect()));
    }
    let problems = read::Problems::default();
    let mut table = Table::document(&document, &problems);
    let pins = workspace(&mut table);
    table.finish();
    match pins {
        Some(pins) if problems.borrow().is_empty() => Ok(pins),
        _ => Err(in_order(problems.into_inner())),
    }
}

/// As a person reads the file.
fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| problem.span.start);
    problems
}

fn workspace(table: &mut Table<'_>) -> Option<Pins> {
    let schema = table.number("schema", known_schema);
    let platform = table.text("platform");
    let epoch = table.number("epoch", fits_archives);
    let debian = table.table("debian", |debian| {
        let (suite, mirror) = (debian.text("suite"), debian.optional_text("mirror"));
        Some(Debian { suite: suite?, mirror })
    });
    let bazel = table.table("bazel", bazel);
    let tensorflow = table.table("tensorflow", tensorflow);
    let python = table.table("python", |python| {
        let version = python.text("version");
        let index = python.optional_text("index");
        Some(Python { requirements: python.texts("requirements"), version: version?, index })
    });
    let compiler = table.table("compiler", |compiler| {
        let (package, version) = (compiler.text("package"), compiler.text("version"));
        Some(Compiler { package: package?, version: version? })
    });
    let builder = table.table("builder", root);
    let runtime = table.table("runtime", root);
    let ops = table.table("ops", |ops| {
        let (name, version) = (ops.text("name"), ops.text("version"));
        Some(Ops { name: name?, version: version? })
    });
    let image = table.optional_table("image", |image| {
        let compression = image.optional_text("compression").unwrap_or_default();
        let slim = image.optional_flag("slim").unwrap_or_default();
        Some(Image { base: image.optional_text("base"), compression, slim })
    });
    let cluster = table.optional_table("cluster", cluster::read);
    schema?;
    Some(Pins {
        platform: platform?,
        epoch: epoch?,
        debian: debian?,
        bazel: bazel?,
        tensorflow: tensorflow?,
        python: python?,
        compiler: compiler?,
        builder: builder?,
        runtime: runtime?,
        ops: ops?,
        image: image.unwrap_or_default(),
        cluster,
    })
}

fn bazel(table: &mut Table<'_>) -> Option<Bazel> {
    let (version, answer) = (table.text("version"), table.text("answer"));
    let (package, url) = (table.has("package"), table.has("url") | table.has("sha256"));
    let source = match (package, url) {
        (true, false) => table.text("package").map(BazelSource::Package),
        (false, true) => {
            let (url, sha256) = (table.text("url"), table.text("sha256"));
            url.zip(sha256).map(|(url, sha256)| BazelSource::Binary { url, sha256 })
        }
        (both, _) => {
            let found = if both { "both are here" } else { "neither is here" };
            table.wrong("package", "[bazel] needs either `package` or `url` and `sha256`", found);
            None
        }
    };
    let modules = table.optional_flag("modules").unwrap_or_default();
    Some(Bazel { version: version?, answer: answer?, source: source?, modules })
}

fn tensorflow(table: &mut Table<'_>) -> Option<TensorFlow> {
    let (package, version) = (table.text("package"), table.text("version"));
    let (revision, lane) = (table.text("revision"), table.text("lane"));
    let source = match lane {
        Some(Lane::Source) => Some(source(table)?),
        _ => None,
    };
    let (package, version, revision) = (package?, version?, revision?);
    Some(TensorFlow { package, version, revision, lane: lane?, source })
}

fn source(table: &mut Table<'_>) -> Option<Source> {
    let (git, describe, target) = (table.text("git"), table.text("describe"), table.text("target"));
    let (configs, repo_env) = (table.texts("configs"), table.texts("repo-env"));
    let disk_gb = table.optional_number("disk-gb", |_| Ok(()));
    Some(Source { git: git?, describe: describe?, target: target?, configs, repo_env, disk_gb })
}

fn root(table: &mut Table<'_>) -> Option<Root> {
    let packages: Vec<DebianRequest> = table.texts("packages");
    let omit: Vec<DebianName> = table.texts("omit");
    for request in packages.iter().filter(|request| omit.contains(&request.name)) {
        let name = &request.name;
        table.wrong("omit", &format!("`{name}` is asked for and omitted"), "take it from one list");
    }
    Some(Root { packages, omit })
}

fn known_schema(schema: u64) -> Result<(), String> {
    if schema == SCHEMA {
        return Ok(());
    }
    Err(format!("this xtask reads schema {SCHEMA}, found {schema}"))
}

/// Zip (APPNOTE 4.4.6) counts from 1980, tar (ustar) and gzip in 32 bits.
fn fits_archives(epoch: u64) -> Result<(), String> {
    const FIRST: u64 = 315_532_800;
    const LAST: u64 = u32::MAX as u64;
    if (FIRST..=LAST).contains(&epoch) {
        return Ok(());
    }
    Err(format!("expected seconds between {FIRST} (1980) and {LAST} (2106), found {epoch}"))
}

fn syntax(error: &toml::de::Error) -> Problem {
    let title = "this is not TOML".to_owned();
    Problem { title, label: error.message().to_owned(), span: error.span().unwrap_or(0..0) }
}

fn not_utf8(file: &str, bytes: &[u8], cause: std::str::Utf8Error) -> Error {
    let good = &bytes[..cause.valid_up_to()];
    let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = good.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    Error::new(Kind::Pins, format!("{file}:{line}:{column} is not UTF-8 text"))
}

impl Pins {
    /// All pins that outputs are a function of, flat: `tensorflow.version` to its text, a list
    /// sorted, one item a line.
    pub fn flat(&self) -> BTreeMap<String, String> {
        let mut flat = BTreeMap::new();
        let mut pin = |key: &str, value: String| {
            if !value.is_empty() {
                flat.insert(key.to_owned(), value);
            }
        };
        pin("platform", self.platform.to_string());
        pin("epoch", self.epoch.to_string());
        pin("debian.suite", self.debian.suite.to_string());
        pin("debian.mirror", optional(self.debian.mirror.as_ref()));
        pin("bazel.version", self.bazel.version.to_string());
        pin("bazel.answer", self.bazel.answer.to_string());
        pin("bazel.modules", optional(self.bazel.modules.then_some("true").as_ref()));
        match &self.bazel.source {
            BazelSource::Package(package) => pin("bazel.package", package.to_string()),
            BazelSource::Binary { url, sha256 } => {
                pin("bazel.url", url.to_string());
                pin("bazel.sha256", sha256.to_string());
            }
        }
        pin("tensorflow.package", self.tensorflow.package.to_string());
        pin("tensorflow.version", self.tensorflow.version.to_string());
        pin("tensorflow.revision", self.tensorflow.revision.to_string());
        pin("tensorflow.lane", self.tensorflow.lane.to_string());
        if let Some(source) = &self.tensorflow.source {
            pin("tensorflow.git", source.git.to_string());
            pin("tensorflow.describe", source.describe.to_string());
            pin("tensorflow.target", source.target.to_string());
            // Later ones win in Bazel: their order is part of the pin.
            let configs: Vec<&str> = source.configs.iter().map(Config::as_str).collect();
            pin("tensorflow.configs", configs.join("\n"));
            pin("tensorflow.repo-env", lines(&source.repo_env));
            pin("tensorflow.disk-gb", optional(source.disk_gb.as_ref()));
        }
        pin("python.version", self.python.version.to_string());
        pin("python.index", optional(self.python.index.as_ref()));
        pin("python.requirements", lines(&self.python.requirements));
        pin("compiler.package", self.compiler.package.to_string());
        pin("compiler.version", self.compiler.version.to_string());
        pin("builder.packages", lines(&self.builder.packages));
        pin("builder.omit", lines(&self.builder.omit));
        pin("runtime.packages", lines(&self.runtime.packages));
        pin("runtime.omit", lines(&self.runtime.omit));
        pin("ops.name", self.ops.name.to_string());
        pin("ops.version", self.ops.version.to_string());
        pin("image.base", optional(self.image.base.as_ref()));
        // What is written down and what goes without saying is one pin.
        let compression = Some(self.image.compression).filter(|one| *one != Compression::Gzip);
        pin("image.compression", optional(compression.as_ref()));
        pin("image.slim", optional(Some(true).filter(|_| self.image.slim).as_ref()));
        flat
    }
}

/// Empty when there is none.
fn optional(text: Option<&impl ToString>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

/// One item a line, sorted: adding one is one line of a diff.
fn lines(items: &[impl ToString]) -> String {
    let mut lines: Vec<String> = items.iter().map(ToString::to_string).collect();
    lines.sort();
    lines.join("\n")
}

#[cfg(test)]
mod tests;
