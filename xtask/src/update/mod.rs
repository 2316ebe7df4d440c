//! `cargo xtask update`: pins to lock, the one command that writes `workspace.lock`.
//!
//! It goes round the pipeline (apt, pip and the index have a network, and TensorFlow's wheel
//! is read), so it stands after the stages, not among them.

mod apt;
mod archive;
mod base;
mod closure;
mod debian;
mod part;
mod pip;
mod wheels;

use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::fetch::{self, Selection, Wheels, sizes};
use crate::lock::{self, Lock, Move, Package, RootKind, Wheel, identity, moves};
use crate::pins::{self, BazelSource, Pins};
use crate::root;
use crate::root::wheel::normalised;
use crate::source;
use crate::store::Store;
use crate::workspace::Workspace;

use self::apt::Apt;
pub use self::part::Part;
use self::pip::Pip;
use self::wheels::Chosen;

/// What to update and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Update these pins alone; all else stays as locked
    #[arg(value_enum, value_name = "PIN")]
    pub parts: Vec<Part>,
    /// Write nothing; exit code 4 when workspace.lock would change
    #[arg(long)]
    pub check: bool,
    /// Print what moves as JSON
    #[arg(long)]
    pub json: bool,
}

/// Where things come from.
#[derive(Clone, Copy)]
struct Sources<'a> {
    pins: &'a Pins,
    store: &'a Store,
    fetch: &'a fetch::Options,
}

/// Resolves, prints what moves, writes the lock.
pub fn run(workspace: &Workspace, store: &Store, offline: bool, options: &Options) -> Result<()> {
    let pins = pins::load(&workspace.pins())?;
    let old = old_lock(workspace, &pins, &options.parts)?;
    let fetch = fetch::Options::from_env(offline);
    let sources = Sources { pins: &pins, store, fetch: &fetch };
    let new = resolve(sources, old.as_ref(), &options.parts)?;
    let new = vault(new, old.as_ref(), workspace, sources)?;
    report(&moves(old.as_ref(), &new), options.json);
    if old.as_ref() == Some(&new) {
        return Ok(());
    }
    if options.check {
        let message = "workspace.lock is not what its pins resolve to now";
        return Err(Error::new(Kind::Lock, message).hint("run `cargo xtask update`"));
    }
    new.store(&workspace.lock())
}

/// A full update can do without the old lock. A limited one cannot, nor with one that is out
/// of date elsewhere: what would it leave as locked?
fn old_lock(workspace: &Workspace, pins: &Pins, parts: &[Part]) -> Result<Option<Lock>> {
    let lock = match Lock::load(&workspace.lock()) {
        Err(error) if parts.is_empty() && error.kind() == Kind::Lock => {
            eprintln!("{}: it is made anew", error.message());
            return Ok(None);
        }
        loaded => loaded?,
    };
    if parts.is_empty() {
        return Ok(Some(lock));
    }
    let others = |pin: &&str| !parts.iter().any(|part| part.has(pin));
    if let Some(pin) = lock.stale_pins(pins).iter().map(String::as_str).find(others) {
        let named: Vec<String> = parts.iter().map(|part| part.name()).collect();
        let (named, table) = (named.join(" "), pin.split('.').next().unwrap_or_default());
        let message =
            format!("`{pin}` is out of date too, and `update {named}` leaves it as locked");
        return Err(Error::new(Kind::Lock, message)
            .hint(format!("run `cargo xtask update {named} {table}`, or without names for all")));
    }
    Ok(Some(lock))
}

fn report(moves: &[Move], json: bool) {
    if json {
        println!("{}", serde_json::json!({ "moves": moves }));
    } else if moves.is_empty() {
        println!("workspace.lock is up to date");
    } else {
        moves.iter().for_each(|moved| println!("{moved}"));
    }
}

/// The lock of the pins. Unless all parts are meant, what is not of `parts` is as in the old
/// lock: pins that did not move give what they gave, packages and wheels are kept.
fn resolve(sources: Sources<'_>, old: Option<&Lock>, parts: &[Part]) -> Result<Lock> {
    let pins = sources.pins;
    let kept = old.filter(|_| !parts.is_empty());
    let packages = match kept {
        Some(old) if !parts.iter().any(|part| part.is_debian(old, pins)) => old.packages.clone(),
        _ => debian_packages(sources, kept, parts)?,
    };
    let wheels = match kept {
        Some(old) if !parts.iter().any(|part| part.is_python()) => old.wheels.clone(),
        _ => python_wheels(sources, old, parts, &packages)?,
    };
    let lock = Lock {
        schema: lock::SCHEMA,
        platform: pins.platform.to_string(),
        epoch: pins.epoch,
        pins: pins.flat(),
        bazel: bazel(sources, old)?,
        tensorflow: tensorflow(pins),
        python: pins.python.version.to_string(),
        ops: lock::OpsWheel {
            name: pins.ops.name.to_string(),
            version: pins.ops.version.to_string(),
        },
        source: pins.tensorflow.source.as_ref().map(how_built),
        image: lock::Image { compression: pins.image.compression, slim: pins.image.slim },
        base: base::resolve(sources, old)?,
        packages,
        wheels,
    };
    identified(lock, old, sources)
}

