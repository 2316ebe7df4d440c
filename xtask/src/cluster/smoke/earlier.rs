//! The weights of earlier runs: the same job on the same processor must end with the same.

use std::fs;
use std::path::PathBuf;

use crate::atomic;
use crate::digest::{Key, Sha256};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::workspace::Workspace;

use super::job::{self, Job};
use super::report::Report;

/// Where the weights of jobs like this one are kept.
#[derive(Debug)]
pub struct Earlier {
    path: PathBuf,
}

impl Earlier {
    /// Of jobs of the same image, scripts and number of tasks, on the same processor: another
    /// one may add up in another order.
    pub fn of(workspace: &Workspace, image: &Sha256, job: &Job) -> Self {
        let key = Key::new("weights 2").field("scripts", job::scripts().listing());
        let (tasks, processor) = (job.tasks.len().to_string(), processor());
        let key = key.field("image", image.bytes()).field("tasks", tasks).field("cpu", processor);
        let name = format!("cluster/weights-{}", key.finish().short());
        Earlier { path: workspace.scratch().join(name) }
    }

    /// Holds the weights of `report` against an earlier run's, or keeps them for a later one;
    /// whether there was an earlier one.
    pub fn compare(&self, report: &Report) -> Result<bool> {
        let weights = report.tasks.iter().find_map(|task| task.results.get("weights"));
        let Some(found) = weights else { return Ok(false) };
        match fs::read_to_string(&self.path) {
            Ok(expected) if expected.trim() == found => Ok(true),
            Ok(expected) => Err(Error::new(
                Kind::Tool,
                format!(
                    "the weights differ from an earlier run of the same job on this machine: \
                     expected {}, found {found}",
                    expected.trim()
                ),
            )
            .hint("an op or a script computes something else from run to run")
            .hint(format!("to forget the earlier run: `rm {}`", self.path.display()))),
            Err(_) => {
                let folder = self.path.parent().unwrap_or(&self.path);
                fs::create_dir_all(folder).at("create", folder)?;
                atomic::write(&self.path, found.as_bytes())?;
                Ok(false)
            }
        }
    }
}

/// What this machine's processor calls itself and what it can do (proc(5)).
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let told = |line: &&str| line.starts_with("model name") || line.starts_with("flags");
    text.lines().filter(told).take(2).collect()
}
