//! What was killed and what was found.

use std::fmt;

use serde::Serialize;

use super::Stage;
use crate::error::{Error, Kind, Result};

/// One way of killing one stage.
#[derive(Debug, Serialize)]
pub struct Row {
    stage: Stage,
    /// `random times` or `system calls`.
    at: &'static str,
    /// Victims that died of SIGKILL.
    pub kills: u32,
    /// Of these, those that left all as before.
    pub old: u32,
    /// Of these, those that had done all.
    pub new: u32,
    /// Of these, those that left some files old and some new, each whole.
    pub between: u32,
    /// Each bad state and how to get it again.
    pub bad: Vec<String>,
    /// Why nothing was killed.
    pub skipped: Option<String>,
}

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Of the random times.
    pub seed: u64,
    /// In the order of the pipeline.
    pub rows: Vec<Row>,
}

impl Row {
    /// A row without kills.
    pub fn new(stage: Stage, at: &'static str) -> Self {
        let (bad, skipped) = (Vec::new(), None);
        Row { stage, at, kills: 0, old: 0, new: 0, between: 0, bad, skipped }
    }
}

impl Report {
    /// Number of bad states.
    pub fn bad(&self) -> usize {
        self.rows.iter().map(|row| row.bad.len()).sum()
    }

    /// Number of kills.
    pub fn kills(&self) -> u32 {
        self.rows.iter().map(|row| row.kills).sum()
    }

    /// Prints the sum, or all of it as JSON.
    pub fn print(&self, json: bool) -> Result<()> {
        if json {
            let text = serde_json::to_string_pretty(self)
                .map_err(|cause| Error::new(Kind::Io, cause.to_string()))?;
            println!("{text}");
        } else {
            println!("{} kills, {} bad states (seed {})", self.kills(), self.bad(), self.seed);
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8} {:13}", self.stage.name(), self.at)?;
        if let Some(why) = &self.skipped {
            return write!(f, "skipped: {why}");
        }
        let Row { kills, old, new, between, bad, .. } = self;
        write!(f, "{kills:5} kills: {old} left the old, {new} the new, {between} some of each; ")?;
        write!(f, "{} bad", bad.len())?;
        bad.iter().take(5).try_for_each(|bad| write!(f, "\n  {bad}"))
    }
}
