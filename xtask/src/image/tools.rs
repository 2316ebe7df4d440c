//! Programs of the builder root, run on one folder: what they make is a function of the lock.

use std::fs;
use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::engine::{Log, Mount, Outcome, Output, Run};
use crate::error::{Error, Kind, Result};
use crate::lock::Lock;
use crate::root::builder;
use crate::store::Store;

/// Where a program sees the folder that it works on.
pub const PLACE: &str = "/out";

/// What carries a run out: [`crate::engine::Engine::run`].
pub type Carry<'a> = dyn Fn(&Run, Output<'_>) -> Result<Outcome> + Sync + 'a;

/// The programs, and what runs them.
pub struct Tools<'a> {
    /// The lock, which names the builder root's packages.
    pub lock: &'a Lock,
    /// The store.
    pub store: &'a Store,
    /// What runs them.
    pub engine: &'a Carry<'a>,
    /// Where they say what they say.
    pub logs: PathBuf,
}

impl Tools<'_> {
    /// The digest of all packages that the programs are from.
    pub fn key(&self) -> Sha256 {
        builder::recipe(self.lock).key()
    }

    /// Runs `argv` on the folder `place`; people know what it does as `name`.
    pub fn run(&self, name: &str, place: &Path, argv: &[&str]) -> Result<()> {
        let run = plan(builder::ensure(self.lock, self.store)?, place, argv);
        let log = self.logs.join(format!("{name}.log"));
        let outcome = (self.engine)(&run, Output::Log(Log::at(&log)))?;
        if outcome.success() {
            return Ok(());
        }
        let said = fs::read_to_string(&log).unwrap_or_default();
        let last = said.trim_end().lines().last().unwrap_or_default().escape_debug().to_string();
        Err(Error::new(Kind::Tool, format!("`{}` failed ({outcome}): {last}", argv[0]))
            .hint(format!("the whole log is `{}`", log.display())))
    }
}

/// The run of `argv` in `root` on the folder `place`.
fn plan(root: PathBuf, place: &Path, argv: &[&str]) -> Run {
    let env = [("HOME", "/tmp"), ("LC_ALL", "C.UTF-8"), ("PATH", "/usr/bin")];
    Run {
        root,
        mounts: vec![Mount::ReadWrite { source: place.to_owned(), target: PLACE.to_owned() }],
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        cwd: PLACE.to_owned(),
    }
}
