//! Kubeflow's TFJob (`v1` of the training operator, which writes `TF_CONFIG` itself into the
//! container called `tensorflow` from the port called `tfjob-port`).

use serde_json::{Value, json};

use super::{Plan, pod, yaml};
use crate::cluster::task::Task;
use crate::pins::cluster::Role;

/// The operator's group of the Kubernetes API.
const GROUP: &str = "kubeflow.org";

/// All objects in one file.
pub fn text(plan: &Plan) -> String {
    let cluster = &plan.cluster;
    let specs = cluster.roles.iter().map(|(role, of)| {
        let task = Task { role: *role, index: 0, of };
        let replicas = json!({
            "replicas": of.count,
            "restartPolicy": "Never",
            "template": {
                "metadata": {"labels": pod::labels(plan, *role)},
                "spec": pod::spec(plan, &task, "tensorflow", Vec::new()),
            },
        });
        (replica(*role).to_owned(), replicas)
    });
    let job = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "TFJob",
        "metadata": {"name": cluster.name.as_str()},
        "spec": {
            "runPolicy": {"backoffLimit": 0, "cleanPodPolicy": "Running"},
            "tfReplicaSpecs": specs.collect::<serde_json::Map<_, _>>(),
        },
    });
    let objects: Vec<Value> = pod::scripts(plan).into_iter().chain([job]).collect();
    let usage = ["kubectl apply -f tfjob.yaml", "The operator writes TF_CONFIG into each task."];
    plan.head(&usage) + &yaml::documents(&objects)
}

/// The operator's name of a role.
fn replica(role: Role) -> &'static str {
    match role {
        Role::Chief => "Chief",
        Role::Worker => "Worker",
        Role::Ps => "PS",
        Role::Evaluator => "Evaluator",
    }
}
