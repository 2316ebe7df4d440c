//! `cargo xtask update`: pins to lock, the one command that writes `workspace.lock`.
//!
//! It goes round the pipeline (apt, pip and the index have a network), so it stands beside
//! the stages, not among them.

mod apt;
mod archive;
mod closure;
mod debian;
mod index;
mod remote;
mod wheels;

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, Kind, Result};
use crate::lock::{self, Lock, Move, Package, RootKind, Wheel, identity, moves};
use crate::pins::{self, BazelSource, Pins};
use crate::store::Store;
use crate::workspace::Workspace;

use self::apt::Apt;
use self::index::Pip;

/// A part of `workspace.toml` that can be updated alone; all else stays as locked.
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
}

/// What to update and how.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Options {
    /// Update this pin alone; all else stays as locked
    #[arg(value_enum, value_name = "PIN")]
    pub part: Option<Part>,
    /// Write nothing; exit code 4 when workspace.lock would change
    #[arg(long)]
    pub check: bool,
    /// Print what moves as JSON
    #[arg(long)]
    pub json: bool,
}

/// Resolves, prints what moves, writes the lock.
pub fn run(workspace: &Workspace, store: &Store, options: Options) -> Result<()> {
    let pins = pins::load(&workspace.pins())?;
    let path = workspace.lock();
    let old = old_lock(&path, options.part)?;
    let new = resolve(&pins, old.as_ref(), options.part, store)?;
    let moved = moves(old.as_ref(), &new);
    report(&moved, options.json);
    if old.as_ref() == Some(&new) {
        return Ok(());
    }
    if options.check {
        return Err(Error::new(Kind::Lock, "workspace.lock is not what its pins resolve to now")
            .hint("run `cargo xtask update`"));
    }
    new.store(&path)
}

/// A full update can do without the old lock; a limited one cannot.
fn old_lock(path: &Path, part: Option<Part>) -> Result<Option<Lock>> {
    match (Lock::load(path), part) {
        (Ok(lock), _) => Ok(Some(lock)),
        (Err(error), Some(_)) => Err(error),
        (Err(error), None) => {
            if path.exists() {
                eprintln!("{}: made anew", error.message());
            }
            Ok(None)
        }
    }
}

fn report(moved: &[Move], json: bool) {
    if json {
        println!("{}", serde_json::json!({ "moves": moved }));
    } else if moved.is_empty() {
        println!("workspace.lock is up to date");
    } else {
        moved.iter().for_each(|moved| println!("{moved}"));
    }
}

fn resolve(pins: &Pins, old: Option<&Lock>, part: Option<Part>, store: &Store) -> Result<Lock> {
    // Nothing is kept in a full update.
    let kept = old.zip(part);
    let packages = match kept {
        Some((old, part)) if !part.is_debian(pins) => old.packages.clone(),
        _ => debian_packages(pins, kept)?,
    };
    let (wheels, git_version) = match kept {
        Some((old, part)) if !part.is_python() => {
            (old.wheels.clone(), old.tensorflow.git_version.clone())
        }
        _ => python_wheels(pins, old, part, &packages, store)?,
    };
    let takes = |wanted: Part| part.is_none_or(|part| part == wanted);
    let flat = pins.flat();
    let locked = kept.map_or_else(|| flat.clone(), |(old, part)| merged(&old.pins, &flat, part));
    let fresh = Lock {
        schema: lock::SCHEMA,
        platform: pins.platform.to_string(),
        epoch: pins.epoch,
        pins: locked,
        bazel: bazel(pins),
        tensorflow: tensorflow(pins, git_version),
        python: pins.python.version.to_string(),
        ops: lock::OpsWheel {
            name: pins.ops.name.to_string(),
            version: pins.ops.version.to_string(),
        },
        packages,
        wheels,
    };
    let Some(old) = old.filter(|_| part.is_some()) else { return Ok(fresh) };
    Ok(Lock {
        platform: if takes(Part::Platform) { fresh.platform } else { old.platform.clone() },
        epoch: if takes(Part::Epoch) { fresh.epoch } else { old.epoch },
        bazel: if takes(Part::Bazel) { fresh.bazel } else { old.bazel.clone() },
        tensorflow: if takes(Part::TensorFlow) { fresh.tensorflow } else { old.tensorflow.clone() },
        python: if takes(Part::Python) { fresh.python } else { old.python.clone() },
        ops: if takes(Part::Ops) { fresh.ops } else { old.ops.clone() },
        ..fresh
    })
}

/// The old pins with those of one part as they are now.
fn merged(
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
    part: Part,
) -> BTreeMap<String, String> {
    let of_part = |(key, _): &(&String, &String)| part.has(key);
    let kept = old.iter().filter(|pin| !of_part(pin));
    let taken = new.iter().filter(of_part);
    kept.chain(taken).map(|(key, value)| (key.clone(), value.clone())).collect()
}

impl Part {
    /// Whether a flat pin is of this part.
    fn has(self, key: &str) -> bool {
        let name = format!("{self:?}").to_lowercase();
        key.split('.').next() == Some(name.as_str())
    }