/// How TensorFlow is built; the vault is not gathered yet.
fn how_built(pinned: &pins::Source) -> lock::Source {
    let mut repo_env: Vec<String> = pinned.repo_env.iter().map(ToString::to_string).collect();
    repo_env.sort();
    lock::Source {
        git: pinned.git.to_string(),
        target: pinned.target.to_string(),
        configs: pinned.configs.iter().map(ToString::to_string).collect(),
        repo_env,
        disk_gb: pinned.disk_gb,
        vault: Sha256::of(b""),
        externals: Vec::new(),
    }
}

/// The lock with its vault: the old one when it was gathered for the same commit, Bazel and
/// flags, otherwise gathered now.
fn vault(
    mut lock: Lock,
    old: Option<&Lock>,
    workspace: &Workspace,
    sources: Sources<'_>,
) -> Result<Lock> {
    let Some(mut source) = lock.source.take() else { return Ok(lock) };
    source.vault = source::vault_key(&lock, &source);
    let known = old.and_then(|old| old.source.as_ref());
    source.externals = match known.filter(|known| known.vault == source.vault) {
        Some(known) => known.externals.clone(),
        None => {
            let store = sources.store;
            source::gather::externals(workspace, store, &lock, &source, sources.fetch)?
        }
    };
    lock.source = Some(source);
    Ok(lock)
}

fn debian_packages(
    sources: Sources<'_>,
    kept: Option<&Lock>,
    parts: &[Part],
) -> Result<Vec<Package>> {
    online(sources, "Debian packages are resolved with apt")?;
    let apt = open_archive(sources)?;
    if let Some(lock) = kept {
        hold(&apt, lock, parts, sources.pins)?;
    }
    debian::resolve(&apt, sources.pins)
}

/// Says what is done next, which may take a while, unless there is no network to do it with.
fn online(sources: Sources<'_>, what: &str) -> Result<()> {
    if sources.fetch.offline {
        return Err(Error::new(Kind::Fetch, format!("{what}, and --offline is given")));
    }
    eprintln!("{what}");
    Ok(())
}

