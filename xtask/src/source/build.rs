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
        None => case.first()?,
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
    /// Builds the wheel that all later stages take.
    fn first(&self) -> Result<Built> {
        let built = self.build()?;
        built.record(self.lock, self.source, self.store)?;
        Ok(built)
    }

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
        publish(lock, store, &wheel, &out)
    }

    /// Builds with nothing left of the first build; an error when other bits come out, and the
    /// first wheel stays the one that is taken.
    fn again(&self, first: Built) -> Result<Built> {
        let out = gather::out_folder(self.workspace, self.lock, self.source);
        remove(&out)?;
        let second = self.build()?;
        if second != first {
            return Err(apart(self.store, &first, &second));
        }
        println!("built once more: the same bits");
        Ok(first)
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

/// Says that two builds made two wheels, and where both are.
fn apart(store: &Store, first: &Built, second: &Built) -> Error {
    let message = format!(
        "{} came out in other bits: expected sha256 {}, found {}",
        first.file, first.sha256, second.sha256
    );
    let [one, other] = [first, second].map(|built| store.object(&built.sha256));
    Error::new(Kind::Ledger, message).hint(format!(
        "`cargo xtask compare-wheels {} {}` says in which members they differ",
        one.display(),
        other.display()
    ))
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

/// The wheel packed anew, checked, in the store.
fn publish(lock: &Lock, store: &Store, path: &Path, out: &Path) -> Result<Built> {
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
    fs::remove_file(&place).at("remove", &place)?;
    Ok(Built { file, size, sha256 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    #[test]
    fn two_wheels_of_one_key_are_named_with_their_places() {
        let built = |bytes: &[u8]| {
            let (file, sha256) = ("tf-1-py3-none-any.whl".to_owned(), Sha256::of(bytes));
            Built { file, size: 1, sha256 }
        };
        let error = apart(&Store::at("/store"), &built(b"a"), &built(b"b"));
        insta::assert_snapshot!(error, @"
        error: tf-1-py3-none-any.whl came out in other bits: expected sha256 ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb, found 3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d
        hint: `cargo xtask compare-wheels /store/objects/ca/978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb /store/objects/3e/23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d` says in which members they differ
        ");
    }
}
