//! `cargo xtask cluster smoke`: the whole cluster of `workspace.toml` on this machine, from the
//! image in `dist/`, with real training.
//!
//! [`unpacked`] is the image as a root, [`job`] what is to be started, [`native`] or [`docker`] starts it,
//! [`watch`] sees what the tasks do and ends the job when one of them is wrong, [`report`] says
//! what was seen, [`earlier`] remembers the weights. The scripts are ours (`cluster/train/`) and no part of the image.

pub mod docker;
pub mod earlier;
pub mod group;
pub mod job;
mod loaded;
pub mod native;
mod network;
pub mod report;
pub mod seen;
pub mod unpacked;
pub mod watch;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::build::stamp::Stamps;
use crate::build::{material, source};
use crate::engine::{Engine, Native};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::image::identity::Identity;
use crate::lock::Lock;
use crate::pins::cluster::{Cluster, Strategy};
use crate::progress;
use crate::store::Store;
use crate::workspace::Workspace;

use earlier::Earlier;
use job::{Job, Limits, Place, Reach};
use report::Report;
use unpacked::Image;

/// `cargo xtask cluster smoke`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How the tasks train together (default: as workspace.toml says)
    #[arg(long, value_enum, value_name = "STRATEGY")]
    pub strategy: Option<Choice>,
    /// Print JSON: each task with its identity, times, peak memory, results
    #[arg(long)]
    pub json: bool,
    /// Where the cluster runs: native or docker
    #[arg(long, value_enum, env = crate::engine::VARIABLE, default_value_t, value_name = "ENGINE")]
    pub engine: Engine,
    /// Keep each task's log in this folder (default: below target/)
    #[arg(long, value_name = "DIR")]
    pub keep_logs: Option<PathBuf>,
    /// How long the tasks may take to come up, in seconds; training may take five times as long
    #[arg(long, default_value_t = 180, value_name = "SECONDS")]
    pub limit: u64,
}

/// What is to be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Choice {
    /// Parameter servers and a coordinator
    Ps,
    /// Workers that hold the same weights
    Mw,
    /// One after the other
    Both,
}

/// Runs the smoke test, and prints what it showed.
pub fn run(workspace: &Workspace, store: &Store, options: &Options) -> Result<()> {
    let cluster = super::load(workspace)?;
    let strategies = match options.strategy {
        None => vec![cluster.strategy],
        Some(Choice::Ps) => vec![Strategy::ParameterServer],
        Some(Choice::Mw) => vec![Strategy::MultiWorkerMirrored],
        Some(Choice::Both) => vec![Strategy::ParameterServer, Strategy::MultiWorkerMirrored],
    };
    let setting = Setting::open(workspace, store)?;
    for strategy in strategies {
        let part = job::part(&cluster, strategy)?;
        let place = setting.place()?;
        let limits = Limits {
            up: Duration::from_secs(options.limit),
            all: Duration::from_secs(options.limit.saturating_mul(6)),
        };
        let job = setting.job(&part, &place.place, options.engine, limits);
        let logs = options.keep_logs.clone().unwrap_or_else(|| setting.logs());
        let logs = logs.join(strategy.to_string());
        let report = smoke(&job, &setting, &logs, options.engine)?;
        match options.json {
            true => println!("{}", json(&report)?),
            false => println!("{report}"),
        }
        if Earlier::of(workspace, &setting.image.manifest, &job).compare(&report)? {
            progress::say("the weights are those of the run before, bit for bit");
        }
    }
    Ok(())
}

fn smoke(job: &Job, setting: &Setting<'_>, logs: &Path, engine: Engine) -> Result<Report> {
    progress::say(&format!("cluster smoke: {}, {} tasks", job.strategy, job.tasks.len()));
    let ended = match engine {
        Engine::Native => native::carry_out(job, &Native::default(), logs, &mut progress::say),
        Engine::Docker => loaded::ensure(&setting.image, &setting.lock)
            .and_then(|image| docker::carry_out(job, &image, logs, &mut progress::say)),
        Engine::Podman => {
            let message = "podman does not start clusters: no network of its own without root";
            Err(Error::new(Kind::Machine, message).hint("use `--engine native` or `docker`"))
        }
    };
    let logs_are = format!("every task's log is in `{}`", logs.display());
    let ended = ended.map_err(|error| error.hint(logs_are))?;
    Ok(Report::of(job, &ended, engine.name(), &setting.image.manifest.named(), logs))
}

fn json(report: &Report) -> Result<String> {
    serde_json::to_string(report)
        .map_err(|e| Error::new(Kind::Io, format!("cannot write JSON: {e}")))
}

/// What every smoke test of a checkout starts from.
#[derive(Debug)]
pub struct Setting<'w> {
    workspace: &'w Workspace,
    store: &'w Store,
    /// The lock.
    pub lock: Lock,
    /// The image in `dist/`, which is of this checkout.
    pub image: Image,
}

/// A place for one job; its files are gone with it.
#[derive(Debug)]
pub struct JobPlace {
    _folder: tempfile::TempDir,
    /// What the tasks see of it.
    pub place: Place,
}

impl<'w> Setting<'w> {
    /// Reads lock and image, and holds them against each other.
    pub fn open(workspace: &'w Workspace, store: &'w Store) -> Result<Self> {
        let (lock, image) = (material::locked(workspace)?, Image::open(workspace)?);
        let sources = source::collect(workspace, &Stamps::default(), &mut Stamps::default())?;
        let own = Identity::of(&lock, &sources).workspace.to_string();
        if image.workspace != own {
            let message = format!(
                "the image in dist/ is of workspace {}, and this checkout is {own}",
                image.workspace
            );
            return Err(Error::new(Kind::Ledger, message).hint("run `cargo xtask image`"));
        }
        Ok(Setting { workspace, store, lock, image })
    }

    /// The smoke test of `cluster` as `engine` starts it.
    pub fn job(&self, cluster: &Cluster, place: &Place, engine: Engine, limits: Limits) -> Job {
        let reach = match engine {
            Engine::Native => Reach::Address,
            Engine::Docker | Engine::Podman => Reach::Name,
        };
        Job::of(cluster, &self.lock, &self.image.workspace, place, reach, limits)
    }

    /// Where logs are kept when nobody says where.
    pub fn logs(&self) -> PathBuf {
        self.workspace.scratch().join("log/cluster")
    }

    /// A new place for a job.
    pub fn place(&self) -> Result<JobPlace> {
        let scratch = self.workspace.scratch();
        fs::create_dir_all(&scratch).at("create", &scratch)?;
        let folder = tempfile::tempdir_in(&scratch).at("create a folder in", &scratch)?;
        let (scripts, out) = (folder.path().join("train"), folder.path().join("out"));
        job::scripts().write(&scripts)?;
        fs::create_dir(&out).at("create", &out)?;
        // In a container of Docker's, user 1000 is nobody whom this folder knows.
        fs::set_permissions(&out, Permissions::from_mode(0o777)).at("set mode of", &out)?;
        let place = Place { root: self.image.root(&self.lock, self.store)?, scripts, out };
        Ok(JobPlace { _folder: folder, place })
    }
}
