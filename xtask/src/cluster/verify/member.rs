//! Running tasks, as `docker inspect` (Docker Engine API v1.41, `ContainerInspect`) and
//! `kubectl get pods -o json` (`core/v1` PodList) show them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cluster::render::{CLUSTER_LABEL, INDEX_LABEL, ROLE_LABEL};
use crate::cluster::scripts::VARIABLE;

/// One container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Of container or pod.
    pub name: String,
    /// `worker 2`, where labels say it.
    pub task: Option<String>,
    /// Digests by which its image is known: of manifest or config, without `sha256:`.
    pub digests: BTreeSet<String>,
    /// Which image it was started by.
    pub reference: String,
    /// The workspace id that the image is labelled with; Kubernetes does not show it.
    pub label: Option<String>,
    /// The workspace id that it was told to expect.
    pub expects: Option<String>,
    /// The digest of the scripts that it was told to expect.
    pub scripts: Option<String>,
    /// Why it does not run: `exited with code 78: …`.
    pub down: Option<String>,
}

/// All tasks of the cluster `name` in the text; others are left out.
pub fn read(text: &str, name: &str) -> Result<Vec<Member>, String> {
    let value: Value = serde_json::from_str(text).map_err(|cause| cause.to_string())?;
    let items: Vec<&Value> = match (&value, value["items"].as_array()) {
        (Value::Array(items), _) => items.iter().collect(),
        (_, Some(items)) => items.iter().collect(),
        _ => vec![&value],
    };
    let mut members = Vec::new();
    for item in items {
        if item["kind"] == "Pod" || item["spec"]["containers"].is_array() {
            members.extend(pod(item, name));
        } else if item["Config"].is_object() {
            members.extend(container(item, name));
        } else {
            return Err(
                "it is neither of `docker inspect` nor of `kubectl get pods -o json`".to_owned()
            );
        }
    }
    Ok(members)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// `…@sha256:HEX` and `sha256:HEX`.
fn digest(value: &Value) -> Option<String> {
    let (_, hex) = value.as_str()?.rsplit_once("sha256:")?;
    (hex.len() == 64).then(|| hex.to_owned())
}

fn task(labels: &Value) -> Option<String> {
    let (role, index) = (text(&labels[ROLE_LABEL])?, text(&labels[INDEX_LABEL])?);
    Some(format!("{role} {index}"))
}

/// By which a StatefulSet and an Indexed Job (before Kubernetes 1.28 in an annotation alone) tell
/// a pod its index.
const NUMBERED: [&str; 2] =
    ["apps.kubernetes.io/pod-index", "batch.kubernetes.io/job-completion-index"];

/// The index of a pod. The name of a Job's pod ends in random letters or digits, so it is asked
/// last; that of a TFJob's ends in the index.
fn index(metadata: &Value) -> Option<String> {
    let (labels, annotations) = (&metadata["labels"], &metadata["annotations"]);
    let label = NUMBERED.iter().find_map(|name| text(&labels[name]));
    let told = label.or_else(|| NUMBERED.iter().find_map(|name| text(&annotations[name])));
    told.or_else(|| {
        let last = metadata["name"].as_str()?.rsplit('-').next()?;
        last.parse::<u32>().is_ok().then(|| last.to_owned())
    })
}

/// Whether it is of the cluster: by label, or where there is none, by being told of one.
fn belongs(labels: &Value, told: bool, name: &str) -> bool {
    match labels[CLUSTER_LABEL].as_str() {
        Some(cluster) => cluster == name,
        None => told,
    }
}

fn container(item: &Value, name: &str) -> Option<Member> {
    let config = &item["Config"];
    let variables = config["Env"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let pairs: Vec<(&str, &str)> = variables.filter_map(|line| line.split_once('=')).collect();
    let variable = |wanted: &str| pairs.iter().find(|(name, _)| *name == wanted).map(|(_, v)| *v);
    let told = variable("TF_CONFIG").is_some() || variable("LOCKSTEP_WORKSPACE_ID").is_some();
    if !belongs(&config["Labels"], told, name) {
        return None;
    }
    let state = &item["State"];
    let status = state["Status"].as_str().unwrap_or("unknown");
    let code = &state["ExitCode"];
    let down = match status {
        "running" => None,
        "exited" => Some(format!("exited with code {code}")),
        other => Some(format!("is {other}")),
    };
    Some(Member {
        name: text(&item["Name"]).unwrap_or_default().trim_start_matches('/').to_owned(),
        task: task(&config["Labels"]),
        digests: [digest(&item["Image"]), digest(&config["Image"])].into_iter().flatten().collect(),
        reference: text(&config["Image"]).unwrap_or_default(),
        label: text(&config["Labels"]["dev.lockstep.workspace-id"]),
        expects: variable("LOCKSTEP_WORKSPACE_ID").map(str::to_owned),
        scripts: variable(VARIABLE).map(str::to_owned),
        down,
    })
}

fn pod(item: &Value, name: &str) -> Vec<Member> {
    let labels = &item["metadata"]["labels"];
    let pod = text(&item["metadata"]["name"]).unwrap_or_default();
    let (role, index) = (text(&labels[ROLE_LABEL]), index(&item["metadata"]));
    let mut members = Vec::new();
    for container in item["spec"]["containers"].as_array().into_iter().flatten() {
        let set = container["env"].as_array().into_iter().flatten();
        let variables: Vec<&Value> = set.collect();
        let variable = |wanted: &str| variables.iter().find(|variable| variable["name"] == wanted);
        let told = variable("TF_CONFIG").is_some() || variable("LOCKSTEP_WORKSPACE_ID").is_some();
        if !belongs(labels, told, name) || !told {
            continue;
        }
        let statuses = item["status"]["containerStatuses"].as_array();
        let mut statuses = statuses.into_iter().flatten();
        let status = statuses.find(|status| status["name"] == container["name"]);
        let nothing = Value::Null;
        let status = status.unwrap_or(&nothing);
        members.push(Member {
            name: pod.clone(),
            task: task(labels).or_else(|| Some(format!("{} {}", role.as_ref()?, index.as_ref()?))),
            digests: digest(&status["imageID"]).into_iter().collect(),
            reference: text(&container["image"]).unwrap_or_default(),
            label: None,
            expects: variable("LOCKSTEP_WORKSPACE_ID")
                .and_then(|variable| text(&variable["value"])),
            scripts: variable(VARIABLE).and_then(|variable| text(&variable["value"])),
            down: down(status),
        });
    }
    members
}

/// Why the container of a pod does not run.
fn down(status: &Value) -> Option<String> {
    let state = &status["state"];
    if state["running"].is_object() {
        return None;
    }
    let said = |value: &Value| {
        let message = text(&value["message"]).unwrap_or_default();
        let first = message.lines().find(|line| !line.trim().is_empty());
        first.map(|line| format!(": {}", line.trim())).unwrap_or_default()
    };
    let (ended, waiting) = (&state["terminated"], &state["waiting"]);
    if ended.is_object() {
        return Some(format!("exited with code {}{}", ended["exitCode"], said(ended)));
    }
    let before = &status["lastState"]["terminated"];
    let reason = text(&waiting["reason"]).unwrap_or_else(|| "not started".to_owned());
    Some(match before.is_object() {
        true => format!("is {reason}, exited with code {}{}", before["exitCode"], said(before)),
        false => format!("is {reason}{}", said(waiting)),
    })
}
