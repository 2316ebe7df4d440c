//! `cargo xtask cluster smoke`, for real: whole clusters of the image in `dist/`, and what may
//! happen to them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use xtask::cluster::render;
use xtask::cluster::smoke::group::Control;
use xtask::cluster::smoke::job::{Job, Limits, part};
use xtask::cluster::smoke::watch::Watch;
use xtask::cluster::smoke::{JobPlace, Setting, native};
use xtask::engine::native::bridge::Bridge;
use xtask::engine::{Engine, Log, Native, Output};
use xtask::error::Result;
use xtask::pins::cluster::{Role, Strategy};
use xtask::store::Store;
use xtask::workspace::Workspace;

use crate::machine;

pub fn checkout() -> Workspace {
    Workspace::at(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
}

/// Whether there is an image; where there is none, the test says that it is skipped.
pub fn image() -> bool {
    let there = checkout().dist().join("image/oci").is_dir();
    if !there {
        assert!(std::env::var_os("CI").is_none(), "no dist/image: `cargo xtask ci` makes it");
        machine::skip("no dist/image: `cargo xtask image` makes it");
    }
    there
}

/// A job of this checkout's own cluster, and where its tasks are.
pub struct Case {
    pub job: Job,
    pub place: JobPlace,
    logs: tempfile::TempDir,
}

impl Case {
    /// Of the whole cluster, but with so many workers and parameter servers.
    pub fn new(strategy: Strategy, counts: &[(Role, u32)]) -> Case {
        let workspace = checkout();
        let store = Store::from_env(|name| std::env::var_os(name)).unwrap();
        let setting = Setting::open(&workspace, &store).unwrap();
        let cluster = xtask::cluster::load(&workspace).unwrap();
        let mut cluster = part(&cluster, strategy).unwrap();
        for (role, count) in counts {
            cluster.roles.get_mut(role).unwrap().count = *count;
        }
        cluster.roles.retain(|_, tasks| tasks.count > 0);
        let place = setting.place().unwrap();
        let limits = Limits { up: Duration::from_secs(300), all: Duration::from_secs(900) };
        let job = setting.job(&cluster, &place.place, Engine::Native, limits);
        Case { job, place, logs: tempfile::tempdir().unwrap() }
    }

    /// Carries the job out; `on_news` hears what the tasks do.
    pub fn run(&self, mut on_news: impl FnMut(&str)) -> Result<Watch> {
        let native = Native::with(env!("CARGO_BIN_EXE_xtask"));
        native::carry_out(&self.job, &native, self.logs.path(), &mut on_news)
            .map(|ended| ended.watch)
    }

    /// Runs all tasks as they are, watched by nobody, until the first says `words` or ends;
    /// whether it said them.
    pub fn unwatched(&self, words: &str) -> bool {
        let native = Native::with(env!("CARGO_BIN_EXE_xtask"));
        let bridge = Bridge::new(&native).unwrap();
        let (stop, said) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for (at, task) in self.job.tasks.iter().enumerate() {
                let (engine, stop) = (native.on(&bridge, task.address, &task.host), &stop);
                let (log, said) = (self.logs.path().join(native::file(task)), &said);
                scope.spawn(move || {
                    let mut hear = |line: &str| {
                        if at == 0 && line.contains(words) {
                            said.store(true, Ordering::Relaxed);
                            stop.store(true, Ordering::Relaxed);
                        }
                    };
                    let limit = Some(Duration::from_secs(300));
                    let log =
                        Log { on_line: Some(&mut hear), stop: Some(stop), limit, ..Log::at(&log) };
                    let _stopped = engine.run(&task.run, Output::Log(log));
                    if at == 0 {
                        stop.store(true, Ordering::Relaxed);
                    }
                });
            }
        });
        said.into_inner()
    }

    /// What task `name` wrote.
    pub fn log(&self, name: &str) -> String {
        let path = self.logs.path().join(format!("{}.log", name.replace(' ', "-")));
        fs::read_to_string(path).unwrap_or_default()
    }

    /// Lets every task run this Python program, by the entrypoint, instead of its script.
    pub fn all_run(&mut self, program: &str) {
        self.job.tasks.iter_mut().for_each(|task| {
            task.run.argv.truncate(2);
            task.run.argv.extend(["-c".to_owned(), program.to_owned()]);
        });
    }
}

