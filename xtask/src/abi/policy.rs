//! What the rules compare with, besides what is measured.

use super::isa::Level;

/// The values of the rules.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The only `RUNPATH` with which a library in `tensorflow-plugins/` finds TensorFlow.
    pub runpath: String,
    /// The lowest processor of the cluster.
    pub level: Level,
    /// Starts of paths that exist on a machine that builds, not on one that runs.
    pub host_paths: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        // Where Bazel runs in the builder root, its sandboxes, and people's own folders.
        let host_paths = [
            "/work/",
            "/out/",
            "/dev/shm/bazel-sandbox",
            "/tmp/",
            "/home/",
            "/root/",
            "/build/",
            "/Users/",
        ];
        Policy {
            runpath: "$ORIGIN/../tensorflow".to_owned(),
            level: Level::V1,
            host_paths: host_paths.map(String::from).to_vec(),
        }
    }
}
