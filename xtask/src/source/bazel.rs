//! Bazel on TensorFlow's sources: in its engine, with the gateway as its only network.

use std::fs;
use std::path::Path;

use crate::engine::{Engine, Log, Output, log};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::lock::{Lock, Source};
use crate::workspace::Workspace;

use super::gateway::{self, Gateway};
use super::machine::{self, Machine};
use super::outcome::Pace;
use super::plan::{self, Folders, Step};
use super::shelf::Shelf;

/// What C libraries and Java say when a disk is full (ENOSPC).
pub const FULL: &str = "No space left on device";

/// What Bazel is run on, and where.
pub struct Bazel<'a> {
    /// Its log lies there.
    pub workspace: &'a Workspace,
    /// Bazel and TensorFlow.
    pub lock: &'a Lock,
    /// The flags.
    pub source: &'a Source,
    /// The roots and the output.
    pub folders: Folders<'a>,
    /// What it may use.
    pub machine: Machine,
}

impl Bazel<'_> {
    /// Carries out `step` with what `shelf` gives out; returns that shelf's gateway.
    pub fn run(&self, step: Step, shelf: Shelf) -> Result<Gateway> {
        let Bazel { workspace, lock, source, folders, machine } = self;
        let name = if step == Step::Gather { "gather" } else { "build-tf" };
        let path = workspace.scratch().join("log").join(name).with_extension("log");
        let gateway = open(folders.out, shelf)?;
        let mut pace = Pace::begin();
        let mut on_line = |line: &str| pace.take(line);
        let log = Log { on_line: Some(&mut on_line), ..Log::at(&path) };
        let plan = plan::run(lock, source, folders, *machine, step);
        let outcome = Engine::default().run(&plan, Output::Log(log))?;
        if let Some(trouble) = gateway.shelf().trouble() {
            return Err(trouble);
        }
        match outcome.success() {
            true => Ok(gateway),
            false => Err(self.failed(gateway.shelf(), &path, &outcome.to_string())?),
        }
    }

    /// Why it failed: a full disk, something that is not to be had, Bazel's own words.
    fn failed(&self, shelf: &Shelf, path: &Path, outcome: &str) -> Result<Error> {
        let words = log::tail(path, 20)?;
        let whole = format!("the whole log is `{}`", path.display());
        if String::from_utf8_lossy(&fs::read(path).at("read", path)?).contains(FULL) {
            return Ok(machine::no_room(self.source, self.folders.out).hint(whole));
        }
        let failed = format!("Bazel did not build TensorFlow ({outcome}):\n{words}");
        let missing = shelf.missing();
        if missing.is_empty() {
            return Ok(Error::new(Kind::Tool, failed).hint(whole));
        }
        let missing = missing.join("\n  ");
        let message = format!("{failed}\nand it asked for what is not to be had:\n  {missing}");
        Ok(Error::new(Kind::Fetch, message)
            .hint("run `cargo xtask update tensorflow`, which gathers the vault anew")
            .hint(whole))
    }
}

/// The gateway with its files, in the folder behind [`plan::OUT`].
fn open(out: &Path, shelf: Shelf) -> Result<Gateway> {
    let folder = out.join(gateway::FOLDER);
    fs::create_dir_all(&folder).at("create", &folder)?;
    for (name, text) in [("relay.py", plan::RELAY), ("downloader.cfg", plan::DOWNLOADER)] {
        let path = folder.join(name);
        fs::write(&path, text).at("write", &path)?;
    }
    Gateway::start(&folder, shelf)
}
