//! Docker Compose: all tasks on one machine (the Compose specification, read by
//! docker-compose 1.27 and later and by `docker compose`).

use serde_json::{Value, json};

use super::{CLUSTER_LABEL, Files, INDEX_LABEL, Plan, ROLE_LABEL, yaml};
use crate::cluster::scripts::PLACE;
use crate::cluster::task::{self, Addresses, Task};
use crate::pins::cluster::Role;

/// Where the scripts are beside the file.
const FOLDER: &str = "scripts";

/// The file, and the scripts beside it.
pub fn files(plan: &Plan) -> Files {
    let cluster = &plan.cluster;
    let addresses = Addresses::of(cluster, |task| task.name(cluster));
    let tasks = task::all(cluster);
    let services = tasks.iter().map(|task| {
        let config = addresses.tf_config(task.role, task.index);
        (task.name(cluster), service(plan, task, config))
    });
    let value = json!({
        "networks": {"default": {"internal": true}},
        "services": services.collect::<serde_json::Map<_, _>>(),
    });
    let ends = match cluster.roles.contains_key(&Role::Chief) {
        true => format!("{}-chief-0", cluster.name),
        false => format!("{}-worker-0", cluster.name),
    };
    // Without this option a task that died would be waited for without a word.
    let usage = format!("docker-compose up --exit-code-from {ends}");
    let mut files = Files::new();
    files.insert("compose.yaml".to_owned(), plan.head(&[&usage]) + &yaml::document(&value));
    for (name, text) in plan.scripts.files() {
        files.insert(format!("{FOLDER}/{name}"), text);
    }
    files
}

fn service(plan: &Plan, task: &Task<'_>, config: String) -> Value {
    let mut environment = plan.environment(task);
    environment.insert("TF_CONFIG".to_owned(), config);
    // `$` begins a variable (the specification's chapter "Interpolation").
    let kept = |text: &String| Value::from(text.replace('$', "$$"));
    let mut service = json!({
        "cap_drop": ["ALL"],
        "command": plan.command(task).iter().map(kept).collect::<Vec<_>>(),
        "environment": environment.iter()
            .map(|(name, value)| (name.clone(), kept(value)))
            .collect::<serde_json::Map<_, _>>(),
        "hostname": task.name(&plan.cluster),
        "image": plan.reference(),
        "labels": {
            CLUSTER_LABEL: plan.cluster.name.as_str(),
            ROLE_LABEL: task.role.as_str(),
            INDEX_LABEL: task.index.to_string(),
        },
        "read_only": true,
        "security_opt": ["no-new-privileges:true"],
        "tmpfs": ["/tmp"],
    });
    if let Some(cpu) = task.of.cpu {
        service["cpus"] = json!(f64::from(cpu.0) / 1000.0);
    }
    if let Some(memory) = task.of.memory {
        service["mem_limit"] = json!(memory.0);
    }
    if !plan.scripts.is_empty() {
        service["volumes"] = json!([format!("./{FOLDER}:{PLACE}:ro")]);
    }
    service
}
