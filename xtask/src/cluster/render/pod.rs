//! What the three Kubernetes formats share: a pod of one task, and the scripts' ConfigMap
//! (Kubernetes API, `core/v1`).

use serde_json::{Value, json};

use super::{CLUSTER_LABEL, Plan, ROLE_LABEL};
use crate::cluster::scripts::PLACE;
use crate::cluster::task::{Addresses, Task};
use crate::pins::cluster::Role;

/// Who tells a task its index.
#[derive(Clone, Copy)]
pub enum Index {
    /// A StatefulSet numbers its pods (Kubernetes 1.28 and later).
    StatefulSet,
    /// An Indexed Job numbers its pods.
    Job,
}

impl Index {
    fn field(self) -> &'static str {
        match self {
            Index::StatefulSet => "metadata.labels['apps.kubernetes.io/pod-index']",
            Index::Job => "metadata.annotations['batch.kubernetes.io/job-completion-index']",
        }
    }
}

/// By which pods of one role are found.
pub fn labels(plan: &Plan, role: Role) -> Value {
    json!({CLUSTER_LABEL: plan.cluster.name.as_str(), ROLE_LABEL: role.as_str()})
}

/// `TF_CONFIG` and what it is made of. Kubernetes replaces `$(NAME)` in a value by a variable
/// that stands before it in the list, so the order counts.
pub fn config(addresses: &Addresses, role: Role, index: Index) -> Vec<Value> {
    let name = "LOCKSTEP_TASK_INDEX";
    vec![
        json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": index.field()}}}),
        json!({"name": "TF_CONFIG", "value": addresses.tf_config(role, format!("$({name})"))}),
    ]
}

/// The pod's `spec` but for what only its owner knows.
pub fn spec(plan: &Plan, task: &Task<'_>, container: &str, config: Vec<Value>) -> Value {
    // `$$` is a dollar sign; a lone one would begin a variable.
    let kept = |text: String| text.replace('$', "$$");
    let own = plan.environment(task).into_iter();
    let mut env: Vec<_> =
        own.map(|(name, value)| json!({"name": name, "value": kept(value)})).collect();
    env.extend(config);
    let mut resources = serde_json::Map::new();
    resources.extend(task.of.cpu.map(|cpu| ("cpu".to_owned(), cpu.to_string().into())));
    resources.extend(task.of.memory.map(|memory| ("memory".to_owned(), memory.to_string().into())));
    let mut mounts = vec![json!({"mountPath": "/tmp", "name": "tmp"})];
    let mut volumes = vec![json!({"emptyDir": {}, "name": "tmp"})];
    if !plan.scripts.is_empty() {
        mounts.push(json!({"mountPath": PLACE, "name": "scripts", "readOnly": true}));
        volumes.push(json!({"configMap": {"name": plan.scripts_name()}, "name": "scripts"}));
    }
    json!({
        "automountServiceAccountToken": false,
        "containers": [{
            // `args`: the image's entrypoint stays, with its checks.
            "args": plan.command(task).into_iter().map(kept).collect::<Vec<_>>(),
            "env": env,
            "image": plan.reference(),
            "name": container,
            "ports": [{"containerPort": task.of.port, "name": "tfjob-port"}],
            "resources": {"limits": resources},
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": true,
                "runAsNonRoot": true,
            },
            // What the entrypoint refused stands in `kubectl describe pod`.
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "volumeMounts": mounts,
        }],
        // Otherwise every Service of the namespace would be in the environment.
        "enableServiceLinks": false,
        "volumes": volumes,
    })
}

/// The scripts, unchangeable, or nothing.
pub fn scripts(plan: &Plan) -> Option<Value> {
    if plan.scripts.is_empty() {
        return None;
    }
    Some(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "immutable": true, "data": plan.scripts.files(),
        "metadata": {"name": plan.scripts_name(), "labels": {CLUSTER_LABEL: plan.cluster.name.as_str()}},
    }))
}