    fn is_debian(self, pins: &Pins) -> bool {
        let packaged = matches!(pins.bazel.source, BazelSource::Package(_));
        matches!(self, Part::Debian | Part::Compiler | Part::Builder | Part::Runtime)
            || self == Part::Bazel && packaged
    }

    fn is_python(self) -> bool {
        matches!(self, Part::Python | Part::TensorFlow)
    }

    /// Whether a locked package may move.
    fn frees(self, package: &Package, lock: &Lock, pins: &Pins) -> bool {
        let sibling = |name: &str| {
            let named = lock.packages.iter().find(|package| package.name == name);
            named.is_some_and(|named| source(named) == source(package))
        };
        match self {
            Part::Debian => true,
            Part::Builder => package.roots.contains(&RootKind::Builder),
            Part::Runtime => package.roots.contains(&RootKind::Runtime),
            Part::Compiler => sibling(pins.compiler.package.name.as_str()),
            Part::Bazel => match &pins.bazel.source {
                BazelSource::Package(package) => sibling(package.name.as_str()),
                BazelSource::Binary { .. } => false,
            },
            _ => false,
        }
    }
}

/// Packages of one source share a folder of the pool, and as a rule one version.
fn source(package: &Package) -> Option<&Path> {
    Path::new(&package.path).parent()
}

fn debian_packages(pins: &Pins, kept: Option<(&Lock, Part)>) -> Result<Vec<Package>> {
    let apt = open_archive(pins)?;
    if let Some((lock, part)) = kept {
        hold(&apt, lock, part, pins)?;
    }
    debian::resolve(&apt, pins)
}

/// Makes apt prefer every locked version but those that this part frees.
fn hold(apt: &Apt, lock: &Lock, part: Part, pins: &Pins) -> Result<()> {
    let held = lock.packages.iter().filter(|package| !part.frees(package, lock, pins));
    apt.prefer(held.map(|package| (package.name.as_str(), package.version.as_str())))
}

/// The first archive that can be read.
fn open_archive(pins: &Pins) -> Result<Apt> {
    let archives = archive::archives(pins, |name| std::env::var(name).ok())?;
    let mut errors = Vec::new();
    for archive in &archives {
        match Apt::open(archive) {
            Ok(apt) => return Ok(apt),
            Err(error) => errors.push(error),
        }
    }
    let unreadable = || Error::new(Kind::Fetch, "no archive can be read");
    Err(errors
        .into_iter()
        .reduce(|one, other| one.hint(other.message().to_owned()))
        .unwrap_or_else(unreadable))
}

fn python_wheels(
    pins: &Pins,
    old: Option<&Lock>,
    part: Option<Part>,
    packages: &[Package],
    store: &Store,
) -> Result<(Vec<Wheel>, String)> {
    let package = wheels::normalised(pins.tensorflow.package.as_str());
    let keep: Vec<String> = match old.filter(|_| part == Some(Part::TensorFlow)) {
        Some(old) => {
            let others = old.wheels.iter().filter(|wheel| wheel.name != package);
            others.map(|wheel| format!("{}=={}", wheel.name, wheel.version)).collect()
        }
        None => Vec::new(),
    };
    let pip = Pip::find(pins, |name| std::env::var(name).ok())?;
    let chosen = wheels::resolve(&pip, pins, glibc_minor(packages)?, &keep)?;
    let sized = remote::sized(&pip, &chosen)?;
    let tensorflow = chosen.iter().zip(&sized).find(|(chosen, _)| chosen.name == package);
    let (tensorflow, wheel) = tensorflow
        .ok_or_else(|| Error::new(Kind::Fetch, format!("pip chose no wheel of `{package}`")))?;
    let git_version = match old.filter(|old| old.wheels.contains(wheel)) {
        Some(old) => old.tensorflow.git_version.clone(),
        None => remote::git_version(&pip, store, tensorflow, wheel.size)?,
    };
    let (version, revision) = (&pins.tensorflow.version, &pins.tensorflow.revision);
    identity::check(&package, version.as_str(), revision.as_str(), &git_version)?;
    Ok((sized, git_version))
}

/// The minor version of the runtime root's glibc: the newest platform that wheels may ask for.
fn glibc_minor(packages: &[Package]) -> Result<u32> {
    let runtime =
        |package: &&Package| package.name == "libc6" && package.roots.contains(&RootKind::Runtime);
    let version = packages.iter().find(runtime).map_or("none", |package| package.version.as_str());
    let digits = version.strip_prefix("2.").unwrap_or_default();
    let digits = digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().map_err(|_| {
        Error::new(Kind::Pins, format!("`runtime.packages` needs libc6 2.x, found {version}"))
    })
}

fn bazel(pins: &Pins) -> lock::Bazel {
    lock::Bazel {
        version: pins.bazel.version.to_string(),
        answer: pins.bazel.answer.to_string(),
        binary: None,
    }
}

fn tensorflow(pins: &Pins, git_version: String) -> lock::TensorFlow {
    let pinned = &pins.tensorflow;
    lock::TensorFlow {
        lane: pinned.lane.to_string(),
        package: wheels::normalised(pinned.package.as_str()),
        version: pinned.version.to_string(),
        revision: pinned.revision.to_string(),
        git_version,
    }
}

#[cfg(test)]
mod tests;
