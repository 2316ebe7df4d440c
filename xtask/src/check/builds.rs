//! The builds: each from scratch, two at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::child::{self, Child, Started, State};
use super::client;
use super::conditions::Conditions;
use super::guise;
use super::narrow::Artifact;
use super::place::{Place, Room};
use super::variation::{Variation, listed};
use crate::date;
use crate::digest::Sha256;
use crate::engine::Engine;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::interrupt;
use crate::ledger::Ledger;
use crate::ledger::digests::ALL;
use crate::lock::Lock;
use crate::progress::say;
use crate::store::Store;
use crate::workspace::Workspace;

/// Builds at once: a compiler uses one processor, and more builds need more memory.
const AT_ONCE: usize = 2;
/// How often running builds are looked after.
const TICK: Duration = Duration::from_millis(50);

/// A build to make.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its room's name, and what it is called in messages.
    pub name: String,
    /// What it runs in.
    pub engine: Engine,
    /// What it is made under.
    pub conditions: Conditions,
    /// The store whose trees it uses; none for fresh ones.
    pub store: Option<Store>,
}

/// A build that is over, and what came out.
pub struct Made {
    /// As it was planned.
    pub plan: Plan,
    /// Everything with its digest.
    pub ledger: Ledger,
    /// Its copy of the checkout, with all outputs.
    pub checkout: Workspace,
    /// Its store, with all trees.
    pub store: Store,
    /// How long it took.
    pub seconds: u64,
    /// When it was made and its sources were written, by its own clock, in seconds since 1970.
    pub times: Vec<RangeInclusive<u64>>,
    files: BTreeMap<Artifact, PathBuf>,
}

impl Made {
    /// Digest of each artifact.
    pub fn digests(&self) -> BTreeMap<Artifact, Sha256> {
        let rows = self.ledger.rows.iter().filter(|row| row.is_artifact());
        rows.map(|row| ((row.package.clone(), row.file.clone()), row.sha256)).collect()
    }

    /// The artifacts that are not the same in `self` and `other`.
    pub fn apart(&self, other: &Made) -> BTreeSet<Artifact> {
        let (ours, theirs) = (self.digests(), other.digests());
        let all = ours.keys().chain(theirs.keys());
        all.filter(|artifact| ours.get(*artifact) != theirs.get(*artifact)).cloned().collect()
    }

    /// Bytes of an artifact; none when it did not come out.
    pub fn read(&self, artifact: &Artifact) -> Result<Vec<u8>> {
        match self.files.get(artifact) {
            Some(path) => fs::read(path).at("read", path),
            None => Ok(Vec::new()),
        }
    }
}

/// All that builds are made of.
pub struct Maker<'a> {
    /// The checkout: only read, but for logs.
    pub workspace: &'a Workspace,
    /// The user's store: downloads, and a builder root for the guise's compiler.
    pub store: &'a Store,
    /// The lock of both.
    pub lock: &'a Lock,
    /// Where everything is written.
    pub place: &'a Place,
    /// The builder root in the user's store.
    pub builder: PathBuf,
}

/// A build on its way.
struct Running {
    plan: Plan,
    room: Room,
    process: Started,
    log: PathBuf,
    start: Instant,
    /// When its sources were copied, by this machine's clock.
    copied: u64,
}

impl Maker<'_> {
    /// Makes all builds; the first failure ends it, and the others with it.
    pub fn make(&self, plans: Vec<Plan>) -> Result<Vec<Made>> {
        let order: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
        let mut waiting = plans.into_iter();
        let (mut running, mut made) = (Vec::new(), Vec::new());
        loop {
            while running.len() < AT_ONCE
                && let Some(plan) = waiting.next()
            {
                running.push(self.start(plan)?);
            }
            if running.is_empty() {
                break;
            }
            interrupt::check()?;
            let mut still = Vec::new();
            for mut build in running {
                match build.process.ended()? {
                    Some(code) => made.push(self.end(build, code)?),
                    None => still.push(build),
                }
            }
            running = still;
            std::thread::sleep(TICK);
        }
        let place = |made: &Made| order.iter().position(|name| *name == made.plan.name);
        made.sort_by_key(place);
        Ok(made)
    }

    fn start(&self, plan: Plan) -> Result<Running> {
        let Plan { name, engine, conditions, store } = &plan;
        say(&format!("check: build {name} ({engine}): varied: {}", listed(&conditions.varied)));
        let (copied, downloads) = (date::now(), (self.lock, self.store));
        let room = self.place.room(name, self.workspace, conditions, store.as_ref(), downloads)?;
        let run =
            |run: &crate::engine::Run, output: crate::engine::Output<'_>| engine.run(run, output);
        let etc = guise::make(conditions, &room.own, &self.builder, &run)?;
        let logs = self.workspace.scratch().join("log");
        fs::create_dir_all(&logs).at("create", &logs)?;
        let log = logs.join(format!("check-{name}.log"));
        let child = child(&plan, &room, etc.as_deref(), log.clone())?;
        let start = Instant::now();
        Ok(Running { process: child.start()?, plan, room, log, start, copied })
    }

    fn end(&self, build: Running, code: i32) -> Result<Made> {
        let Running { plan, room, log, start, copied, .. } = build;
        let seconds = start.elapsed().as_secs();
        // Another ledger than the committed one is what the check itself judges.
        if code != 0 && code != i32::from(Kind::Ledger.exit_code()) {
            return Err(failed(&plan, code, &log, &room));
        }
        let ledger = Ledger::read(&room.checkout).map_err(|e| e.context(said(&plan)))?;
        let dist = room.checkout.dist();
        let mut files = BTreeMap::new();
        for row in ledger.rows.iter().filter(|row| row.is_artifact()) {
            let path = match row.package.as_str() {
                ALL => dist.join(&row.file),
                package => dist.join("ops").join(package).join(&row.file),
            };
            files.insert((row.package.clone(), row.file.clone()), path);
        }
        say(&format!("check: build {} is done in {seconds} s", plan.name));
        let times = plan.conditions.times(copied..=date::now());
        let Room { checkout, store, .. } = room;
        Ok(Made { plan, ledger, checkout, store, seconds, times, files })
    }
}

