//! JobSet (`jobset.x-k8s.io/v1alpha2`): an Indexed Job a role; one failed task ends them all.

use serde_json::{Value, json};

use super::pod::{self, Index};
use super::{CLUSTER_LABEL, Plan, yaml};
use crate::cluster::task::{Addresses, Task};
use crate::pins::cluster::Role;

/// All objects in one file.
pub fn text(plan: &Plan) -> String {
    let cluster = &plan.cluster;
    let name = cluster.name.as_str();
    // JOBSET-JOB-JOBINDEX-PODINDEX.SUBDOMAIN
    let addresses =
        Addresses::of(cluster, |task| format!("{name}-{}-0-{}.{name}", task.role, task.index));
    let jobs = cluster
        .roles
        .iter()
        .map(|(role, of)| job(plan, &Task { role: *role, index: 0, of }, &addresses));
    let ends = if cluster.roles.contains_key(&Role::Chief) { Role::Chief } else { Role::Worker };
    let set = json!({
        "apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet",
        "metadata": {"name": name, "labels": {CLUSTER_LABEL: name}},
        "spec": {
            "failurePolicy": {"maxRestarts": 0},
            "network": {
                "enableDNSHostnames": true, "publishNotReadyAddresses": true, "subdomain": name,
            },
            "replicatedJobs": jobs.collect::<Vec<_>>(),
            "successPolicy": {"operator": "All", "targetReplicatedJobs": [ends.as_str()]},
        },
    });
    let objects: Vec<Value> = pod::scripts(plan).into_iter().chain([set]).collect();
    plan.head(&["kubectl apply -f jobset.yaml"]) + &yaml::documents(&objects)
}

fn job(plan: &Plan, task: &Task<'_>, addresses: &Addresses) -> Value {
    let config = pod::config(addresses, task.role, Index::Job);
    let mut pod = pod::spec(plan, task, "tensorflow", config);
    pod["restartPolicy"] = json!("Never");
    json!({
        "name": task.role.as_str(),
        "replicas": 1,
        "template": {"spec": {
            "backoffLimit": 0,
            "completionMode": "Indexed",
            "completions": task.of.count,
            "parallelism": task.of.count,
            "template": {"metadata": {"labels": pod::labels(plan, task.role)}, "spec": pod},
        }},
    })
}
