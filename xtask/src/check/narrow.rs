//! Which variation is guilty: fewer and fewer at once, until each artifact that differed has
//! its own.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::variation::Variation;
use crate::error::Result;

/// An artifact: op package and file.
pub type Artifact = (String, String);

/// What makes an artifact differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guilt {
    /// Nothing that is varied: it differs each time.
    Itself,
    /// Each of these alone.
    Alone(BTreeSet<Variation>),
    /// These together, no half of them alone.
    Together(BTreeSet<Variation>),
}

type Set = BTreeSet<Variation>;

/// Builds under each of the given sets, at once if it can; for each, the artifacts that differ
/// from the first build.
pub type Try<'a> = dyn FnMut(&[Set]) -> Result<Vec<BTreeSet<Artifact>>> + 'a;

/// Finds what makes each of `artifacts` differ, which differed when all of `varied` was.
pub fn narrow(
    varied: &Set,
    artifacts: &BTreeSet<Artifact>,
    attempt: &mut Try<'_>,
) -> Result<BTreeMap<Artifact, Guilt>> {
    let mut found = BTreeMap::new();
    let none = attempt(&[Set::new()])?.pop().unwrap_or_default();
    for artifact in artifacts.intersection(&none) {
        found.insert(artifact.clone(), Guilt::Itself);
    }
    let rest: BTreeSet<Artifact> = artifacts.difference(&none).cloned().collect();
    halve(varied, &rest, attempt, &mut found)?;
    Ok(found)
}

fn halve(
    varied: &Set,
    artifacts: &BTreeSet<Artifact>,
    attempt: &mut Try<'_>,
    found: &mut BTreeMap<Artifact, Guilt>,
) -> Result<()> {
    if artifacts.is_empty() {
        return Ok(());
    }
    if varied.len() <= 1 {
        artifacts.iter().for_each(|artifact| blame(found, artifact, varied));
        return Ok(());
    }
    let middle = varied.len() / 2;
    let halves: [Set; 2] = [
        varied.iter().take(middle).copied().collect(),
        varied.iter().skip(middle).copied().collect(),
    ];
    let differ = attempt(&halves)?;
    let mut left = artifacts.clone();
    for (half, differ) in halves.iter().zip(&differ) {
        let guilty: BTreeSet<Artifact> = artifacts.intersection(differ).cloned().collect();
        left.retain(|artifact| !guilty.contains(artifact));
        halve(half, &guilty, attempt, found)?;
    }
    for artifact in left {
        found.insert(artifact, Guilt::Together(varied.clone()));
    }
    Ok(())
}

fn blame(found: &mut BTreeMap<Artifact, Guilt>, artifact: &Artifact, varied: &Set) {
    match found.get_mut(artifact) {
        Some(Guilt::Alone(variations)) => variations.extend(varied),
        _ => drop(found.insert(artifact.clone(), Guilt::Alone(varied.clone()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(name: &str) -> Artifact {
        (name.to_owned(), format!("lib{name}.so"))
    }

    #[test]
    fn each_artifact_gets_its_own_guilt_and_builds_are_few() {
        use Variation::*;
        let differs = |set: &Set| {
            let mut differ = BTreeSet::from([artifact("random")]);
            if set.contains(&Zone) || set.contains(&Host) {
                differ.insert(artifact("both"));
            }
            if set.contains(&Order) && set.contains(&Folder) {
                differ.insert(artifact("together"));
            }
            if set.contains(&Cpus) {
                differ.insert(artifact("cpus"));
            }
            differ
        };
        let mut builds = 0;
        let mut attempt = |sets: &[Set]| {
            builds += sets.len();
            Ok(sets.iter().map(differs).collect())
        };
        let all: Set = Variation::ALL.into();
        let found = narrow(&all, &differs(&all), &mut attempt).unwrap();
        assert_eq!(found[&artifact("random")], Guilt::Itself);
        assert_eq!(found[&artifact("both")], Guilt::Alone([Host, Zone].into()));
        assert_eq!(found[&artifact("cpus")], Guilt::Alone([Cpus].into()));
        assert_eq!(found[&artifact("together")], Guilt::Together(all));
        assert!(builds <= 20, "{builds}");
    }

    #[test]
    fn what_one_build_shows_needs_no_second() {
        let mut builds = 0;
        let mut attempt = |sets: &[Set]| {
            builds += sets.len();
            Ok(vec![BTreeSet::from([artifact("x")]); sets.len()])
        };
        let all: Set = Variation::ALL.into();
        narrow(&all, &[artifact("x")].into(), &mut attempt).unwrap();
        assert_eq!(builds, 1);
    }
}