/// The process of a build: `build-ops`, as a person starts it.
fn child(plan: &Plan, room: &Room, etc: Option<&Path>, log: PathBuf) -> Result<Child> {
    let conditions = &plan.conditions;
    let words = ["--offline", "build-ops", "--engine", plan.engine.name()];
    let mut argv: Vec<OsString> = vec!["/proc/self/exe".into(), "--workspace".into()];
    argv.push(room.checkout.root().into());
    argv.extend(words.map(OsString::from));
    if let Some(etc) = etc {
        argv.extend(["--etc".into(), etc.into()]);
    }
    let moved = conditions.varies(Variation::Home);
    let mut env = client::environment(|name| std::env::var_os(name), moved);
    env = env.with("LOCKSTEP_STORE", room.store.root());
    for (name, value) in conditions.environment() {
        env = env.with(&name, value);
    }
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(conditions.more_path());
    env = env.with("PATH", path);
    if moved {
        let home = room.own.join("home");
        let temporary = home.join("tmp");
        fs::create_dir_all(&temporary).at("create", &temporary)?;
        env = env.with("HOME", home).with("TMPDIR", temporary);
    }
    // Only an engine of our own needs no other process to know its user.
    let namespaces = plan.engine == Engine::Native;
    let cpus = child::cpus();
    let cpu = cpus.get(conditions.number as usize % cpus.len().max(1)).copied();
    Ok(Child {
        argv,
        env: env.pairs().into_iter().collect(),
        cwd: room.own.clone(),
        log,
        state: State {
            umask: conditions.umask(),
            host: conditions.host(),
            user: conditions.user().filter(|_| namespaces),
            namespaces,
            cpu: cpu.filter(|_| conditions.varies(Variation::Cpus)),
            terminal: conditions.varies(Variation::Terminal),
            fixed: conditions.varies(Variation::Addresses),
        },
    })
}

fn said(plan: &Plan) -> String {
    format!("build {} ({}; varied: {})", plan.name, plan.engine, listed(&plan.conditions.varied))
}

/// The build's own error, from its first line on. Its room is emptied in the end, so the logs
/// that it names are kept beside its own.
fn failed(plan: &Plan, code: i32, log: &Path, room: &Room) -> Error {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).replace('\r', ""));
    let text = text.unwrap_or_default();
    let words = match text.find("error: ") {
        Some(at) => text[at..].trim_end(),
        None => "it said nothing about why",
    };
    let (logs, kept) = (room.checkout.scratch().join("log"), log.with_extension(""));
    let words = match keep_logs(&logs, &kept) {
        Ok(()) => words.replace(&*logs.to_string_lossy(), &kept.to_string_lossy()),
        Err(_) => words.to_owned(),
    };
    let kind = Kind::of_exit_code(code);
    let killed =
        if code > 128 { format!(" (killed by signal {})", code - 128) } else { String::new() };
    Error::new(kind, format!("{} failed{killed}:\n{words}", said(plan)))
        .hint(format!("its whole log is `{}`", log.display()))
}

fn keep_logs(from: &Path, to: &Path) -> Result<()> {
    crate::store::remove(to)?;
    fs::create_dir_all(to).at("create", to)?;
    for entry in fs::read_dir(from).at("list", from)? {
        let entry = entry.at("list", from)?;
        fs::copy(entry.path(), to.join(entry.file_name())).at("copy", &entry.path())?;
    }
    Ok(())
}
