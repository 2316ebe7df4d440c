//! Who watches the tasks: TensorFlow does not.
//!
//! A coordinator waits for a dead worker for ever, and op libraries of other code train on to
//! other weights. Here every line and every end of every task comes together, and the first
//! thing that is wrong ends the job, by the name of its task. No clock, no process: events go
//! in, a verdict comes out.

use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::pins::cluster::{Memory, Strategy};

use super::job::{Job, Limits};
pub use super::seen::{Seen, Stage};

/// Something that a task did.
#[derive(Debug)]
pub enum Event {
    /// It wrote a line.
    Line(String),
    /// It ended, before anybody told it to.
    Ended {
        /// `exit code 1`.
        how: String,
        /// Its limit, when it was killed because it had no more memory.
        starved: Option<Memory>,
    },
    /// It could not be started, or was interrupted.
    Failed(Error),
}

/// All tasks of a job, as they are seen.
#[derive(Debug)]
pub struct Watch {
    /// By place in [`Job::tasks`].
    pub tasks: Vec<Seen>,
    strategy: Strategy,
    workspace: String,
    limits: Limits,
}

impl Watch {
    /// Nobody has done anything yet.
    pub fn of(job: &Job) -> Self {
        let (strategy, workspace, limits) = (job.strategy, job.workspace.clone(), job.limits);
        Watch { tasks: job.tasks.iter().map(Seen::of).collect(), strategy, workspace, limits }
    }

    /// Task `at` did something at `now`; returns a line for people, if that is news, and an
    /// error when the job cannot go on.
    pub fn note(&mut self, at: usize, event: Event, now: Duration) -> Result<Option<String>> {
        match event {
            Event::Line(line) => self.tasks[at].line(&line, &self.workspace, now),
            Event::Failed(error) => match error.kind() {
                Kind::Interrupted | Kind::Terminated => Err(error),
                _ => Err(error.context(&self.tasks[at].place)),
            },
            Event::Ended { how, starved } => {
                let began = self.began();
                let task = &mut self.tasks[at];
                task.ended.get_or_insert(now);
                match task.stage {
                    Stage::Done => Ok(None),
                    _ => Err(task.death(&how, starved, began)),
                }
            }
        }
    }

    /// Whether any task has trained a step.
    pub fn began(&self) -> bool {
        self.tasks.iter().any(|task| task.steps > 0)
    }

    /// What is wrong by `now` alone.
    pub fn overdue(&self, now: Duration) -> Result<()> {
        let late = |limit: Duration, who: Vec<&Seen>, what: &str| {
            let names: Vec<&str> = who.iter().map(|task| &*task.place).collect();
            let message = format!("{} {what} within {} s", names.join(", "), limit.as_secs());
            let error = Error::new(Kind::Tool, message);
            who.iter().fold(error, |error, task| error.hint(task.last_words()))
        };
        let down: Vec<&Seen> = self.tasks.iter().filter(|task| task.up.is_none()).collect();
        if now > self.limits.up && !down.is_empty() {
            return Err(late(self.limits.up, down, "did not come up"));
        }
        if now > self.limits.all {
            let left = self.tasks.iter().filter(|task| !task.serves && task.ended.is_none());
            return Err(late(self.limits.all, left.collect(), "did not get done"));
        }
        Ok(())
    }

    /// Whether every task that does not only serve is done.
    pub fn is_done(&self) -> bool {
        self.tasks.iter().all(|task| task.serves || task.stage == Stage::Done)
    }

    /// What all tasks together must show at the end.
    pub fn agree(&self) -> Result<()> {
        if self.strategy == Strategy::ParameterServer {
            return Ok(());
        }
        let weights = self.tasks.iter().map(|task| (task, task.results.get("weights")));
        let weights: Vec<_> = weights.collect();
        let Some((_, first)) = weights.first() else { return Ok(()) };
        match weights.iter().find(|(_, found)| found != first || found.is_none()) {
            None => Ok(()),
            Some((task, found)) => {
                let none = "none".to_owned();
                let message = format!(
                    "{} ended with other weights: expected {}, found {}",
                    task.place,
                    first.unwrap_or(&none),
                    found.unwrap_or(&none)
                );
                Err(Error::new(Kind::Tool, message).hint(
                    "one of the tasks computes something else: `lockstep-check` in each container reads every file",
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests;