/// The command line of a smoke test, and its report.
pub fn smoke(strategy: &str, engine: &str, host: &str) -> serde_json::Value {
    let logs = tempfile::tempdir().unwrap();
    let output = duct::cmd!(
        env!("CARGO_BIN_EXE_xtask"),
        "cluster",
        "smoke",
        "--json",
        "--strategy",
        strategy,
        "--engine",
        engine,
        "--limit",
        "300",
        "--keep-logs",
        logs.path()
    )
    .dir(checkout().root())
    .env("DOCKER_HOST", host)
    .stdout_capture()
    .stderr_capture()
    .unchecked()
    .run()
    .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for task in report["tasks"].as_array().unwrap() {
        let identity = task["identity"].as_str().unwrap();
        let name = task["task"].as_str().unwrap();
        let host = format!("host train-{}", name.replace(' ', "-"));
        assert!(
            identity.contains(&format!("role {name}")) && identity.ends_with(&host),
            "{identity}"
        );
        assert!(identity.contains(report["workspace"].as_str().unwrap()), "{identity}");
        assert!(task["peak_bytes"].as_u64() > Some(100 << 20), "{task}");
        assert!(Path::new(task["log"].as_str().unwrap()).starts_with(logs.path()), "{task}");
    }
    report
}

fn loss(task: &serde_json::Value) -> f64 {
    task["results"]["loss"].as_str().unwrap().parse().unwrap()
}

/// A coordinator, three workers that decode pictures, two parameter servers with a table each
/// that update it themselves, an evaluator that reads what was saved.
#[test]
fn a_parameter_server_cluster_trains() {
    if !image() {
        return;
    }
    let report = smoke("ps", "native", "");
    let tasks = report["tasks"].as_array().unwrap();
    let names: Vec<_> = tasks.iter().map(|task| task["task"].as_str().unwrap()).collect();
    let expected = ["chief 0", "worker 0", "worker 1", "worker 2", "ps 0", "ps 1", "evaluator 0"];
    assert_eq!(names, expected);
    assert_eq!(tasks[0]["steps"], 200);
    assert!(loss(&tasks[0]) < 0.05 && loss(&tasks[6]) < 0.1, "{report}");
    let trained: u64 = tasks[1..4].iter().map(|task| task["steps"].as_u64().unwrap()).sum();
    assert!(trained > 0, "no worker told of a step of its own: {report}");
}

/// Twice: the weights are those of the first run, bit for bit, or the command says no.
#[test]
fn mirrored_workers_hold_the_same_weights_in_every_run() {
    if !image() {
        return;
    }
    let weights = |report: serde_json::Value| {
        let tasks = report["tasks"].as_array().unwrap().clone();
        assert_eq!(tasks.len(), 3);
        let weights =
            tasks.iter().map(|task| task["results"]["weights"].as_str().unwrap().to_owned());
        weights.collect::<std::collections::BTreeSet<_>>()
    };
    let first = weights(smoke("mw", "native", ""));
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(first, weights(smoke("mw", "native", "")));
}

