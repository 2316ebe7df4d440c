//! The rules, and those that look at tasks beside each other.

use std::collections::BTreeMap;

use super::config::{self, Config};
use super::{Finding, Level, Own, Place, Rule, Task, Text};
use crate::cluster::scripts::VARIABLE;
use crate::pins::cluster::{RESERVED, Role};

macro_rules! rules {
    ($($name:ident $level:ident $id:literal $why:literal $todo:literal;)*) => {
        $(pub const $name: Rule = Rule { id: $id, level: Level::$level, why: $why, todo: $todo };)*
        /// All of them, as SARIF lists them.
        pub const ALL: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    NOT_YAML Error "not-yaml"
        "nothing can be read from it" "mend the YAML at that place";
    HOSTILE Error "hostile"
        "a reader without bounds would not come to an end" "make the file smaller, or leave it out";
    DUPLICATE_KEY Error "duplicate-key"
        "one reader takes the last of them, another the first, a third neither"
        "leave one of them";
    TF_CONFIG Error "tf-config"
        "TensorFlow reads TF_CONFIG as JSON with `cluster` and `task`"
        "write {\"cluster\": {\"worker\": [\"HOST:PORT\"]}, \"task\": {\"type\": \"worker\", \"index\": 0}}";
    ROLE_NAME Error "role-name"
        "TensorFlow knows chief, worker, ps and evaluator" "use one of these four names";
    EVALUATOR Error "evaluator-in-cluster"
        "strategies refuse a cluster with an evaluator, or wait for it"
        "take `evaluator` out of `cluster`; its own task keeps type `evaluator`";
    TOO_MANY Error "too-many"
        "TensorFlow takes at most one chief and one evaluator" "leave one of them";
    MISSING_PS Error "missing-ps"
        "ParameterServerStrategy says `There must be at least one ps.`"
        "give it a parameter server, or leave the role out";
    MISSING_WORKER Error "missing-worker"
        "TensorFlow says `There must be at least one worker.`" "add a worker";
    ADDRESS Error "address"
        "gRPC connects to HOST:PORT" "write the host's name, a colon and a port";
    PORT_CLASH Error "port-clash"
        "the second of the two does not start, or both talk to the first"
        "give each task an address of its own";
    NOT_IN_CLUSTER Error "role-not-in-cluster"
        "TensorFlow says `task_type` not found in cluster_spec" "add the role to `cluster`";
    INDEX Error "index"
        "TensorFlow says that the `task_id` exceeds the maximum id"
        "number the tasks of a role from 0, each once";
    DUPLICATE Error "duplicate-task"
        "two processes are the same task: one of them is never talked to"
        "give each its own index";
    IMAGE_DIFFERS Error "image-differs"
        "TensorFlow does not compare builds: the job dies later, or trains to other weights"
        "give every task of the job the same image, by digest: `cargo xtask cluster render`";
    LATEST Error "image-latest"
        "`latest` is whatever each machine pulled last" "name the image by digest: NAME@sha256:…";
    TAG Warning "image-tag"
        "a tag can be moved, and a machine keeps the old image under it"
        "name the image by digest: NAME@sha256:…";
    NOT_THE_LEDGERS Error "image-not-the-ledgers"
        "nobody accepted that image" "write the files anew: `cargo xtask cluster render`";
    PATHS Error "inherited-path"
        "it leads a process to other code than the image's; the entrypoint refuses it"
        "leave the variable alone: the image sets what is needed";
    WORKSPACE_ID Error "workspace-id"
        "the entrypoint refuses to start" "write the files anew: `cargo xtask cluster render`";
    NO_WORKSPACE_ID Warning "no-workspace-id"
        "another image under that name would start" "set LOCKSTEP_WORKSPACE_ID in every task";
    SCRIPTS_DIFFER Error "scripts-differ"
        "the job's tasks would run other training code; where it is compared, some refuse to start"
        "write the files anew: `cargo xtask cluster render`";
    CONTAINER_ROLE Error "replica-type"
        "the operator ignores a replica type that it does not know, or refuses the job"
        "use Chief, Worker, PS and Evaluator";
}

/// What a task is told, whoever starts it.
const TOLD: [&str; 4] =
    ["LOCKSTEP_SCRIPTS", "LOCKSTEP_TASK_INDEX", "LOCKSTEP_WORKSPACE_ID", "TF_CONFIG"];

/// A finding.
pub fn finding(rule: &'static Rule, place: &Place, what: impl Into<String>) -> Finding {
    Finding { rule, place: place.clone(), what: what.into() }
}

/// All that is wrong with the tasks. Those that have nothing to do with TensorFlow are left
/// alone: whoever uses `latest` for a web server has other worries.
pub fn judge(tasks: &[Task], own: Option<&Own>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut jobs: BTreeMap<String, Vec<(&Task, Config)>> = BTreeMap::new();
    for task in tasks.iter().filter(|task| is_tensorflows(task)) {
        findings.extend(alone(task, own));
        let mut config = Config::default();
        for (_, text) in task.environment.iter().filter(|(name, _)| name == "TF_CONFIG") {
            if !text.text.is_empty() {
                let (read, wrong) = config::of_text(text);
                config = read;
                findings.extend(wrong);
            }
        }
        // Whoever is told of the same cluster is of the same job, whatever file of the folder
        // it stands in.
        let file = &task.place.file;
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        let job = match config.jobs.is_empty() {
            true => task.job.clone(),
            false => format!("{folder} {:?}", config.jobs),
        };
        jobs.entry(job).or_default().push((task, config));
    }
    findings.extend(jobs.values().flat_map(|tasks| beside(tasks)));
    findings
}

/// Whether TensorFlow is told of a cluster there, or Lockstep of a workspace.
fn is_tensorflows(task: &Task) -> bool {
    let says = |(name, _): &(String, _)| name == "TF_CONFIG" || name == "LOCKSTEP_WORKSPACE_ID";
    task.role.is_some() || task.environment.iter().any(says)
}

/// One task by itself.
fn alone(task: &Task, own: Option<&Own>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(task.image.iter().flat_map(|image| named(image, own)));
    let leads = |name: &str| RESERVED.contains(&name) && !TOLD.contains(&name);
    for (name, value) in task.environment.iter().filter(|(name, _)| leads(name)) {
        let what = format!("{} sets {name} to `{}`", task.owner, value.text.escape_debug());
        findings.push(finding(&PATHS, &value.place, what));
    }
    findings.extend(workspace_id(task, own));
    if let Some(role) = &task.role
        && Role::ALL.iter().all(|known| known.as_str() != role.text)
    {
        let what = format!("`{}` is no replica type", role.text.escape_debug());
        findings.push(finding(&CONTAINER_ROLE, &role.place, what));
    }
    if let (Some(role), Some(0)) = (&task.role, task.count) {
        match role.text.as_str() {
            "ps" => findings.push(finding(&MISSING_PS, &role.place, "`PS` has 0 replicas")),
            "worker" => {
                findings.push(finding(&MISSING_WORKER, &role.place, "`Worker` has 0 replicas"))
            }
            _ => {}
        }
    }
    if let (Some(role), Some(count @ 2..)) = (&task.role, task.count)
        && ["chief", "evaluator"].contains(&role.text.as_str())
    {
        let what = format!("`{}` has {count} replicas", role.text);
        findings.push(finding(&TOO_MANY, &role.place, what));
    }
    findings
}

/// An image's name without tag and digest; a colon before a slash is that of a port. The host
/// may be left out here, as `[cluster] image` may leave it out.
fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or_default();
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// The image's name by itself.
fn named(image: &Text, own: Option<&Own>) -> Option<Finding> {
    let shown = image.text.escape_debug();
    let Some((_, digest)) = image.text.split_once("@sha256:") else {
        let name = image.text.rsplit('/').next().unwrap_or_default();
        return Some(match name.split_once(':').map(|(_, tag)| tag) {
            None => finding(&LATEST, &image.place, format!("`{shown}` has neither tag nor digest")),
            Some("latest") => finding(&LATEST, &image.place, format!("`{shown}`")),
            Some(_) => finding(&TAG, &image.place, format!("`{shown}` is named by a tag")),
        });
    };
    let own = own.filter(|own| own.repository == repository(&image.text))?;
    if own.manifest.to_string() == digest {
        return None;
    }
    let what = format!("expected sha256:{} of the ledger, found sha256:{digest}", own.manifest);
    Some(finding(&NOT_THE_LEDGERS, &image.place, what))
}

fn workspace_id(task: &Task, own: Option<&Own>) -> Option<Finding> {
    let found = task.environment.iter().find(|(name, _)| name == "LOCKSTEP_WORKSPACE_ID");
    let image = task.image.as_ref()?;
    let own = own.filter(|own| own.repository == repository(&image.text))?;
    let Some((_, found)) = found else {
        let what = format!("{} does not say which workspace it expects", task.owner);
        return Some(finding(&NO_WORKSPACE_ID, &task.place, what));
    };
    let expected = own.workspace_id.to_string();
    let what = format!("expected workspace {expected}, found `{}`", found.text.escape_debug());
    (found.text != expected).then(|| finding(&WORKSPACE_ID, &found.place, what))
}

/// Tasks of one job.
fn beside(tasks: &[(&Task, Config)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let images = tasks.iter().filter_map(|(task, _)| Some((task, task.image.as_ref()?)));
    let mut first: Option<(&Task, &Text)> = None;
    for (task, image) in images {
        match first {
            Some((other, known)) if known.text != image.text => {
                let (found, there) = (image.text.escape_debug(), known.text.escape_debug());
                let what = format!("{} has `{found}`, {} has `{there}`", task.owner, other.owner);
                findings.push(finding(&IMAGE_DIFFERS, &image.place, what));
            }
            Some(_) => {}
            None => first = Some((task, image)),
        }
    }
    findings.extend(ids(tasks));
    findings.extend(scripts(tasks));
    let mut seen: BTreeMap<_, &Task> = BTreeMap::new();
    for (task, config) in tasks {
        let Some((role, Some(index))) = &config.task else { continue };
        let many = task.count.is_some_and(|count| count > 1);
        if let Some(other) = seen.insert((role, index), task) {
            let what = format!("{} and {} are both `{role}` {index}", other.owner, task.owner);
            findings.push(finding(&DUPLICATE, &task.place, what));
        } else if many {
            let what = format!("all tasks of {} are `{role}` {index}", task.owner);
            findings.push(finding(&DUPLICATE, &task.place, what));
        }
    }
    let mut taken: BTreeMap<&str, &Task> = BTreeMap::new();
    for (task, port) in tasks.iter().flat_map(|(task, _)| task.ports.iter().map(|p| (*task, p))) {
        if let Some(other) = taken.insert(&port.text, task) {
            let what = format!("{} and {} both take port {}", other.owner, task.owner, port.text);
            findings.push(finding(&PORT_CLASH, &port.place, what));
        }
    }
    findings
}

/// Tasks of one job that are told of other scripts, or of none.
fn scripts(tasks: &[(&Task, Config)]) -> Vec<Finding> {
    let of = |task: &Task| {
        let mut all = task.environment.iter();
        all.find(|(name, _)| name == VARIABLE).map(|(_, text)| text.clone())
    };
    let told: Vec<_> =
        tasks.iter().filter(|(task, _)| task.image.is_some()).map(|(t, _)| (*t, of(t))).collect();
    let said = |text: &Option<Text>| {
        text.as_ref().map_or("none".to_owned(), |text| text.text.escape_debug().to_string())
    };
    let Some((one, first)) = told.first() else { return Vec::new() };
    let others = told.iter().filter(|(_, text)| said(text) != said(first));
    let finding = |(task, text): &(&Task, Option<Text>)| {
        let place = text.as_ref().map_or(&task.place, |text| &text.place);
        let (owner, other) = (&task.owner, &one.owner);
        let what =
            format!("{owner} expects the scripts `{}`, {other} `{}`", said(text), said(first));
        finding(&SCRIPTS_DIFFER, place, what)
    };
    others.map(finding).collect()
}

/// Tasks of one job that expect different workspaces cannot all start.
fn ids(tasks: &[(&Task, Config)]) -> Vec<Finding> {
    let of = |task: &Task| {
        let mut all = task.environment.iter();
        all.find(|(name, _)| name == "LOCKSTEP_WORKSPACE_ID").map(|(_, text)| text.clone())
    };
    let ids: Vec<Text> = tasks.iter().filter_map(|(task, _)| of(task)).collect();
    let others = ids.iter().filter(|id| id.text != ids[0].text);
    let what = |id: &Text| {
        let (one, other) = (ids[0].text.escape_debug(), id.text.escape_debug());
        format!("the job's tasks expect workspace `{one}` and `{other}`")
    };
    others.map(|id| finding(&WORKSPACE_ID, &id.place, what(id))).collect()
}
