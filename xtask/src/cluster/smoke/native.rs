//! A job on the native engine: a process tree and a network namespace a task, on one bridge.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::engine::native::bridge::Bridge;
use crate::engine::{Log, Native, Output};
use crate::error::Result;
use crate::interrupt;

use super::group::{Control, Group};
use super::job::{Job, Task};
use super::watch::{Event, Watch};

/// How often the clock is looked at while all tasks are silent.
const TICK: Duration = Duration::from_millis(100);

/// What a task did, by its place in the job.
pub type Events = Receiver<(usize, Event)>;

/// A job that ended well.
#[derive(Debug)]
pub struct Ended {
    /// What was seen of its tasks.
    pub watch: Watch,
    /// How long it took.
    pub took: Duration,
    /// What came of the tasks' limits: `cpu as pinned`, `memory skipped: …`.
    pub limits: String,
}

/// Carries `job` out; its tasks' logs go to the folder `logs`, news to `say`. Nothing of it
/// runs afterwards, however it ends.
pub fn carry_out(
    job: &Job,
    native: &Native,
    logs: &Path,
    say: &mut dyn FnMut(&str),
) -> Result<Ended> {
    let (bridge, control) = (Bridge::new(native)?, Control::find());
    let groups = job.tasks.iter().map(|task| control.group(&task.host, task.limit));
    let groups = groups.collect::<Result<Vec<_>>>()?;
    let (stop, start) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        let (sender, events) = channel();
        for (at, (task, group)) in job.tasks.iter().zip(&groups).enumerate() {
            let engine = native.on(&bridge, task.address, &task.host).within(group.entrances());
            let (sender, stop) = (sender.clone(), &stop);
            scope.spawn(move || {
                let tell = |event| drop(sender.send((at, event))); // or nobody listens any more
                run(&engine, task, &logs.join(file(task)), stop, group, &tell);
            });
        }
        drop(sender);
        let mut watch = Watch::of(job);
        let verdict = follow(&mut watch, &events, start, say);
        let took = start.elapsed();
        stop.store(true, Ordering::Relaxed);
        for (at, event) in events {
            let _told_to_stop = watch.note(at, event, start.elapsed());
        }
        verdict.map(|()| Ended { watch, took, limits: control.said(job) })
    })
}

/// The log of a task: `worker-1.log`.
pub fn file(task: &Task) -> String {
    format!("{}.log", task.name.replace(' ', "-"))
}

/// Runs one task to its end.
fn run(
    engine: &Native,
    task: &Task,
    log: &Path,
    stop: &AtomicBool,
    group: &Group,
    tell: &dyn Fn(Event),
) {
    let mut on_line = |line: &str| tell(Event::Line(line.to_owned()));
    let log = Log { on_line: Some(&mut on_line), stop: Some(stop), ..Log::at(log) };
    tell(match engine.run(&task.run, Output::Log(log)) {
        Ok(outcome) => Event::Ended { how: outcome.end.to_string(), starved: group.starved() },
        Err(error) => Event::Failed(error),
    });
}

/// Watches until the job is done; an error is the first thing that is wrong.
pub fn follow(
    watch: &mut Watch,
    events: &Events,
    start: Instant,
    say: &mut dyn FnMut(&str),
) -> Result<()> {
    loop {
        match events.recv_timeout(TICK) {
            Ok((at, event)) => {
                if let Some(news) = watch.note(at, event, start.elapsed())? {
                    say(&news);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        interrupt::check()?;
        watch.overdue(start.elapsed())?;
        if watch.is_done() {
            return watch.agree();
        }
    }
}
