//! Builds that find the guilty variation.

use std::collections::BTreeSet;

use super::builds::{Made, Maker, Plan};
use super::conditions::Conditions;
use super::report::Report;
use super::variation::{Variation, listed};
use super::{narrow, verdict};
use crate::error::Result;
use crate::progress::say;

/// Looks for the variation that makes each unequal artifact differ. These builds use the first
/// one's trees: what differs is made by Bazel.
pub fn bisect(maker: &Maker<'_>, made: &[Made], report: &mut Report) -> Result<()> {
    let first = &made[0];
    let Some(other) = made.iter().find(|made| !first.apart(made).is_empty()) else { return Ok(()) };
    let (mut number, engine) = (0, other.plan.engine);
    let mut attempt = |sets: &[BTreeSet<Variation>]| {
        let mut plans = Vec::new();
        for varied in sets {
            number += 1;
            plans.push(Plan {
                name: format!("bisect-{number}"),
                engine,
                conditions: Conditions {
                    number: other.plan.conditions.number,
                    varied: varied.clone(),
                },
                store: Some(first.store.clone()),
            });
        }
        let names: Vec<String> = plans.iter().map(|plan| plan.name.clone()).collect();
        let made = maker.make(plans)?;
        let apart = made.iter().map(|made| first.apart(made)).collect();
        names.iter().try_for_each(|name| maker.place.clear(name))?;
        Ok(apart)
    };
    let told = report.artifacts.iter().filter(|a| !a.equal() && a.follows.is_empty());
    let artifacts = told.map(verdict::Verdict::artifact).collect();
    say(&format!("check: looking for the guilty among: {}", listed(&other.plan.conditions.varied)));
    let mut guilts = narrow::narrow(&other.plan.conditions.varied, &artifacts, &mut attempt)?;
    for artifact in &mut report.artifacts {
        artifact.guilt = guilts.remove(&artifact.artifact());
    }
    Ok(())
}
