//! What differs between the tasks that run and the image that was accepted.

use std::collections::BTreeSet;

use super::member::Member;
use crate::digest::Sha256;

/// What every task must have.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The ledger's manifest.
    pub manifest: Sha256,
    /// Its config: what engines call the image's id.
    pub config: Sha256,
    /// Of lock and sources.
    pub workspace_id: Sha256,
    /// Of the scripts' listing, if there are any.
    pub scripts: Option<Sha256>,
    /// `worker 2` and so on, as pinned.
    pub tasks: BTreeSet<String>,
}

/// Everything that is wrong with one member.
pub fn member(member: &Member, expected: &Expected) -> Vec<String> {
    let mut wrong = Vec::new();
    let known = [expected.manifest.to_string(), expected.config.to_string()];
    let of = |digests: &BTreeSet<String>| digests.iter().cloned().collect::<Vec<_>>().join(", ");
    if member.digests.is_empty() {
        wrong.push(format!("nothing says which image `{}` is there", member.reference));
    } else if member.digests.iter().all(|digest| !known.contains(digest)) {
        let found = of(&member.digests);
        wrong.push(format!(
            "its image is another: expected sha256:{}, found sha256:{found}",
            expected.manifest
        ));
    }
    let id = expected.workspace_id.to_string();
    if let Some(label) = member.label.as_ref().filter(|label| **label != id) {
        wrong.push(format!("its image is of another workspace: expected {id}, found {label}"));
    }
    match &member.expects {
        None => {
            wrong.push("LOCKSTEP_WORKSPACE_ID is not set: another image would start".to_owned())
        }
        Some(expects) if *expects != id => {
            wrong.push(format!("LOCKSTEP_WORKSPACE_ID is {expects}, expected {id}"));
        }
        Some(_) => {}
    }
    let scripts = expected.scripts.as_ref().map(ToString::to_string);
    if member.scripts != scripts {
        let said = |digest: &Option<String>| digest.clone().unwrap_or("none".to_owned());
        let (expected, found) = (said(&scripts), said(&member.scripts));
        wrong.push(format!("its training scripts are others: expected {expected}, found {found}"));
    }
    wrong.extend(member.down.as_ref().map(|why| format!("it does not run: it {why}")));
    wrong
}

/// Tasks that are pinned and not there, or there twice. Of those that no label names only how
/// many there are can be compared.
pub fn together(members: &[Member], expected: &Expected) -> Vec<String> {
    let named: Vec<&String> = members.iter().filter_map(|member| member.task.as_ref()).collect();
    let missing: Vec<&String> =
        expected.tasks.iter().filter(|task| !named.contains(task)).collect();
    let mut wrong = Vec::new();
    match members.len() - named.len() {
        0 => wrong.extend(missing.iter().map(|task| format!("{task}: no such task is there"))),
        nameless if nameless == missing.len() => {}
        nameless => wrong.push(format!(
            "tasks that no label names: expected {}, found {nameless}",
            missing.len()
        )),
    }
    let mut seen = BTreeSet::new();
    for task in named.into_iter().filter(|task| !seen.insert(*task)) {
        wrong.push(format!("{task}: there are two of it"));
    }
    wrong
}
