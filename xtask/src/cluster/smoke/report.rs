//! What a smoke test showed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::progress::bytes;

use super::job::Job;
use super::native::{Ended, file};
use super::seen::Seen;

/// A job that ended well.
#[derive(Debug, Serialize)]
pub struct Report {
    /// How its tasks trained together.
    pub strategy: String,
    /// What ran it.
    pub engine: String,
    /// Digest of the image's manifest: every task's.
    pub image: String,
    /// The workspace id: every task's.
    pub workspace: String,
    /// From the first task's start to the last one's end.
    pub seconds: f64,
    /// What came of the tasks' limits.
    pub limits: String,
    /// By role and index.
    pub tasks: Vec<Line>,
}

/// One task.
#[derive(Debug, Serialize)]
pub struct Line {
    /// `worker 1`.
    pub task: String,
    /// Its own.
    pub address: String,
    /// What its entrypoint said of its build.
    pub identity: String,
    /// From the job's start until it was up.
    pub up_seconds: Option<f64>,
    /// From the job's start until it ended or was told to.
    pub seconds: f64,
    /// The most memory that it had.
    pub peak_bytes: Option<u64>,
    /// How many steps it trained.
    pub steps: u64,
    /// What came out, by name.
    pub results: BTreeMap<String, String>,
    /// All that it wrote.
    pub log: PathBuf,
}

impl Report {
    /// The report of `job`, as it was seen.
    pub fn of(job: &Job, ended: &Ended, engine: &str, image: &str, logs: &Path) -> Self {
        let Ended { watch, took, limits } = ended;
        let seconds = |time: Duration| (time.as_secs_f64() * 10.0).round() / 10.0;
        let line = |(task, seen): (_, &Seen)| {
            let task: &super::job::Task = task;
            Line {
                task: task.name.clone(),
                address: task.at.clone(),
                identity: seen.identity.clone().unwrap_or_default(),
                up_seconds: seen.up.map(seconds),
                seconds: seconds(seen.ended.unwrap_or(*took)),
                peak_bytes: seen.peak,
                steps: seen.steps,
                results: seen.results.clone(),
                log: logs.join(file(task)),
            }
        };
        Report {
            strategy: job.strategy.to_string(),
            engine: engine.to_owned(),
            image: image.to_owned(),
            workspace: job.workspace.clone(),
            seconds: seconds(*took),
            limits: limits.clone(),
            tasks: job.tasks.iter().zip(&watch.tasks).map(line).collect(),
        }
    }
}

/// A line a task, and what they share in the last.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.tasks.iter().map(|line| line.address.len()).max().unwrap_or(0).max(7);
        writeln!(
            f,
            "{:<12} {:<width$} {:>7} {:>7} {:>7} {:>6}",
            "task", "address", "up", "end", "peak", "steps"
        )?;
        for line in &self.tasks {
            let up = line.up_seconds.map_or("-".to_owned(), |up| format!("{up:.1} s"));
            let peak = line.peak_bytes.map_or("-".to_owned(), bytes);
            let end = format!("{:.1} s", line.seconds);
            write!(
                f,
                "{:<12} {:<width$} {up:>7} {end:>7} {peak:>7} {:>6}",
                line.task, line.address, line.steps
            )?;
            for (name, value) in &line.results {
                write!(f, "  {name} {}", value.get(..12).unwrap_or(value))?;
            }
            writeln!(f)?;
        }
        if !self.limits.is_empty() {
            writeln!(f, "limits: {}", self.limits)?;
        }
        write!(
            f,
            "{}: {} tasks of workspace {} trained, {:.1} s",
            self.strategy,
            self.tasks.len(),
            self.workspace.get(..12).unwrap_or(&self.workspace),
            self.seconds
        )
    }
}
