//! What is known of one task, by its own words and by how it ended.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::pins::cluster::Memory;

use super::job::Task;

/// Lines of a task's log that are told when it dies without a word for us.
const LAST: usize = 8;
/// Most characters of such a line.
const WIDE: usize = 400;

/// How the entrypoint's line begins.
const IDENTITY: &str = "lockstep: workspace ";

/// How far a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Started; its entrypoint has said nothing yet.
    Started,
    /// Its identity is the cluster's.
    Checked,
    /// It serves, or begins to train.
    Up,
    /// It trains.
    Trains,
    /// It has done what it was to do, and may be told to stop.
    Done,
}

/// What is known of a task.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `worker 1`.
    pub name: String,
    /// `worker 1 (10.0.0.4)`.
    pub place: String,
    /// Whether it serves until it is told to stop.
    pub(super) serves: bool,
    /// How far it is.
    pub stage: Stage,
    /// The line by which its entrypoint says which build it is.
    pub identity: Option<String>,
    /// When it was up, since the start of the job.
    pub up: Option<Duration>,
    /// When it was done or ended, since the start of the job.
    pub ended: Option<Duration>,
    /// The most memory it had, in bytes, as it says itself.
    pub peak: Option<u64>,
    /// How many steps it has trained.
    pub steps: u64,
    /// What came out, by name.
    pub results: BTreeMap<String, String>,
    /// What is wrong, by its own words: `error: …` and `hint: …` lines.
    wrong: Vec<String>,
    last: VecDeque<String>,
}

impl Seen {
    /// It has done nothing yet.
    pub(super) fn of(task: &Task) -> Seen {
        Seen {
            name: task.name.clone(),
            place: format!("{} ({})", task.name, task.at),
            serves: task.serves,
            stage: Stage::Started,
            identity: None,
            up: None,
            ended: None,
            peak: None,
            steps: 0,
            results: BTreeMap::new(),
            wrong: Vec::new(),
            last: VecDeque::new(),
        }
    }

    /// It wrote a line; whatever is news for people comes back.
    pub(super) fn line(
        &mut self,
        line: &str,
        workspace: &str,
        now: Duration,
    ) -> Result<Option<String>> {
        if let Some(words) = line.strip_prefix("@ ") {
            self.is_of(workspace)?;
            return Ok(self.told(words, now));
        }
        if self.identity.is_none() && line.starts_with(IDENTITY) {
            self.identity = Some(line.to_owned());
            self.stage = Stage::Checked;
        } else {
            self.keep(line);
        }
        Ok(None)
    }

    /// What it said last, for whoever wonders why it is late.
    pub(super) fn last_words(&self) -> String {
        match self.last.back() {
            Some(line) => format!("the last that {} said: {line}", self.name),
            None if self.identity.is_some() => {
                format!("{} has said nothing since its build was checked", self.name)
            }
            None => format!("{} has said nothing at all", self.name),
        }
    }

    /// Whether its entrypoint has said that it is of that workspace. Its entrypoint compares
    /// too; but which entrypoint ran, only this shows.
    fn is_of(&self, workspace: &str) -> Result<()> {
        let wrong = |message: String| Error::new(Kind::Tool, message);
        let line = self.identity.as_ref().and_then(|line| line.strip_prefix(IDENTITY));
        let Some(found) = line.and_then(|line| line.split(',').next()) else {
            return Err(wrong(format!("{} did not start by the image's entrypoint", self.place))
                .hint("start the image with its own entrypoint: nothing compared its build"));
        };
        match found == workspace {
            true => Ok(()),
            false => Err(wrong(format!(
                "{} is of another workspace: expected {workspace}, found {found}",
                self.place
            ))),
        }
    }

    /// What a task told us, behind `@ `.
    fn told(&mut self, words: &str, now: Duration) -> Option<String> {
        let mut split = words.split(' ');
        match (split.next()?, split.next()) {
            ("up", None) if self.up.is_none() => {
                self.up = Some(now);
                self.stage = Stage::Up;
                Some(format!("{}: up after {:.1} s", self.name, now.as_secs_f64()))
            }
            ("done", None) => {
                self.ended = Some(now);
                self.stage = Stage::Done;
                Some(format!("{}: done after {:.1} s", self.name, now.as_secs_f64()))
            }
            ("step", Some(number)) => {
                self.steps = self.steps.max(number.parse().unwrap_or(0));
                self.stage = self.stage.max(Stage::Trains);
                Some(format!("{}: {words}", self.name))
            }
            ("result", Some(name)) => {
                let value = split.collect::<Vec<_>>().join(" ");
                self.results.insert(name.to_owned(), value);
                None
            }
            ("peak", Some(bytes)) => {
                self.peak = bytes.parse().ok();
                None
            }
            _ => None,
        }
    }

    fn keep(&mut self, line: &str) {
        let cut: String = line.chars().take(WIDE).collect();
        if line.starts_with("error: ") || line.starts_with("hint: ") {
            self.wrong.push(cut.clone());
        }
        self.last.push_back(cut);
        if self.last.len() > LAST {
            self.last.pop_front();
        }
    }

    /// Why it is dead: by the words of its entrypoint or script, or its last ones.
    pub(super) fn death(&self, how: &str, starved: Option<Memory>, began: bool) -> Error {
        let when = if began { "in the middle of training" } else { "before training began" };
        let mut message = format!("{} ended {when}: {how}", self.place);
        if let Some(limit) = starved {
            message += &format!(" for want of memory: its limit is {limit}");
        }
        let (hints, causes): (Vec<_>, Vec<_>) =
            self.wrong.iter().partition(|line| line.starts_with("hint: "));
        let last: Vec<_> = self.last.iter().collect();
        for line in if causes.is_empty() { &last } else { &causes } {
            message.push_str("\n  ");
            message.push_str(line.strip_prefix("error: ").unwrap_or(line));
        }
        let mut hints: Vec<_> =
            hints.iter().filter_map(|line| line.strip_prefix("hint: ")).collect();
        hints.dedup();
        if starved.is_some() {
            hints.push("raise `memory` of its role in `[cluster]`, or let it take less");
        }
        hints.into_iter().fold(Error::new(Kind::Tool, message), Error::hint)
    }
}
