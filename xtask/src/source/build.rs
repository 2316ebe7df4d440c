//! `cargo xtask build-tf`: from the lock to TensorFlow's wheel in the store and in `dist/`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext as _, Kind, Result};
use crate::fetch::{self, Selection};
use crate::lock::{Lock, Source, identity};
use crate::root;
use crate::root::wheel::Wheel;
use crate::store::{Hold, Store, remove};
use crate::workspace::Workspace;

use super::bazel::Bazel;
use super::machine::Machine;
use super::plan::{self, Folders, Step};
use super::shelf::Shelf;
use super::{Built, checkout, gather, outcome, vault_key};

/// What a person may choose.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Print what would run, each flag with its reason, and run nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Build once more from nothing, and compare with the wheel that is there
    #[arg(long)]
    pub verify: bool,
}

/// Builds the wheel, unless it is there; says its digest.
pub fn run(
    workspace: &Workspace,
    store: &Store,
    lock: &Lock,
    options: &Options,
    offline: bool,
) -> Result<()> {
    let Some(source) = &lock.source else {
        let message =
            format!("`tensorflow.lane` is `{}`: its wheel is not built here", lock.tensorflow.lane);
        return Err(Error::new(Kind::Pins, message).hint("pin `lane = \"source\"` to build it"));
    };
    let machine = Machine::here()?;
    if options.dry_run {
        print!("{}", plan::explained(lock, source, machine));
        return Ok(());
    }
    let case = Case { workspace, store, lock, source, machine, offline };
    let built = match Built::find(lock, source, store)? {
        Some(built) if options.verify => case.again(built)?,
        Some(built) => built,
        None => case.build()?,
    };
    let path = store.verified(&built.sha256, &built.file)?;
    let place = workspace.dist().join(&built.file);
    crate::atomic::replace(&place, |file| {
        let mut bytes = fs::File::open(&path).at("open", &path)?;
        std::io::copy(&mut bytes, file).at("write", &place).map(drop)
    })?;
    println!("{}  dist/{}", built.sha256, built.file);
    Ok(())
}

/// What is built, of what, where.
struct Case<'a> {
    workspace: &'a Workspace,
    store: &'a Store,
    lock: &'a Lock,
    source: &'a Source,
    machine: Machine,
    offline: bool,
}

impl Case<'_> {
    fn build(&self) -> Result<Built> {
        let Case { workspace, store, lock, source, .. } = *self;
        current(lock, source)?;
        let out = gather::out_folder(workspace, lock, source);
        fs::create_dir_all(&out).at("create", &out)?;
        let _alone = Hold::take(&out.with_extension("lock"), "another build of TensorFlow")?;
        self.machine.check(source, &out)?;
        let checkout = checkout::ensure(lock, source, store, self.offline)?;
        checkout::check_bazel(&checkout, lock)?;
        let options = fetch::Options::from_env(self.offline);
        fetch::ensure(lock, store, &Selection::source(), &options)?;
        let root = root::builder::ensure(lock, store)?;
        let events = self.bazel(Folders { root: &root, checkout: &checkout, out: &out })?;
        let wheel = outcome::wheel(&events, &source.target, &out)?;
        publish(lock, source, store, &wheel, &out)
    }

    /// Builds with nothing left of the first build; an error when other bits come out.
    fn again(&self, first: Built) -> Result<Built> {
        let out = gather::out_folder(self.workspace, self.lock, self.source);
        remove(&out)?;
        let second = self.build()?;
        if second == first {
            println!("built once more: the same bits");
            return Ok(second);
        }
        let message = format!(
            "{} came out in other bits: expected sha256 {}, found {}",
            first.file, first.sha256, second.sha256
        );
        Err(Error::new(Kind::Ledger, message)
            .hint("`cargo xtask compare-wheels` says in which members they differ"))
    }

    /// Runs Bazel; returns its events.
    fn bazel(&self, folders: Folders<'_>) -> Result<String> {
        let Case { workspace, store, lock, source, machine, .. } = *self;
        let events = folders.out.join(plan::EVENTS);
        if events.exists() {
            fs::remove_file(&events).at("remove", &events)?;
        }
        let bazel = Bazel { workspace, lock, source, folders, machine };
        bazel.run(Step::Build, Shelf::replaying(store, &source.externals))?;
        fs::read_to_string(&events).at("read", &events)
    }
}

/// The vault must be that of these flags and this Bazel.
fn current(lock: &Lock, source: &Source) -> Result<()> {
    let expected = vault_key(lock, source);
    if source.vault == expected {
        return Ok(());
    }
    let message = format!(
        "the vault of workspace.lock was gathered for another Bazel or other flags: expected key \
         {}, found {}",
        expected.short(),
        source.vault.short()
    );
    Err(Error::new(Kind::Lock, message).hint("run `cargo xtask update tensorflow`"))
}

/// The wheel packed anew, checked, in the store, recorded.
fn publish(lock: &Lock, source: &Source, store: &Store, path: &Path, out: &Path) -> Result<Built> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let raw = Wheel::open(path, &file)?;
    let tensorflow = &lock.tensorflow;
    if !raw.file_name().is(&tensorflow.package, &tensorflow.version) {
        let message = format!(
            "`tensorflow.target` yields `{file}`, expected {} {}",
            tensorflow.package, tensorflow.version
        );
        return Err(Error::new(Kind::Tool, message)
            .hint("TensorFlow's WHEEL_NAME and ML_WHEEL_TYPE are set with `tensorflow.repo-env`"));
    }
    let place: PathBuf = out.join("repacked.whl");
    super::wheel::repack(&raw, &place, lock.epoch)?;
    let wheel = Wheel::open(&place, &file)?;
    let found = root::tensorflow::git_version(&wheel)?;
    identity::check(&tensorflow.package, &tensorflow.version, &tensorflow.revision, &found)?;
    if found != tensorflow.git_version {
        let expected = &tensorflow.git_version;
        let message = format!("`tensorflow.describe`: expected {expected}, the wheel says {found}");
        return Err(Error::new(Kind::Digest, message));
    }
    let (sha256, size) = store.admit(&place, &file)?;
    let built = Built { file, size, sha256 };
    built.record(lock, source, store)?;
    fs::remove_file(&place).at("remove", &place)?;
    Ok(built)
}
