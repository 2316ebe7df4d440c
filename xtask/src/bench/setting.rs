//! What all measurements share, and our side of the builds: the whole process, as started by
//! a person.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::time::Duration;

use xshell::{Cmd, Shell, cmd};

use crate::command::{self, Env};
use crate::engine::{Output, Run};
use crate::error::{Error, Kind, Result};
use crate::image::tools::Tools;
use crate::lock::Lock;
use crate::store::Store;
use crate::workspace::Workspace;

use super::pair::timed;
use super::place::Place;

/// What all measurements share.
pub struct Setting<'a> {
    /// The user's checkout: only read.
    pub workspace: &'a Workspace,
    /// The user's store, used as `build-ops` uses it.
    pub store: &'a Store,
    /// The lock of both.
    pub lock: Lock,
    /// Pairs of each measurement.
    pub runs: usize,
    /// As many as the peers may use at once.
    pub cores: usize,
    /// Whether a missing download is an error.
    pub offline: bool,
    /// Where everything is written.
    pub place: Place,
    /// Host commands.
    pub sh: Shell,
    built: OnceCell<Workspace>,
}

impl<'a> Setting<'a> {
    /// For the benchmarks of `workspace`.
    pub fn new(
        workspace: &'a Workspace,
        store: &'a Store,
        lock: Lock,
        runs: usize,
        offline: bool,
    ) -> Result<Self> {
        let sh = command::shell()?;
        sh.change_dir(workspace.root());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let place = Place::take(workspace)?;
        Ok(Setting {
            workspace,
            store,
            lock,
            runs,
            cores,
            offline,
            place,
            sh,
            built: OnceCell::new(),
        })
    }

    /// The image's tools over another store. An ordinary image is written without any engine.
    pub fn tools<'t>(&'t self, store: &'t Store) -> Tools<'t> {
        let engine = &|_: &Run, _: Output<'_>| Err(Error::new(Kind::Machine, "no engine"));
        Tools { lock: &self.lock, store, engine, logs: PathBuf::new() }
    }

    /// A copy of the checkout in which `build-ops` ran once.
    pub fn built(&self) -> Result<&Workspace> {
        if self.built.get().is_none() {
            let checkout = self.place.checkout("built", self.workspace)?;
            self.build(&checkout, self.store)?;
            let _it_was_empty = self.built.set(checkout);
        }
        self.built.get().ok_or_else(|| Error::new(Kind::Io, "no checkout was built"))
    }

    /// How long the process `xtask build-ops` takes. A difference to the committed ledger
    /// is what an edit is for; any other failure is one.
    pub fn build(&self, checkout: &Workspace, store: &Store) -> Result<Duration> {
        self.command(checkout, store, "build-ops")
    }

    /// The same of another command.
    pub fn command(&self, checkout: &Workspace, store: &Store, name: &str) -> Result<Duration> {
        let program = program()?;
        let root = checkout.root();
        let words = "\"$@\" || test $? -eq 9";
        let step = cmd!(self.sh, "sh -c {words} sh {program} --workspace {root} --offline {name}");
        timed(|| command::read(step, &environment(store)).map(drop))
    }

    /// What `xtask`, which may use the network, prints of `checkout`.
    pub fn xtask(&self, checkout: &Workspace, words: &[&str]) -> Result<String> {
        let (program, root) = (program()?, checkout.root());
        self.read(cmd!(self.sh, "{program} --workspace {root} {words...}"))
    }

    /// What a host command prints.
    pub fn read(&self, step: Cmd<'_>) -> Result<String> {
        command::read(step, &environment(self.store))
    }

    /// Why `step`, which does next to nothing, cannot be run here; `None` when it can.
    pub fn lacks(&self, step: Cmd<'_>) -> Option<String> {
        self.read(step).err().map(|error| error.message().replace('\n', " "))
    }
}

/// This program.
pub(super) fn program() -> Result<PathBuf> {
    std::env::current_exe()
        .map_err(|cause| Error::new(Kind::Io, format!("cannot find this program: {cause}")))
}

/// As a person's shell has it, as far as cargo and Lockstep look at it.
fn environment(store: &Store) -> Env {
    let cargo = ["CARGO_HOME", "CARGO_TARGET_DIR", "RUSTUP_HOME"];
    Env::host(&[&cargo, command::NETWORK].concat()).with("LOCKSTEP_STORE", store.root())
}
