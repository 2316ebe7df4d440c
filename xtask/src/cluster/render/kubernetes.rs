//! Kubernetes without anything installed: a headless Service a role, a StatefulSet for tasks
//! that serve until they are stopped, an Indexed Job for those that end (`v1`, `apps/v1`,
//! `batch/v1`).

use serde_json::{Value, json};

use super::pod::{self, Index};
use super::{CLUSTER_LABEL, Plan, ROLE_LABEL, yaml};
use crate::cluster::task::{Addresses, Task};
use crate::pins::cluster::{Role, Strategy};

/// All objects in one file.
pub fn text(plan: &Plan) -> String {
    let cluster = &plan.cluster;
    // Pod and Service: `train-worker-2.train-worker`.
    let addresses =
        Addresses::of(cluster, |task| format!("{}.{}", task.name(cluster), name(plan, task.role)));
    let mut objects: Vec<Value> = pod::scripts(plan).into_iter().collect();
    for (role, of) in &cluster.roles {
        let task = Task { role: *role, index: 0, of };
        objects.push(service(plan, &task));
        objects.push(match serves(cluster.strategy, *role) {
            true => stateful_set(plan, &task, &addresses),
            false => job(plan, &task, &addresses),
        });
    }
    let usage = ["kubectl apply -f cluster.yaml", "Kubernetes 1.28 or later: it numbers the pods."];
    plan.head(&usage) + &yaml::documents(&objects)
}

/// Workers of a coordinator and parameter servers wait for work until somebody stops them.
fn serves(strategy: Strategy, role: Role) -> bool {
    strategy == Strategy::ParameterServer && [Role::Worker, Role::Ps].contains(&role)
}

fn name(plan: &Plan, role: Role) -> String {
    format!("{}-{role}", plan.cluster.name)
}

fn metadata(plan: &Plan, role: Role) -> Value {
    json!({"name": name(plan, role), "labels": pod::labels(plan, role)})
}

/// Gives each pod its name, also before it is ready: TensorFlow's servers look for each other.
fn service(plan: &Plan, task: &Task<'_>) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": metadata(plan, task.role),
        "spec": {
            "clusterIP": "None",
            "ports": [{"name": "tensorflow", "port": task.of.port}],
            "publishNotReadyAddresses": true,
            "selector": {CLUSTER_LABEL: plan.cluster.name.as_str(), ROLE_LABEL: task.role.as_str()},
        },
    })
}

fn stateful_set(plan: &Plan, task: &Task<'_>, addresses: &Addresses) -> Value {
    let config = pod::config(addresses, task.role, Index::StatefulSet);
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata(plan, task.role),
        "spec": {
            "podManagementPolicy": "Parallel",
            "replicas": task.of.count,
            "selector": {"matchLabels": pod::labels(plan, task.role)},
            "serviceName": name(plan, task.role),
            "template": {
                "metadata": {"labels": pod::labels(plan, task.role)},
                "spec": pod::spec(plan, task, "tensorflow", config),
            },
        },
    })
}

fn job(plan: &Plan, task: &Task<'_>, addresses: &Addresses) -> Value {
    let config = pod::config(addresses, task.role, Index::Job);
    let mut pod = pod::spec(plan, task, "tensorflow", config);
    pod["restartPolicy"] = json!("Never");
    pod["subdomain"] = json!(name(plan, task.role));
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata(plan, task.role),
        "spec": {
            "backoffLimit": 0,
            "completionMode": "Indexed",
            "completions": task.of.count,
            "parallelism": task.of.count,
            "template": {"metadata": {"labels": pod::labels(plan, task.role)}, "spec": pod},
        },
    })
}
