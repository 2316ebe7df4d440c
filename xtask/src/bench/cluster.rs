//! The smoke test's cluster, against the same scripts started by hand: plain processes on one
//! loopback, without entrypoint, containers and bridge.

use std::time::Duration;

use crate::cluster::smoke::job::{Job, Limits, part};
use crate::cluster::smoke::{self, native};
use crate::engine::{Engine, Log, Native, Output};
use crate::error::{Error, Kind, Result};
use crate::pins::cluster::Strategy;

use super::pair::{pairs, timed};
use super::row::{Row, Unit};
use super::setting::Setting;

/// What no start takes.
const LONG: Duration = Duration::from_secs(900);
/// A task that has nothing to do.
const NOTHING: &str = "print('@ up\\n@ done', flush=True); import time; time.sleep(900)";
/// Starts all tasks as a person would, and ends when those that get something done are done.
const HAND: &str = "\
import json, os, re, subprocess, sys, threading
def start(task):
  local = lambda found: f'127.0.0.1:{20000 + int(found[1])}'
  config = re.sub(r'10\\.0\\.0\\.(\\d+):\\d+', local, task['config'])
  heard = subprocess.DEVNULL if task['serves'] else subprocess.PIPE
  return subprocess.Popen(task['argv'], env={**os.environ, 'TF_CONFIG': config},
                          stdout=heard, stderr=subprocess.DEVNULL, text=True)
def wait(process):
  if not any(line.startswith('@ done') for line in process.stdout):
    os._exit(1)
started = [start(task) for task in json.loads(sys.argv[1])]
waiting = [threading.Thread(target=wait, args=[one]) for one in started if one.stdout]
for thread in waiting: thread.start()
for thread in waiting: thread.join()
for process in started: process.kill()
";

/// Real training, and starting and ending alone.
pub fn cluster(setting: &Setting<'_>) -> Result<Vec<Row>> {
    const TRAINS: &str = "`cluster smoke`, 7 tasks, parameter servers / the scripts by hand";
    const STARTS: &str = "7 tasks that do nothing - 7 processes that do nothing";
    let smoke = match smoke::Setting::open(setting.workspace, setting.store) {
        Ok(smoke) => smoke,
        Err(why) => {
            let skipped =
                |name, what, unit, bound| Row::skipped(name, what, why.message(), unit, bound);
            return Ok(vec![
                skipped("cluster", TRAINS, Unit::Times, 1.5),
                skipped("cluster-start", STARTS, Unit::Over, 1.4),
            ]);
        }
    };
    let measure = |idle: bool| {
        pairs(
            setting.runs,
            |_| with_job(setting, &smoke, idle, by_us),
            |_| with_job(setting, &smoke, idle, by_hand),
        )
    };
    Ok(vec![
        Row::of_pairs("cluster", TRAINS, &measure(false)?, Unit::Times, 1.5),
        // 200 ms a task.
        Row::of_pairs("cluster-start", STARTS, &measure(true)?, Unit::Over, 1.4),
    ])
}

/// Times `work` on a job in a place of its own.
fn with_job(
    setting: &Setting<'_>,
    smoke: &smoke::Setting<'_>,
    idle: bool,
    work: fn(&Setting<'_>, &Job) -> Result<()>,
) -> Result<Duration> {
    let cluster = part(&crate::cluster::load(setting.workspace)?, Strategy::ParameterServer)?;
    let place = smoke.place()?;
    let limits = Limits { up: LONG, all: LONG };
    let mut job = smoke.job(&cluster, &place.place, Engine::Native, limits);
    if idle {
        for task in &mut job.tasks {
            task.run.argv.truncate(2);
            task.run.argv.extend(["-c", NOTHING].map(str::to_owned));
        }
    }
    timed(|| work(setting, &job))
}

fn by_us(setting: &Setting<'_>, job: &Job) -> Result<()> {
    let logs = setting.place.fresh("cluster-logs")?;
    native::carry_out(job, &Native::default(), &logs, &mut |_| {}).map(drop)
}

fn by_hand(setting: &Setting<'_>, job: &Job) -> Result<()> {
    let task = |task: &crate::cluster::smoke::job::Task| {
        let (argv, config) = (&task.run.argv[1..], &task.run.env["TF_CONFIG"]);
        serde_json::json!({ "argv": argv, "config": config, "serves": task.serves })
    };
    let tasks: Vec<_> = job.tasks.iter().map(task).collect();
    let tasks = serde_json::Value::from(tasks).to_string();
    let mut run = job.tasks[0].run.clone();
    run.argv = ["/usr/bin/python3", "-c", HAND, &tasks].map(str::to_owned).into();
    let log = setting.place.fresh("cluster-logs")?.join("hand.log");
    let outcome = Engine::Native.run(&run, Output::Log(Log::at(&log)))?;
    match outcome.success() {
        true => Ok(()),
        false => Err(Error::new(Kind::Tool, format!("the scripts by hand fail: {outcome}"))
            .hint(format!("the log is `{}`", log.display()))),
    }
}
