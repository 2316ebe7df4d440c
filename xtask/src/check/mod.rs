//! `cargo xtask check`: builds from scratch under different conditions, compared with each
//! other, with the committed ledger and with those of other machines; what differs is
//! explained.
//!
//! [`options`] is what a person chooses, [`plans`] which builds that means; [`variation`] is
//! what can be varied, [`conditions`] its values, [`place`] and [`guise`] make what a build
//! sees, [`child`] its process, [`builds`] the builds, [`image`] what they are in; [`verdict`]
//! compares, [`bisect`] and [`narrow`] find the guilty variation, [`gate`] says which file
//! moved which row, [`against`] asks other ledgers; [`report`], [`junit`], [`annotation`] and
//! [`publish`] tell.

pub mod against;
mod annotation;
mod bisect;
mod builds;
mod child;
mod client;
mod conditions;
pub mod gate;
mod guise;
mod image;
mod junit;
mod keep;
mod memory;
pub mod narrow;
mod options;
mod place;
mod plans;
mod publish;
pub mod report;
pub mod variation;
mod verdict;

use std::path::{Path, PathBuf};

use builds::{Made, Maker, Plan};
pub use options::Options;
use place::Place;
use report::{Build, End, Report};
use variation::Variation;

use crate::atomic;
use crate::build::material::{self, Prepared};
use crate::build::source;
use crate::error::{Error, Kind, Result};
use crate::ledger::snapshot::{Part, Snapshot};
use crate::ledger::{self, Ledger, Proposals, digests};
use crate::lock::Lock;
use crate::progress::say;
use crate::store::Store;
use crate::workspace::Workspace;
use crate::{fetch, root};

/// Where unequal artifacts are kept, below the scratch folder.
const KEPT: &str = "differ";

/// Checks, tells, and ends with an error that says how when anything disagrees.
pub fn run(workspace: &Workspace, store: &Store, options: &Options, offline: bool) -> Result<()> {
    if options.vary == "list" {
        print!("{}", Variation::table());
        return Ok(());
    }
    let varied = Variation::parse_list(&options.vary)?;
    let prepared = material::prepare(workspace)?;
    committed(workspace, &prepared)?;
    let others = others(options, offline)?;
    let (engines, mut skipped) = plans::engines(&options.engine)?;
    let mut plans = plans::plans(&varied, options.builds, &engines);
    let memory = memory::find(workspace, options.elsewhere.as_deref());
    for plan in &mut plans {
        skipped.extend(plans::untried(plan, memory.as_ref().err(), child::cpus().len()));
    }
    skipped.dedup();
    let mut report = if plans.is_empty() {
        report_of(workspace, &prepared, &Ledger::read(workspace)?, &others)?
    } else {
        check(workspace, store, &prepared, (options, memory.ok()), plans, &others, offline)?
    };
    report.skipped = skipped;
    tell(&report, workspace, options)
}

/// The other machines' ledgers, read before anything is built.
fn others(options: &Options, offline: bool) -> Result<Vec<(String, Ledger)>> {
    let read = |place: &String| Ok((against::name(place), against::read(place, offline)?));
    options.against.iter().map(read).collect()
}

/// A ledger that cannot be compared with is found before the first build.
fn committed(workspace: &Workspace, prepared: &Prepared) -> Result<()> {
    let nothing = |platform: &str| Ledger {
        platform: platform.to_owned(),
        rows: Vec::new(),
        surfaces: Vec::new(),
    };
    let platform = &prepared.lock.platform;
    for part in Part::ALL {
        let snapshot = Snapshot::of(workspace, part, platform);
        let there = snapshot.read()?.is_some();
        if snapshot.pending().exists() || !there {
            // The ledger's own words for both.
            nothing(platform).check(workspace, Proposals::Never)?;
        }
    }
    Ok(())
}

fn check(
    workspace: &Workspace,
    store: &Store,
    prepared: &Prepared,
    (options, memory): (&Options, Option<PathBuf>),
    plans: Vec<Plan>,
    others: &[(String, Ledger)],
    offline: bool,
) -> Result<Report> {
    let lock = &prepared.lock;
    fetched(lock, store, options.image, &fetch::Options::from_env(offline))?;
    let needs_compiler = plans.iter().any(|plan| !plan.conditions.macros().is_empty());
    let builder = if needs_compiler { root::builder::ensure(lock, store)? } else { PathBuf::new() };
    let place = Place::take(workspace, memory.as_deref())?;
    let maker = Maker { workspace, store, lock, place: &place, builder };
    let made = maker.make(plans)?;
    let mut report = report_of(workspace, prepared, &made[0].ledger, others)?;
    report.artifacts = verdict::verdicts(&made)?;
    if options.image {
        let (images, said) = image::compare(&maker, &made)?;
        report.artifacts.extend(images);
        report.ledger = report.ledger.into_iter().chain(said).reduce(|a, b| a + "\n" + &b);
    }
    report.builds = made.iter().map(build_of).collect();
    if report.end() == End::Unreproducible {
        report.kept = keep::keep(&report.artifacts, &made, &workspace.scratch().join(KEPT))?;
        if !options.no_bisect {
            bisect::bisect(&maker, &made, &mut report)?;
        }
    }
    Ok(report)
}

