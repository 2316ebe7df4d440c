//! A smoke test as a value: which tasks, where each is, what each runs.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use crate::cluster::scripts::{self, Scripts};
use crate::cluster::task::{self, Addresses};
use crate::engine::{Mount, Run};
use crate::error::{Error, Kind, Result};
use crate::image::identity::{self, ENTRYPOINT};
use crate::lock::Lock;
use crate::pins::cluster::{Cluster, Cpu, Memory, Role, Strategy};

/// The address of the first task.
const FIRST: u32 = u32::from_be_bytes([10, 0, 0, 2]);

/// A whole cluster, ready to be started.
#[derive(Clone, Debug)]
pub struct Job {
    /// How its tasks train together.
    pub strategy: Strategy,
    /// The workspace that every task must be of.
    pub workspace: String,
    /// Its tasks, by role and index.
    pub tasks: Vec<Task>,
    /// How long it may take.
    pub limits: Limits,
}

/// How long a job may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until every task is up.
    pub up: Duration,
    /// All of it.
    pub all: Duration,
}

/// How tasks reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By address: the native engine's bridge knows no names.
    Address,
    /// By name: Docker chooses the addresses.
    Name,
}

/// One task of a job.
#[derive(Clone, Debug)]
pub struct Task {
    /// `worker 1`.
    pub name: String,
    /// Its host name: `train-worker-1`.
    pub host: String,
    /// Its own address.
    pub address: Ipv4Addr,
    /// By what the others reach it: that address, or its name.
    pub at: String,
    /// Whether it serves until it is told to stop; the others get something done.
    pub serves: bool,
    /// What it may have of this machine.
    pub limit: Limit,
    /// What it runs: the image's entrypoint, and a script.
    pub run: Run,
}

/// What one task may have; without a limit, all there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Processors.
    pub cpu: Option<Cpu>,
    /// Memory; who takes more is killed.
    pub memory: Option<Memory>,
}

/// The host's side of what the tasks see.
#[derive(Clone, Debug)]
pub struct Place {
    /// The image's root, and the mounts that make it whole.
    pub root: (PathBuf, Vec<Mount>),
    /// The scripts, at `/work`.
    pub scripts: PathBuf,
    /// What all tasks may write, at `/out`.
    pub out: PathBuf,
}

/// The tasks of `cluster` that train by `strategy`.
pub fn part(cluster: &Cluster, strategy: Strategy) -> Result<Cluster> {
    let keeps = |role: Role| match strategy {
        Strategy::ParameterServer => true,
        // Beside parameter servers the chief does not train.
        Strategy::MultiWorkerMirrored => {
            role == Role::Worker || role == Role::Chief && cluster.strategy == strategy
        }
    };
    let mut part = cluster.clone();
    part.strategy = strategy;
    part.roles.retain(|role, _| keeps(*role));
    let needed: &[Role] = match strategy {
        Strategy::ParameterServer => &[Role::Chief, Role::Worker, Role::Ps],
        Strategy::MultiWorkerMirrored => &[Role::Worker],
    };
    match needed.iter().find(|role| !part.roles.contains_key(role)) {
        None => Ok(part),
        Some(role) => {
            let message = format!("workspace.toml: a {strategy} job has no `[cluster.{role}]`");
            let hint = "add it, or choose the other `--strategy`";
            Err(Error::new(Kind::Pins, message).hint(hint))
        }
    }
}

impl Job {
    /// The smoke test of `cluster`, all of whose tasks train.
    pub fn of(
        cluster: &Cluster,
        lock: &Lock,
        workspace: &str,
        place: &Place,
        reach: Reach,
        limits: Limits,
    ) -> Job {
        let all = task::all(cluster);
        let address = |at: usize| Ipv4Addr::from(FIRST + u32::try_from(at).unwrap_or(0));
        let places: BTreeMap<_, _> = all
            .iter()
            .enumerate()
            .map(|(at, task)| ((task.role, task.index), address(at)))
            .collect();
        let host = |task: &task::Task<'_>| match reach {
            Reach::Address => places[&(task.role, task.index)].to_string(),
            Reach::Name => task.name(cluster),
        };
        let addresses = Addresses::of(cluster, host);
        let tasks = all.iter().map(|task| {
            let config = addresses.tf_config(task.role, task.index);
            let mut run = place.run(lock, script(cluster.strategy));
            let own = task.of.environment.iter();
            run.env.extend(own.map(|(name, value)| (name.to_string(), value.to_string())));
            run.env.insert("TF_CONFIG".to_owned(), config);
            run.env.insert("LOCKSTEP_WORKSPACE_ID".to_owned(), workspace.to_owned());
            let ours = scripts().digest().map(|d| (scripts::VARIABLE.to_owned(), d.to_string()));
            run.env.extend(ours);
            Task {
                name: task.to_string(),
                host: task.name(cluster),
                address: places[&(task.role, task.index)],
                at: host(task),
                serves: cluster.strategy == Strategy::ParameterServer
                    && matches!(task.role, Role::Worker | Role::Ps),
                limit: Limit { cpu: task.of.cpu, memory: task.of.memory },
                run,
            }
        });
        let (strategy, workspace) = (cluster.strategy, workspace.to_owned());
        Job { strategy, workspace, tasks: tasks.collect(), limits }
    }
}

fn script(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::ParameterServer => "/work/ps.py",
        Strategy::MultiWorkerMirrored => "/work/mw.py",
    }
}

impl Place {
    /// A script, started as a container of the image would start it.
    fn run(&self, lock: &Lock, script: &str) -> Run {
        let start = identity::start(lock);
        let (root, mut mounts) = self.root.clone();
        let scripts =
            Mount::ReadOnly { source: self.scripts.clone(), target: scripts::PLACE.to_owned() };
        let out = Mount::ReadWrite { source: self.out.clone(), target: "/out".to_owned() };
        mounts.extend([scripts, out]);
        let argv = [&format!("/{ENTRYPOINT}"), "python3", script].map(str::to_owned).into();
        Run { root, mounts, argv, env: start.env, cwd: start.folder }
    }
}

/// What the tasks run: no part of the image.
pub fn scripts() -> Scripts {
    Scripts::of([
        ("mw.py", include_str!("../train/mw.py")),
        ("ps.py", include_str!("../train/ps.py")),
        ("samples.py", include_str!("../train/samples.py")),
        ("task.py", include_str!("../train/task.py")),
    ])
}
