//! `TF_CONFIG` by TensorFlow's own rules: `TFConfigClusterResolver`, `_validate_cluster_spec`
//! (`multi_worker_util.py`), `ParameterServerStrategyV2`.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{Node, Walk, within};
use super::rules::{self, finding};
use super::{Finding, Place, Text};
use crate::pins::cluster::Role;

/// What one task is told.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Addresses by job.
    pub jobs: BTreeMap<String, Vec<String>>,
    /// Type of the task, and its index where it is a number.
    pub task: Option<(String, Option<u64>)>,
}

/// Reads the text of the variable. Kubernetes puts an index in for `$(NAME)`.
pub fn of_text(text: &Text) -> (Config, Vec<Finding>) {
    let (json, scheduled) = unscheduled(&text.text);
    if let Err(cause) = serde_json::from_str::<serde_json::Value>(&json) {
        let what = format!("TF_CONFIG is no JSON: {cause}");
        return (Config::default(), vec![finding(&rules::TF_CONFIG, &text.place, what)]);
    }
    let mut findings = Vec::new();
    let Some(node) = within(&text.place, &json, &mut findings) else {
        return (Config::default(), findings);
    };
    let (mut config, wrong) = read(&node);
    findings.extend(wrong);
    if let Some((_, index)) = config.task.as_mut().filter(|_| scheduled) {
        *index = None;
    }
    (config, findings)
}

/// The text with 0 for each `$(NAME)`, and whether there was one.
fn unscheduled(text: &str) -> (String, bool) {
    let (mut plain, mut rest, mut any) = (String::new(), text, false);
    while let Some((before, after)) = rest.split_once("$(") {
        let Some((_, after)) = after.split_once(')') else { break };
        plain.extend([before, "0"]);
        (rest, any) = (after, true);
    }
    (plain + rest, any)
}

/// Reads and judges the document.
pub fn read(node: &Node) -> (Config, Vec<Finding>) {
    let (mut config, mut findings) = (Config::default(), Vec::new());
    let mut walk = Walk::default();
    let cluster = node.get("cluster");
    if cluster.is_some_and(|cluster| !cluster.is_map()) {
        let what = "`cluster` must be an object";
        findings.push(finding(&rules::TF_CONFIG, &node.place, what));
    }
    for (name, addresses) in walk.entries(cluster) {
        let role = name.scalar().unwrap_or_default().to_owned();
        findings.extend(unknown(&role, &name.place, "in `cluster`"));
        let listed = listed(addresses, &mut walk);
        findings.extend(job(&role, &name.place, &listed));
        config.jobs.insert(role, listed.into_iter().map(|text| text.text).collect());
    }
    findings.extend(together(&config, cluster.unwrap_or(node)));
    if let Some(task) = node.get("task") {
        findings.extend(placed(task, &mut config));
    }
    (config, findings)
}

/// A list, or an object by index.
fn listed(node: &Node, walk: &mut Walk) -> Vec<Text> {
    let by_index = walk.entries(Some(node)).into_iter().filter_map(|(_, address)| address.text());
    let mut all: Vec<Text> = by_index.collect();
    all.extend(walk.items(Some(node)).iter().filter_map(Node::text));
    all
}

fn unknown(role: &str, place: &Place, at: &str) -> Option<Finding> {
    let known = Role::ALL.iter().any(|known| known.as_str() == role);
    let near = match role {
        "master" => "; TensorFlow 2 calls it `chief`",
        "parameter_server" | "parameter-server" | "PS" => "; it is spelled `ps`",
        _ => "",
    };
    let what = format!("`{}` {at} is no task type of TensorFlow{near}", role.escape_debug());
    (!known).then(|| finding(&rules::ROLE_NAME, place, what))
}

/// One role of the cluster.
fn job(role: &str, place: &Place, addresses: &[Text]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if role == "evaluator" {
        let what = "the evaluator is in `cluster`: the others would wait for it";
        findings.push(finding(&rules::EVALUATOR, place, what));
    }
    if role == "chief" && addresses.len() > 1 {
        let what = format!("there must be at most one `chief`, found {}", addresses.len());
        findings.push(finding(&rules::TOO_MANY, place, what));
    }
    if addresses.is_empty() && ["ps", "worker"].contains(&role) {
        let rule = if role == "ps" { &rules::MISSING_PS } else { &rules::MISSING_WORKER };
        findings.push(finding(rule, place, format!("`{role}` has no task")));
    }
    for address in addresses.iter().filter(|address| !is_address(&address.text)) {
        let what = format!("`{}` is no HOST:PORT", address.text.escape_debug());
        findings.push(finding(&rules::ADDRESS, &address.place, what));
    }
    findings
}

/// The cluster as a whole.
fn together(config: &Config, node: &Node) -> Vec<Finding> {
    let (mut findings, mut taken) = (Vec::new(), BTreeSet::new());
    for address in config.jobs.values().flatten() {
        if !taken.insert(address) {
            let what = format!("two tasks listen on `{}`", address.escape_debug());
            findings.push(finding(&rules::PORT_CLASH, &node.place, what));
        }
    }
    let has = |role: &str| config.jobs.contains_key(role);
    if has("ps") && !has("worker") {
        let what = "there are parameter servers and no `worker`";
        findings.push(finding(&rules::MISSING_WORKER, &node.place, what));
    }
    findings
}

/// The task's own place in the cluster.
fn placed(task: &Node, config: &mut Config) -> Vec<Finding> {
    let Some(role) = task.get("type").and_then(Node::text) else { return Vec::new() };
    let index = task.get("index").and_then(Node::text);
    let number = index.as_ref().and_then(|index| index.text.parse::<u64>().ok());
    let mut findings: Vec<Finding> =
        unknown(&role.text, &role.place, "in `task`").into_iter().collect();
    let count = config.jobs.get(&role.text).map(Vec::len);
    match (&index, number, count) {
        (_, _, None)
            if findings.is_empty() && role.text != "evaluator" && !config.jobs.is_empty() =>
        {
            let what = format!("the task's type `{}` is not in `cluster`", role.text);
            findings.push(finding(&rules::NOT_IN_CLUSTER, &role.place, what));
        }
        (None, _, Some(_)) => {
            let what = "the task has a type and no index";
            findings.push(finding(&rules::INDEX, &role.place, what));
        }
        (Some(index), None, _) => {
            let what = format!("the task's index `{}` is no number", index.text.escape_debug());
            findings.push(finding(&rules::INDEX, &index.place, what));
        }
        (Some(index), Some(number), Some(count)) if number >= count as u64 => {
            let what = format!("index {number} of {count} `{}`: they count from 0", role.text);
            findings.push(finding(&rules::INDEX, &index.place, what));
        }
        _ => {}
    }
    config.task = Some((role.text, number));
    findings
}

fn is_address(text: &str) -> bool {
    let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    text.rsplit_once(':').is_some_and(|(host, number)| !host.is_empty() && port(number))
}
