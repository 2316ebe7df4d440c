//! The tasks of a cluster, and what TensorFlow is told of it in each.

use std::collections::BTreeMap;
use std::fmt;

use crate::pins::cluster::{Cluster, Role, Tasks};

/// One process of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Task<'c> {
    /// What it is to TensorFlow.
    pub role: Role,
    /// Among those of its role, from 0.
    pub index: u32,
    /// What it shares with the others of its role.
    pub of: &'c Tasks,
}

/// `worker 2`.
impl fmt::Display for Task<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.role, self.index)
    }
}

impl Task<'_> {
    /// Name of its container and, where names are addresses, its host: `train-worker-2`.
    pub fn name(&self, cluster: &Cluster) -> String {
        format!("{}-{}-{}", cluster.name, self.role, self.index)
    }
}

/// Every task, by role and index.
pub fn all(cluster: &Cluster) -> Vec<Task<'_>> {
    let tasks = cluster
        .roles
        .iter()
        .flat_map(|(role, of)| (0..of.count).map(move |index| Task { role: *role, index, of }));
    tasks.collect()
}

/// Where the tasks of the cluster listen, by TensorFlow's name of their type; the evaluator is
/// not part of it (`tf.distribute.cluster_resolver.TFConfigClusterResolver`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(BTreeMap<&'static str, Vec<String>>);

impl Addresses {
    /// Asks `host` for the machine of each task; the port is pinned.
    pub fn of(cluster: &Cluster, host: impl Fn(&Task<'_>) -> String) -> Self {
        let mut addresses: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for task in all(cluster).iter().filter(|task| task.role != Role::Evaluator) {
            let address = format!("{}:{}", host(task), task.of.port);
            addresses.entry(task.role.as_str()).or_default().push(address);
        }
        Addresses(addresses)
    }

    /// `TF_CONFIG` of one task: JSON in one line. `index` is a number, or what a scheduler
    /// replaces by one.
    pub fn tf_config(&self, role: Role, index: impl fmt::Display) -> String {
        let jobs = serde_json::json!(self.0);
        format!("{{\"cluster\":{jobs},\"task\":{{\"type\":\"{role}\",\"index\":{index}}}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> Cluster {
        let own = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../workspace.toml");
        crate::pins::load(&own).unwrap().cluster.unwrap()
    }

    #[test]
    fn each_task_is_told_of_all_but_the_evaluator() {
        let cluster = own();
        let addresses = Addresses::of(&cluster, |task| task.name(&cluster));
        let texts = all(&cluster)
            .iter()
            .map(|task| format!("{task}: {}", addresses.tf_config(task.role, task.index)))
            .collect::<Vec<_>>();
        for text in &texts {
            let (_, json) = text.split_once(": ").unwrap();
            serde_json::from_str::<serde_json::Value>(json).unwrap();
        }
        insta::assert_snapshot!(texts.join("\n"), @r#"
        chief 0: {"cluster":{"chief":["train-chief-0:2222"],"ps":["train-ps-0:2222","train-ps-1:2222"],"worker":["train-worker-0:2222","train-worker-1:2222","train-worker-2:2222"]},"task":{"type":"chief","index":0}}
        worker 0: {"cluster":{"chief":["train-chief-0:2222"],"ps":["train-ps-0:2222","train-ps-1:2222"],"worker":["train-worker-0:2222","train-worker-1:2222","train-worker-2:2222"]},"task":{"type":"worker","index":0}}
        worker 1: {"cluster":{"chief":["train-chief-0:2222"],"ps":["train-ps-0:2222","train-ps-1:2222"],"worker":["train-worker-0:2222","train-worker-1:2222","train-worker-2:2222"]},"task":{"type":"worker","index":1}}
        worker 2: {"cluster":{"chief":["train-chief-0:2222"],"ps":["train-ps-0:2222","train-ps-1:2222"],"worker":["train-worker-0:2222","train-worker-1:2222","train-worker-2:2222"]},"task":{"type":"worker","index":2}}
        ps 0: {"cluster":{"chief":["train-chief-0:2222"],"ps":["train-ps-0:2222","train-ps-1:2222"],"worker":["train-worker-0:2222","train-worker-1:2222","train-worker-2:2222"]},"task":{"type":"ps","index":0}}
        ps 1: {"cluster":{"chief":["train-chief-0:2222"],"ps":["train-ps-0:2222","train-ps-1:2222"],"worker":["train-worker-0:2222","train-worker-1:2222","train-worker-2:2222"]},"task":{"type":"ps","index":1}}
        evaluator 0: {"cluster":{"chief":["train-chief-0:2222"],"ps":["train-ps-0:2222","train-ps-1:2222"],"worker":["train-worker-0:2222","train-worker-1:2222","train-worker-2:2222"]},"task":{"type":"evaluator","index":0}}
        "#);
    }
}