#[test]
fn a_task_that_never_comes_up_is_named() {
    if !image() {
        return;
    }
    let counts = [(Role::Worker, 2), (Role::Ps, 1), (Role::Evaluator, 0)];
    let mut case = Case::new(Strategy::ParameterServer, &counts);
    case.all_run("print('@ up', flush=True); import time; time.sleep(600)");
    let late = &mut case.job.tasks[2];
    assert_eq!(late.name, "worker 1");
    late.run.argv[3] =
        "print('looks for its data', flush=True); import time; time.sleep(600)".into();
    case.job.limits.up = Duration::from_secs(60);
    insta::assert_snapshot!(case.run(|_| {}).unwrap_err(), @r"
    error: worker 1 (10.0.0.4) did not come up within 60 s
    hint: the last that worker 1 said: looks for its data
    ");
}

/// The chief of such a job waits for ever.
#[test]
fn a_worker_that_dies_in_the_middle_ends_the_job() {
    if !image() {
        return;
    }
    let counts = [(Role::Worker, 1), (Role::Ps, 1), (Role::Evaluator, 0)];
    let mut case = Case::new(Strategy::ParameterServer, &counts);
    case.job.tasks[0].run.env.insert("STEPS".into(), "1000000".into());
    case.job.tasks[1].run.argv[2] = "-c".into();
    case.job.tasks[1].run.argv.push(
        "import os, runpy, signal, sys, threading, time\n\
         def die():\n\
         \x20 while not os.path.exists('/out/die'): time.sleep(0.02)\n\
         \x20 os.kill(os.getpid(), signal.SIGKILL)\n\
         threading.Thread(target=die, daemon=True).start()\n\
         sys.path.insert(0, '/work')\n\
         runpy.run_path('/work/ps.py', run_name='__main__')"
            .into(),
    );
    let die = case.place.place.out.join("die");
    let error = case
        .run(|news| {
            if news.starts_with("chief 0: step") && !die.exists() {
                fs::write(&die, "").unwrap();
            }
        })
        .unwrap_err();
    let said = error.message().lines().next().unwrap();
    assert_eq!(said, "worker 0 (10.0.0.3) ended in the middle of training: killed by SIGKILL");
}

/// Where this machine lets nobody make control groups, the summary says so, and there is
/// nothing to see.
#[test]
fn a_worker_that_has_no_more_memory_is_told_its_limit() {
    if !image() {
        return;
    }
    let counts = [(Role::Worker, 1), (Role::Ps, 1), (Role::Evaluator, 0)];
    let mut case = Case::new(Strategy::ParameterServer, &counts);
    let said = Control::find().said(&case.job);
    if !said.contains("memory as pinned") {
        machine::skip(&said);
        return;
    }
    assert_eq!(said, "cpu as pinned, memory as pinned");
    case.all_run("print('@ up', flush=True); import time; time.sleep(600)");
    let greedy = &mut case.job.tasks[1];
    greedy.limit.memory = "64Mi".parse().ok();
    greedy.run.argv[3] = "print('reads', flush=True); all = bytearray(b'x') * (1 << 30)".into();
    insta::assert_snapshot!(case.run(|_| {}).unwrap_err(), @"
    error: worker 0 (10.0.0.3) ended before training began: killed by SIGKILL for want of memory: its limit is 64Mi
      reads
    hint: raise `memory` of its role in `[cluster]`, or let it take less
    ");
}

/// What `cluster render` puts at `/work`, by the pinned command.
#[test]
fn the_workspaces_own_scripts_train() {
    if !image() {
        return;
    }
    let cluster = xtask::cluster::load(&checkout()).unwrap();
    let scripts = render::command::scripts(&checkout(), &cluster).unwrap();
    let counts = [(Role::Worker, 1), (Role::Ps, 1), (Role::Evaluator, 0)];
    let mut case = Case::new(Strategy::ParameterServer, &counts);
    let folder = &case.place.place.scripts;
    fs::remove_dir_all(folder).unwrap();
    scripts.write(folder).unwrap();
    for task in &mut case.job.tasks {
        let command = cluster.roles[&Role::Worker].command.iter().map(ToString::to_string);
        task.run.argv.truncate(1);
        task.run.argv.extend(command);
        let digest = scripts.digest().unwrap().to_string();
        task.run.env.insert(xtask::cluster::scripts::VARIABLE.to_owned(), digest);
    }
    assert!(case.unwatched("step 50 of 50: loss "), "{}", case.log("chief 0"));
}

#[test]
fn a_port_that_is_taken_is_told_by_task() {
    if !image() {
        return;
    }
    let mut case = Case::new(Strategy::ParameterServer, &[]);
    case.all_run("print('@ up', flush=True); import time; time.sleep(600)");
    case.job.tasks[4].run.argv[3] = "import runpy, socket, sys\n\
         taken = socket.socket(); taken.bind(('0.0.0.0', 2222)); taken.listen()\n\
         sys.path.insert(0, '/work')\n\
         runpy.run_path('/work/ps.py', run_name='__main__')"
        .into();
    let error = case.run(|_| {}).unwrap_err();
    let (first, rest) = error.message().split_once('\n').unwrap();
    assert_eq!(first, "ps 0 (10.0.0.6) ended before training began: exit code 1");
    assert!(rest.contains("Could not start gRPC server"), "{rest}\n{}", case.log("ps 0"));
}

/// Processes whose environment has these words: a task's, whatever it calls itself.
fn with_environment(words: &str) -> Vec<PathBuf> {
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|process| process.path());
    let found = processes.filter(|process| {
        fs::read(process.join("environ"))
            .is_ok_and(|text| String::from_utf8_lossy(&text).contains(words))
    });
    found.collect()
}

/// Neither Ctrl-C nor `kill -9` leaves a task or the holder of the bridge behind; with their
/// last process the namespaces and the bridge in them are gone (see also `engine::bridge`).
#[test]
fn a_smoke_test_that_is_stopped_leaves_nothing() {
    if !image() {
        return;
    }
    for (signal, code) in
        [(Signal::SIGINT, Some(130)), (Signal::SIGTERM, Some(143)), (Signal::SIGKILL, None)]
    {
        let logs = tempfile::tempdir().unwrap();
        let xtask = env!("CARGO_BIN_EXE_xtask");
        let arguments = ["cluster", "smoke", "--strategy", "ps", "--keep-logs"];
        let started = duct::cmd(
            xtask,
            arguments.iter().map(Into::into).chain([logs.path().as_os_str().to_owned()]),
        )
        .dir(checkout().root())
        .stdout_null()
        .stderr_capture()
        .unchecked()
        .start()
        .unwrap();
        let pid = started.pids()[0];
        let below = || descendants(pid);
        // A task has TF_CONFIG; the launcher's own processes have an empty environment.
        let tasks = || {
            let tasks = with_environment("TF_CONFIG={");
            let below = below();
            tasks.iter().filter(|task| below.contains(*task)).count()
        };
        machine::wait("all tasks", || tasks() == 7);
        let all = below();
        assert!(all.len() > 7 * 3, "{all:?}");
        kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
        let output = started.wait().unwrap();
        assert_eq!(output.status.code(), code, "{}", String::from_utf8_lossy(&output.stderr));
        machine::wait("the end of all", || all.iter().all(|process| !alive(process)));
    }
}

/// Everything that `pid` started, and what that started.
fn descendants(pid: u32) -> Vec<PathBuf> {
    let parent = |process: &Path| {
        let status = fs::read_to_string(process.join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("PPid:\t"))?;
        line.parse::<u32>().ok()
    };
    let number = |process: &Path| process.file_name()?.to_str()?.parse::<u32>().ok();
    let processes: Vec<(u32, u32, PathBuf)> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|process| {
            Some((number(&process.path())?, parent(&process.path())?, process.path()))
        })
        .collect();
    let mut found = vec![pid];
    let mut at = 0;
    while at < found.len() {
        let of = found[at];
        found.extend(
            processes.iter().filter(|(_, parent, _)| *parent == of).map(|(own, _, _)| *own),
        );
        at += 1;
    }
    found.iter().skip(1).map(|pid| Path::new("/proc").join(pid.to_string())).collect()
}

/// A process that nobody has waited for yet has no memory any more.
fn alive(process: &Path) -> bool {
    fs::read_to_string(process.join("status")).is_ok_and(|status| status.contains("VmSize"))
}