/// All that the builds read, and an image too.
fn fetched(lock: &Lock, store: &Store, image: bool, options: &fetch::Options) -> Result<()> {
    if !image {
        return fetch::ensure(lock, store, &fetch::Selection::build(), options);
    }
    fetch::ensure(lock, store, &fetch::Selection::all(), options)?;
    lock.base.iter().try_for_each(|base| fetch::base::ensure(base, store, options))
}

fn build_of(made: &Made) -> Build {
    let Plan { name, engine, conditions, .. } = &made.plan;
    let varied = conditions.varied.iter().copied().collect();
    Build { name: name.clone(), engine: *engine, varied, seconds: made.seconds }
}

/// The report of a ledger: what the committed one and other machines say of it.
fn report_of(
    workspace: &Workspace,
    prepared: &Prepared,
    ledger: &Ledger,
    others: &[(String, Ledger)],
) -> Result<Report> {
    let lock = &prepared.lock;
    let said = disagreement(ledger.check(workspace, Proposals::Never))?;
    let snapshot = Snapshot::of(workspace, Part::Digests, &lock.platform);
    let rows = snapshot.read()?.unwrap_or_default();
    let rows = digests::parse(&rows).map_err(|why| {
        Error::new(Kind::Ledger, format!("the committed ledger is no ledger: {why}"))
    })?;
    // Without git, or outside a repository, nobody knows what changed.
    let (since, changed) = match gate::changed(workspace, &snapshot) {
        Ok((commit, changed)) if !commit.is_empty() => (Some(commit), changed),
        _ => (None, Vec::new()),
    };
    let reach = gate::reach(workspace, &prepared.packages);
    Ok(Report {
        platform: lock.platform.clone(),
        workspace_id: source::workspace_id(&lock.digest(), &prepared.sources).short(),
        builds: Vec::new(),
        skipped: Vec::new(),
        artifacts: Vec::new(),
        ledger: said,
        rows: gate::moves(&rows, &ledger.rows, &changed, &reach),
        since,
        agreement: (!others.is_empty()).then(|| against::agreement(ledger, others)),
        kept: Vec::new(),
    })
}

/// Why the committed ledger was not reproduced; none when it was.
fn disagreement(said: Result<ledger::Report>) -> Result<Option<String>> {
    match said {
        Ok(_) => Ok(None),
        Err(error) if error.kind() == Kind::Ledger => Ok(Some(error.message().to_owned())),
        Err(error) => Err(error),
    }
}

/// Tells the report to everybody who asked, and turns it into how the command ends.
fn tell(report: &Report, workspace: &Workspace, options: &Options) -> Result<()> {
    if let Some(path) = &options.junit {
        atomic::write(path, junit::xml(report).as_bytes())?;
    }
    if let Some(path) = &options.publish {
        publish::write(report, path)?;
    }
    if options.json {
        let text = serde_json::to_string_pretty(&Told { end: report.end(), report });
        println!("{}", text.map_err(|e| Error::new(Kind::Io, e.to_string()))?);
    } else {
        print!("{}", report.text());
    }
    let snapshot = Snapshot::of(workspace, Part::Digests, &report.platform).to_string();
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        // Both streams are read for commands; this one is never JSON.
        annotation::annotations(report, workspace, &snapshot).iter().for_each(|line| say(line));
    }
    ended(report, &workspace.scratch().join("log"))
}

/// The report as JSON, with how it ends.
#[derive(serde::Serialize)]
struct Told<'a> {
    end: End,
    #[serde(flatten)]
    report: &'a Report,
}

fn ended(report: &Report, logs: &Path) -> Result<()> {
    let kind = match report.end() {
        End::Reproduced => return Ok(()),
        End::OtherLedger => Kind::Ledger,
        End::Unreproducible => Kind::Unreproducible,
    };
    let error = Error::new(kind, report.summary());
    Err(match kind {
        Kind::Ledger => error.hint("run `cargo xtask build-ops` and `cargo xtask accept` if that is what you meant, and commit tests/snapshots"),
        _ => error.hint(format!("the builds' logs are `{}`", logs.join("check-*.log").display())),
    })
}
