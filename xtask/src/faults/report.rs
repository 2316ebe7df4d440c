//! What was killed and what was found.

use std::fmt;

use serde::Serialize;

use super::Stage;
use crate::error::{Error, Kind, Result};

/// One way of killing one stage.
#[derive(Debug, Serialize)]
pub struct Row {
    stage: Stage,
    /// `random times`, `system calls`, `failing calls` or `power loss`.
    at: &'static str,
    /// Victims that were killed, or met an error.
    pub hits: u32,
    /// Of these, those that left all as before.
    pub old: u32,
    /// Of these, those that had done all.
    pub new: u32,
    /// Of these, those that left some files old and some new, each whole.
    pub between: u32,
    /// Each bad state and how to get it again.
    pub bad: Vec<String>,
    /// Why nothing was done.
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
        Row { stage, at, hits: 0, old: 0, new: 0, between: 0, bad, skipped }
    }
}

impl Report {
    /// Number of bad states.
    pub fn bad(&self) -> usize {
        self.rows.iter().map(|row| row.bad.len()).sum()
    }

    /// Number of victims.
    pub fn hits(&self) -> u32 {
        self.rows.iter().map(|row| row.hits).sum()
    }

    /// Prints the sum, or all of it as JSON.
    pub fn print(&self, json: bool) -> Result<()> {
        if json {
            let text = serde_json::to_string_pretty(self)
                .map_err(|cause| Error::new(Kind::Io, cause.to_string()))?;
            println!("{text}");
        } else {
            println!("{} victims, {} bad states (seed {})", self.hits(), self.bad(), self.seed);
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
        let Row { hits, old, new, between, bad, .. } = self;
        write!(f, "{hits:5} victims: {old} left the old, {new} the new, {between} some of each; ")?;
        write!(f, "{} bad", bad.len())?;
        bad.iter().take(5).try_for_each(|bad| write!(f, "\n  {bad}"))
    }
}
