//! Files that start the cluster elsewhere: pure functions of the pinned tasks, the ledger's
//! one digest and the workspace id. Nothing here takes an image from anybody.

pub mod command;
mod compose;
mod jobset;
mod kubernetes;
mod pod;
mod systemd;
mod tfjob;
mod yaml;

use std::collections::BTreeMap;

use super::scripts::{self, Scripts};
use super::task::Task;
use crate::digest::Sha256;
use crate::pins::cluster::Cluster;

/// The job, on whatever it is that a task is started.
pub const CLUSTER_LABEL: &str = "dev.lockstep.cluster";
/// The role.
pub const ROLE_LABEL: &str = "dev.lockstep.role";
/// The index among the tasks of the role.
pub const INDEX_LABEL: &str = "dev.lockstep.index";

/// What reads the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Docker Compose: all tasks on one machine
    Compose,
    /// Kubernetes without anything installed: headless Services, StatefulSets, Jobs
    Kubernetes,
    /// Kubeflow's training operator (TFJob v1)
    Tfjob,
    /// Kubernetes with JobSet: one failed task ends the job
    Jobset,
    /// systemd units that start podman, a machine a task
    Systemd,
}

impl Format {
    /// All, in the order of `--help`.
    pub const ALL: [Format; 5] =
        [Format::Compose, Format::Kubernetes, Format::Tfjob, Format::Jobset, Format::Systemd];

    /// The folder of its files.
    pub fn folder(self) -> &'static str {
        match self {
            Format::Compose => "compose",
            Format::Kubernetes => "kubernetes",
            Format::Tfjob => "tfjob",
            Format::Jobset => "jobset",
            Format::Systemd => "systemd",
        }
    }
}

/// All that the files are a function of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The tasks.
    pub cluster: Cluster,
    /// Of the image's manifest, from the ledger.
    pub image: Sha256,
    /// What each task's entrypoint must find in its image.
    pub workspace_id: Sha256,
    /// The training scripts.
    pub scripts: Scripts,
}

/// A file's path in the folder of its format, and its text.
pub type Files = BTreeMap<String, String>;

impl Plan {
    /// The files of `format`.
    pub fn render(&self, format: Format) -> Files {
        match format {
            Format::Compose => compose::files(self),
            Format::Kubernetes => one("cluster.yaml", kubernetes::text(self)),
            Format::Tfjob => one("tfjob.yaml", tfjob::text(self)),
            Format::Jobset => one("jobset.yaml", jobset::text(self)),
            Format::Systemd => systemd::files(self),
        }
    }

    /// `registry.example/lockstep@sha256:…`: the same text wherever a task is started.
    pub fn reference(&self) -> String {
        format!("{}@sha256:{}", self.cluster.image, self.image)
    }

    /// The task's own variables, the expected workspace id and scripts; `TF_CONFIG` is not
    /// among them.
    fn environment(&self, task: &Task<'_>) -> BTreeMap<String, String> {
        let own = &task.of.environment;
        let mut all: BTreeMap<_, _> =
            own.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        all.insert("LOCKSTEP_WORKSPACE_ID".to_owned(), self.workspace_id.to_string());
        all.extend(self.scripts.digest().map(|d| (scripts::VARIABLE.to_owned(), d.to_string())));
        all
    }

    fn command(&self, task: &Task<'_>) -> Vec<String> {
        task.of.command.iter().map(ToString::to_string).collect()
    }

    /// Another text of a script is another ConfigMap: no task can have the old one.
    fn scripts_name(&self) -> String {
        let digest = self.scripts.digest().map(|digest| digest.short()).unwrap_or_default();
        format!("{}-scripts-{digest}", self.cluster.name)
    }

    /// The first lines of a file: what it is of, and the command that uses it.
    fn head(&self, usage: &[&str]) -> String {
        let mut head = format!(
            "# Written by `cargo xtask cluster render`: change workspace.toml instead.\n\
             # Workspace {}.\n",
            self.workspace_id
        );
        for line in usage {
            head.extend(["# ", line, "\n"]);
        }
        head
    }
}

fn one(name: &str, text: String) -> Files {
    [(name.to_owned(), text)].into()
}

#[cfg(test)]
mod tests;
