//! `cargo xtask verify WHAT`: is this what the lock and the committed ledger say?
//!
//! Everything is computed anew from the bytes that are there: [`bundle`] finds them,
//! [`stream`] reads layers, [`image`], [`tree`] and [`wheel`] compare. Each difference is a
//! line: what it is, what it means for a job, what to do.

pub mod around;
pub mod bundle;
pub mod command;
pub mod expected;
pub mod image;
pub mod stream;
pub mod tree;
pub mod wheel;

use std::fmt;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What differs: expected and found.
    pub what: String,
    /// What that means for a job.
    pub means: &'static str,
    /// What to do.
    pub todo: &'static str,
}

impl Finding {
    /// A difference.
    pub fn new(what: impl Into<String>, means: &'static str, todo: &'static str) -> Self {
        Finding { what: what.into(), means, todo }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.what, self.means, self.todo)
    }
}
