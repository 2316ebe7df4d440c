//! Which builds are made, and what of them is skipped: a value, before anything is built.

use std::collections::BTreeSet;

use super::builds::Plan;
use super::conditions::Conditions;
use super::report::Skipped;
use super::variation::Variation;
use crate::engine::{self, Engine};
use crate::error::Result;
use crate::progress::say;

/// The engines that are to be had, and those that are not.
pub fn engines(asked: &[Engine]) -> Result<(Vec<Engine>, Vec<Skipped>)> {
    let (mut there, mut skipped, mut last) = (Vec::new(), Vec::new(), None);
    for engine in asked.iter().copied().filter(|engine| !there.contains(engine)).collect::<Vec<_>>()
    {
        match engine::available(engine) {
            Ok(()) if there.contains(&engine) => {}
            Ok(()) => there.push(engine),
            Err(error) => {
                let why = error.message().replace('\n', " ");
                say(&format!("check: skipped: engine {engine}: {why}"));
                skipped.push(Skipped { what: format!("engine {engine}"), why });
                last = Some(error);
            }
        }
    }
    match (there.is_empty(), last) {
        (true, Some(error)) => Err(error.context("nothing is checked")),
        _ => Ok((there, skipped)),
    }
}

/// Takes out of a plan what cannot be varied here, and says so.
pub fn untried(plan: &mut Plan, no_memory: Option<&String>, cpus: usize) -> Vec<Skipped> {
    let mut reasons: Vec<(Variation, String)> = Vec::new();
    if let Some(why) = no_memory {
        reasons.push((Variation::Output, why.clone()));
    }
    if cpus < 2 {
        reasons.push((Variation::Cpus, "there is one processor".to_owned()));
    }
    if plan.engine != Engine::Native {
        let why = format!("the client of {} must be a user whom it knows", plan.engine);
        reasons.push((Variation::User, why));
    }
    if plan.engine == Engine::Docker {
        let why = "its daemon starts the programs, not we".to_owned();
        reasons.push((Variation::Addresses, why));
    }
    let varied = &mut plan.conditions.varied;
    reasons.retain(|(variation, _)| varied.remove(variation));
    let skipped = |(variation, why): (Variation, String)| Skipped {
        what: format!("variation {} (engine {})", variation.name(), plan.engine),
        why,
    };
    reasons.into_iter().map(skipped).collect()
}

/// The first build is as it is; every other is varied, each with values of its own.
pub fn plans(varied: &BTreeSet<Variation>, builds: u32, engines: &[Engine]) -> Vec<Plan> {
    let further = engines.iter().skip(1).copied().filter(|_| builds > 0);
    let all = std::iter::repeat_n(engines.first().copied().unwrap_or_default(), builds as usize);
    let plan = |(number, engine): (u32, Engine)| Plan {
        name: number.to_string(),
        engine,
        conditions: Conditions {
            number,
            varied: if number == 1 { BTreeSet::new() } else { varied.clone() },
        },
        store: None,
    };
    (1..).zip(all.chain(further)).map(plan).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_build_is_as_it_is_and_each_engine_builds() {
        let varied: BTreeSet<Variation> = Variation::ALL.into();
        let plans = plans(&varied, 2, &[Engine::Native, Engine::Podman]);
        let told: Vec<_> =
            plans.iter().map(|p| (p.name.as_str(), p.engine, p.conditions.varied.len())).collect();
        let all = Variation::ALL.len();
        let expected =
            [("1", Engine::Native, 0), ("2", Engine::Native, all), ("3", Engine::Podman, all)];
        assert_eq!(told, expected);
        assert_ne!(plans[1].conditions.host(), plans[2].conditions.host());
        assert!(super::plans(&varied, 0, &[Engine::Native, Engine::Docker]).is_empty());
    }

    #[test]
    fn what_cannot_be_varied_is_skipped_by_name() {
        let varied = BTreeSet::from([
            Variation::User,
            Variation::Cpus,
            Variation::Host,
            Variation::Addresses,
        ]);
        let mut plan = plans(&varied, 2, &[Engine::Docker]).remove(1);
        let skipped = untried(&mut plan, Some(&"no tmpfs".to_owned()), 1);
        let told: Vec<_> = skipped.iter().map(|skipped| skipped.what.as_str()).collect();
        let told = told.join(" ").replace("variation ", "").replace(" (engine docker)", "");
        assert_eq!(told, "cpus user addresses");
        assert_eq!(plan.conditions.varied, [Variation::Host].into());
    }
}
