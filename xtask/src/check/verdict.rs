//! What the builds say together: equal or not, and why not.

use std::collections::BTreeSet;

use serde::Serialize;

use super::builds::Made;
use super::narrow::{Artifact, Guilt};
use crate::cause::{self, Cause, Difference, Known};
use crate::digest::Sha256;
use crate::error::Result;
use crate::ledger::digests::ALL;

/// One artifact in all builds.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Op package, or `*`.
    pub package: String,
    /// File name.
    pub file: String,
    /// Its digest in each build, in their order; none where it did not come out.
    pub sha256: Vec<Option<Sha256>>,
    /// In what the first build and the first that differs from it differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// Other artifacts that are in this one and explain it wholly.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub follows: Vec<String>,
    /// Which variation is guilty, when that was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guilt: Option<Guilt>,
}

impl Verdict {
    /// Whether all builds made the same.
    pub fn equal(&self) -> bool {
        self.sha256.windows(2).all(|two| two[0] == two[1])
    }

    /// Op package and file.
    pub fn artifact(&self) -> Artifact {
        (self.package.clone(), self.file.clone())
    }

    /// `image_ops: libimage_ops.so`; an artifact of all ops by its file alone.
    pub fn name(&self) -> String {
        match self.package.as_str() {
            ALL => self.file.clone(),
            package => format!("{package}: {}", self.file),
        }
    }
}

/// Compares all builds with the first.
pub fn verdicts(builds: &[Made]) -> Result<Vec<Verdict>> {
    let digests: Vec<_> = builds.iter().map(Made::digests).collect();
    let all: BTreeSet<&Artifact> = digests.iter().flat_map(|digests| digests.keys()).collect();
    let mut verdicts = Vec::new();
    for artifact in all {
        let sha256: Vec<_> = digests.iter().map(|digests| digests.get(artifact).copied()).collect();
        let other = sha256.iter().position(|digest| *digest != sha256[0]);
        let differences = match other {
            Some(other) => differences(&builds[0], &builds[other], artifact)?,
            None => Vec::new(),
        };
        let (package, file) = artifact.clone();
        let (follows, guilt) = (Vec::new(), None);
        verdicts.push(Verdict { package, file, sha256, differences, follows, guilt });
    }
    follow(&mut verdicts);
    Ok(verdicts)
}

fn differences(one: &Made, other: &Made, artifact: &Artifact) -> Result<Vec<Difference>> {
    let (ours, theirs) = (one.digests(), other.digests());
    if !ours.contains_key(artifact) || !theirs.contains_key(artifact) {
        let there = |there: bool| if there { "there".to_owned() } else { String::new() };
        return Ok(vec![Difference {
            place: vec![artifact.1.clone()],
            offset: None,
            cause: Cause::Presence,
            one: there(ours.contains_key(artifact)),
            other: there(theirs.contains_key(artifact)),
        }]);
    }
    let times = one.times.iter().chain(&other.times).cloned().collect();
    let known = Known { marks: other.plan.conditions.marks(), times };
    let (ours, theirs) = (one.read(artifact)?, other.read(artifact)?);
    Ok(cause::compare_knowing(&artifact.1, &ours, &theirs, &known))
}

/// What differs in the ops wheel only because a library in it does is told once.
fn follow(verdicts: &mut [Verdict]) {
    let libraries: Vec<String> = verdicts
        .iter()
        .filter(|verdict| verdict.package != ALL && !verdict.equal())
        .map(|verdict| verdict.file.clone())
        .collect();
    for verdict in verdicts.iter_mut().filter(|verdict| verdict.package == ALL) {
        let of = |difference: &Difference| {
            let member = difference.place.get(1)?;
            libraries.iter().find(|library| member.ends_with(&format!("/{library}"))).cloned()
        };
        let record = |difference: &Difference| {
            difference.place.get(1).is_some_and(|member| member.ends_with("dist-info/RECORD"))
        };
        let follows: BTreeSet<String> = verdict.differences.iter().filter_map(of).collect();
        verdict.differences.retain(|d| of(d).is_none());
        if !follows.is_empty() && verdict.differences.iter().all(record) {
            verdict.differences.clear();
        }
        verdict.follows = follows.into_iter().collect();
    }
}
