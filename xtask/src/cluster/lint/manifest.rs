//! Tasks in objects of Kubernetes: its own workloads, Kubeflow's TFJob, JobSet.

use super::document::{Node, Walk};
use super::{Task, Text};

/// Tasks of one object. `number` tells objects of one file apart.
pub fn tasks(object: &Node, number: usize, walk: &mut Walk) -> Vec<Task> {
    let Some(kind) = object.get("kind").and_then(Node::scalar) else { return Vec::new() };
    let name = object.at(&["metadata", "name"]).and_then(Node::scalar).unwrap_or("without name");
    let owner = format!("{kind} {name}");
    let alone = |owner: &str| format!("{}#{number} {owner}", object.place.file);
    let file = object.place.file.to_string();
    match kind {
        "List" => {
            let items = walk.items(object.get("items")).iter();
            items.flat_map(|item| tasks(item, number, walk)).collect()
        }
        "TFJob" => replicas(object, &owner, &alone(&owner), walk),
        "JobSet" => {
            let jobs = walk.items(object.at(&["spec", "replicatedJobs"]));
            let of = jobs.iter().flat_map(|job| {
                let spec = job.at(&["template", "spec"]);
                let pod = spec.and_then(|spec| spec.at(&["template", "spec"]));
                let name = job.get("name").and_then(Node::scalar).unwrap_or_default();
                let owner = format!("{owner} {name}");
                containers(pod, &owner, &alone(&owner[..]), number_at(spec, "completions"), walk)
            });
            let mut all: Vec<Task> = of.collect();
            all.iter_mut().for_each(|task| task.job = alone(&owner));
            all
        }
        "Pod" => containers(object.get("spec"), &owner, &file, Some(1), walk),
        "CronJob" => {
            let job = object.at(&["spec", "jobTemplate", "spec"]);
            let pod = job.and_then(|job| job.at(&["template", "spec"]));
            containers(pod, &owner, &file, number_at(job, "completions"), walk)
        }
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => {
            let spec = object.get("spec");
            let count = number_at(spec, "replicas").or_else(|| number_at(spec, "completions"));
            let pod = object.at(&["spec", "template", "spec"]);
            containers(pod, &owner, &file, count, walk)
        }
        _ => Vec::new(),
    }
}

fn number_at(node: Option<&Node>, key: &str) -> Option<u64> {
    node?.get(key)?.scalar()?.parse().ok()
}

/// A TFJob's operator knows roles by the names of its replica sets.
fn replicas(object: &Node, owner: &str, job: &str, walk: &mut Walk) -> Vec<Task> {
    let mut tasks = Vec::new();
    for (name, replica) in walk.entries(object.at(&["spec", "tfReplicaSpecs"])) {
        let Some(role) = name.text() else { continue };
        let owner = format!("{owner} {}", role.text);
        let pod = replica.at(&["template", "spec"]);
        let count = number_at(Some(replica), "replicas").or(Some(1));
        let mut found = containers(pod, &owner, job, count, walk);
        if found.is_empty() {
            found.push(empty(&owner, job, name));
        }
        for task in &mut found {
            let role = Text { text: role.text.to_lowercase(), place: role.place.clone() };
            (task.role, task.count) = (Some(role), count);
        }
        tasks.extend(found);
    }
    tasks
}

/// A role without a pod template still counts as a role.
fn empty(owner: &str, job: &str, at: &Node) -> Task {
    Task {
        owner: owner.to_owned(),
        place: at.place.clone(),
        job: job.to_owned(),
        image: None,
        environment: Vec::new(),
        role: None,
        count: None,
        ports: Vec::new(),
    }
}

/// Containers of a pod that run beside each other.
fn containers(
    pod: Option<&Node>,
    owner: &str,
    job: &str,
    count: Option<u64>,
    walk: &mut Walk,
) -> Vec<Task> {
    let Some(pod) = pod else { return Vec::new() };
    let host = pod.get("hostNetwork").and_then(Node::scalar) == Some("true");
    let mut tasks = Vec::new();
    for container in walk.items(pod.get("containers")) {
        let mut environment = Vec::new();
        for variable in walk.items(container.get("env")) {
            let name = variable.get("name").and_then(Node::scalar).unwrap_or_default();
            // A value that comes from elsewhere is known by its name alone.
            let value = variable.get("value").or_else(|| variable.get("name"));
            let Some(mut value) = value.and_then(Node::text) else { continue };
            if variable.get("value").is_none() {
                value.text.clear();
            }
            value.text = value.text.replace("$$", "$");
            environment.push((name.to_owned(), value));
        }
        let mut ports = Vec::new();
        for port in walk.items(container.get("ports")) {
            let taken = port.get(if host { "containerPort" } else { "hostPort" });
            ports.extend(taken.and_then(Node::text));
        }
        tasks.push(Task {
            owner: owner.to_owned(),
            place: container.place.clone(),
            job: job.to_owned(),
            image: container.get("image").and_then(Node::text),
            environment,
            role: None,
            count,
            ports,
        });
    }
    tasks
}