/// The first archive that can be read; otherwise says what is wrong with each.
fn open_archive(sources: Sources<'_>) -> Result<Apt> {
    let mut wrong = Vec::new();
    for archive in archive::archives(sources.pins, sources.fetch)? {
        match Apt::open(&archive) {
            Ok(apt) => return Ok(apt),
            Err(error) if error.kind() == Kind::Fetch => wrong.push(error.message().to_owned()),
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(Kind::Fetch, wrong.join("\n"))
        .hint("set LOCKSTEP_DEBIAN_MIRROR, or pin `debian.mirror` in workspace.toml"))
}

/// Makes apt prefer every locked version but those that these parts free.
fn hold(apt: &Apt, lock: &Lock, parts: &[Part], pins: &Pins) -> Result<()> {
    let freed = |package: &Package| parts.iter().any(|part| part.frees(package, lock, pins));
    let held = lock.packages.iter().filter(|package| !freed(package));
    apt.prefer(held.map(|package| (package.name.as_str(), package.version.as_str())))
}

fn python_wheels(
    sources: Sources<'_>,
    old: Option<&Lock>,
    parts: &[Part],
    packages: &[Package],
) -> Result<Vec<Wheel>> {
    online(sources, "wheels are resolved with pip")?;
    let own = normalised(sources.pins.tensorflow.package.as_str());
    let free = parts.is_empty() || parts.contains(&Part::Python);
    let locked = old.map_or(&[][..], |old| &old.wheels);
    let others = locked.iter().filter(|wheel| !free && wheel.name != own);
    let keep: Vec<String> = others.map(|w| format!("{}=={}", w.name, w.version)).collect();
    let pip = Pip::find(sources.pins, sources.fetch)?;
    let chosen = wheels::resolve(&pip, sources.pins, glibc_minor(packages)?, &keep)?;
    sized(sources, locked, chosen)
}

/// Wheels with their sizes: of those that were locked before, as they were.
fn sized(sources: Sources<'_>, locked: &[Wheel], chosen: Vec<Chosen>) -> Result<Vec<Wheel>> {
    let known = |chosen: &Chosen| {
        locked.iter().find(|wheel| wheel.sha256 == chosen.sha256).map(|wheel| wheel.size)
    };
    let asked: Vec<fetch::Url> =
        chosen.iter().filter(|chosen| known(chosen).is_none()).map(|c| c.url.clone()).collect();
    let mut answers = sizes(&asked, sources.store, sources.fetch)?.into_iter();
    let sized = chosen.into_iter().map(|chosen| {
        let size = known(&chosen).or_else(|| answers.next()).unwrap_or_default();
        let Chosen { name, version, file, sha256, .. } = chosen;
        Wheel { name, version, file, size, sha256 }
    });
    Ok(sized.collect())
}

/// The minor version of the runtime root's glibc: the newest platform that wheels may ask for.
fn glibc_minor(packages: &[Package]) -> Result<u32> {
    let libc = packages
        .iter()
        .find(|package| package.name == "libc6" && package.roots.contains(&RootKind::Runtime));
    let version = libc.map_or("none", |package| package.version.as_str());
    let digits = version.strip_prefix("2.").unwrap_or_default();
    let digits = digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().map_err(|_| {
        Error::new(Kind::Pins, format!("`runtime.packages` needs libc6 2.x, found {version}"))
    })
}

fn bazel(sources: Sources<'_>, old: Option<&Lock>) -> Result<lock::Bazel> {
    let pinned = &sources.pins.bazel;
    let binary = match &pinned.source {
        BazelSource::Package(_) => None,
        BazelSource::Binary { url, sha256 } => {
            let known = old.and_then(|old| old.bazel.binary.as_ref());
            let known = known.filter(|binary| binary.sha256 == *sha256).map(|binary| binary.size);
            let parsed = fetch::Url::parse(url.as_str())
                .map_err(|why| Error::new(Kind::Pins, format!("`bazel.url`: {why}")))?;
            let size = match known {
                Some(size) => size,
                None => sizes(&[parsed], sources.store, sources.fetch)?.iter().sum(),
            };
            Some(lock::Binary { url: url.to_string(), size, sha256: *sha256 })
        }
    };
    let (version, answer) = (pinned.version.to_string(), pinned.answer.to_string());
    Ok(lock::Bazel { version, answer, modules: pinned.modules, binary })
}

/// All but what only the wheel can say.
fn tensorflow(pins: &Pins) -> lock::TensorFlow {
    let pinned = &pins.tensorflow;
    lock::TensorFlow {
        lane: pinned.lane.to_string(),
        package: normalised(pinned.package.as_str()),
        version: pinned.version.to_string(),
        revision: pinned.revision.to_string(),
        git_version: pinned.source.as_ref().map(|s| s.describe.to_string()).unwrap_or_default(),
    }
}

/// The lock with what TensorFlow's wheel says of itself, which must be the pinned revision.
fn identified(mut lock: Lock, old: Option<&Lock>, sources: Sources<'_>) -> Result<Lock> {
    if lock.source.is_some() {
        let own = &lock.tensorflow;
        identity::check(&own.package, &own.version, &own.revision, &own.git_version)?;
        return Ok(lock);
    }
    let wheel = lock.tensorflow_wheel().cloned().ok_or_else(|| {
        let package = &lock.tensorflow.package;
        Error::new(Kind::Fetch, format!("pip chose no wheel of `{package}`"))
    })?;
    let known = old.filter(|old| old.tensorflow_wheel() == Some(&wheel));
    let git_version = match known {
        Some(old) => old.tensorflow.git_version.clone(),
        None => {
            let wheels = Wheels::TensorFlow;
            let own = Selection { roots: [].into(), wheels, externals: false };
            fetch::ensure(&lock, sources.store, &own, sources.fetch)?;
            let path = sources.store.verified(&wheel.sha256, &wheel.file)?;
            root::tensorflow::git_version(&root::wheel::Wheel::open(&path, &wheel.file)?)?
        }
    };
    let own = &mut lock.tensorflow;
    identity::check(&own.package, &own.version, &own.revision, &git_version)?;
    own.git_version = git_version;
    Ok(lock)
}

#[cfg(test)]
mod tests;
