//! Other people's cluster files: what TensorFlow would refuse, wait for in silence, or train
//! wrongly on. [`document`] reads YAML and JSON, [`manifest`], [`compose`] and [`unit`] find
//! tasks in it, [`config`] reads `TF_CONFIG`, [`rules`] judges, [`report`] prints.

pub mod command;
mod compose;
mod config;
mod document;
mod manifest;
mod report;
mod rules;
mod unit;

use std::sync::Arc;

use crate::digest::Sha256;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// As it was named; `-` is standard input.
    pub file: Arc<str>,
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// Text at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// What it says.
    pub text: String,
    /// Where.
    pub place: Place,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The job fails, hangs or trains wrongly.
    Error,
    /// It may.
    Warning,
}

impl Level {
    /// As SARIF spells it (SARIF 2.1.0, 3.27.10).
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
        }
    }
}

/// What is looked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable: scripts know it.
    pub id: &'static str,
    /// How bad it is.
    pub level: Level,
    /// One sentence of why.
    pub why: &'static str,
    /// What to do.
    pub todo: &'static str,
}

/// One thing that is wrong at one place.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Which rule it breaks.
    pub rule: &'static Rule,
    /// Where.
    pub place: Place,
    /// What was found.
    pub what: String,
}

/// A process that some file starts.
#[derive(Clone, Debug)]
pub struct Task {
    /// What starts it: `StatefulSet train-worker`.
    pub owner: String,
    /// Where it is.
    pub place: Place,
    /// Tasks with one of these are one job, unless their `TF_CONFIG` says more.
    pub job: String,
    /// The image.
    pub image: Option<Text>,
    /// The variables that are set there.
    pub environment: Vec<(String, Text)>,
    /// The role that an operator gives it.
    pub role: Option<Text>,
    /// How many of it there are, where the file says so.
    pub count: Option<u64>,
    /// Ports of the machine that it takes.
    pub ports: Vec<Text>,
}

/// What the workspace says of its own image.
#[derive(Clone, Debug)]
pub struct Own {
    /// `[cluster] image`.
    pub repository: String,
    /// The ledger's.
    pub manifest: Sha256,
    /// Of lock and sources.
    pub workspace_id: Sha256,
}

/// All that was found in some files.
#[derive(Debug, Default)]
pub struct Found {
    /// Documents, units, files of variables.
    pub documents: usize,
    /// Processes that files start.
    pub tasks: Vec<Task>,
    /// `TF_CONFIG`s that stand in files of their own.
    pub configs: Vec<document::Node>,
    /// What was wrong with the files themselves.
    pub findings: Vec<Finding>,
}

impl Found {
    /// Adds what was found in the next file.
    fn append(&mut self, next: Found) {
        self.documents += next.documents;
        self.tasks.extend(next.tasks);
        self.configs.extend(next.configs);
        self.findings.extend(next.findings);
    }
}

/// Reads one file's text into `found`.
pub fn read(file: &str, text: &str, found: &mut Found) {
    let file: Arc<str> = file.into();
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with(['#', ';']));
    let unit =
        first.is_some_and(|line| line.starts_with("[Unit]") || line.starts_with("[Service]"));
    if unit || file.ends_with(".service") {
        found.documents += 1;
        found.tasks.extend(unit::task(&file, text));
    } else if file.ends_with(".env") {
        found.documents += 1;
        found.tasks.push(unit::variables(&file, text));
    } else {
        yaml(&file, text, found);
    }
}

fn yaml(file: &Arc<str>, text: &str, found: &mut Found) {
    let mut walk = document::Walk::default();
    let documents = document::parse(file, text, &mut found.findings);
    found.documents += documents.len();
    for (number, document) in documents.iter().enumerate() {
        if document.get("services").is_some() && document.get("kind").is_none() {
            found.tasks.extend(compose::tasks(document, &mut walk));
        } else if document.get("cluster").is_some() && document.get("kind").is_none() {
            found.configs.push(document.clone());
        } else {
            found.tasks.extend(manifest::tasks(document, number, &mut walk));
        }
    }
    if walk.is_spent() {
        let place = Place { file: file.clone(), line: 1, column: 1 };
        let what = "aliases make it larger than a million items; the rest was not looked at";
        found.findings.push(rules::finding(&rules::HOSTILE, &place, what));
    }
}

/// Everything that is wrong, in the order of the files.
pub fn judge(found: &Found, own: Option<&Own>) -> Vec<Finding> {
    let mut findings = found.findings.clone();
    findings.extend(found.configs.iter().flat_map(|node| config::read(node).1));
    findings.extend(rules::judge(&found.tasks, own));
    findings.sort_by(|a, b| (&a.place, a.rule.id, &a.what).cmp(&(&b.place, b.rule.id, &b.what)));
    findings.dedup_by(|a, b| a.place == b.place && a.rule == b.rule && a.what == b.what);
    findings
}

#[cfg(test)]
mod tests;
