//! What this machine can give to a build of hours, looked at before it begins.

use std::path::Path;

use crate::error::{Error, IoContext as _, Kind, Result};
use crate::lock::Source;
use crate::progress::bytes;
use crate::store::{free, size};

/// Memory that one compiler takes at its worst: TensorFlow's largest files.
const MEMORY_A_JOB: u64 = 2 << 30;
/// Memory that Bazel's server takes.
const MEMORY_OF_BAZEL: u64 = 1 << 30;
/// Disk that any build takes, whatever is pinned.
const LEAST_DISK_GB: u64 = 1;

/// Processors and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// That this process may use.
    pub processors: u64,
    /// Bytes that are available now.
    pub memory: u64,
}

impl Machine {
    /// This one.
    pub fn here() -> Result<Self> {
        let path = Path::new("/proc/meminfo");
        let text = std::fs::read_to_string(path).at("read", path)?;
        let available = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
        let kilobytes =
            available.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
        let memory = kilobytes.unwrap_or_default() << 10;
        let processors = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
        Ok(Machine { processors, memory })
    }

    /// Actions at once: one a processor, and no more than memory allows.
    pub fn jobs(&self) -> u64 {
        let by_memory = self.memory.saturating_sub(MEMORY_OF_BAZEL) / MEMORY_A_JOB;
        self.processors.min(by_memory).max(1)
    }

    /// Megabytes that Bazel may plan with.
    pub fn megabytes(&self) -> u64 {
        (self.memory.saturating_sub(MEMORY_OF_BAZEL) >> 20).max(512)
    }

    /// Refuses a build that could not end well in the folder `place`, where an earlier one may
    /// have left a part of the work.
    pub fn check(&self, source: &Source, place: &Path) -> Result<()> {
        let free = free(place).map_or(u64::MAX, |(bytes, _)| bytes);
        if !fits(disk(source), size(place), free) {
            return Err(no_room(source, place));
        }
        if self.memory < MEMORY_OF_BAZEL {
            let message = format!(
                "not enough memory to build TensorFlow: {} needed at the least, {} available",
                bytes(MEMORY_OF_BAZEL),
                bytes(self.memory)
            );
            return Err(Error::new(Kind::Machine, message).hint("end what else runs here"));
        }
        Ok(())
    }
}

/// Whether there is room for the rest of a build of which a part is `there`.
fn fits(whole: u64, there: u64, free: u64) -> bool {
    free >= whole.saturating_sub(there)
}

/// Bytes that the whole build takes.
fn disk(source: &Source) -> u64 {
    source.disk_gb.unwrap_or(LEAST_DISK_GB).max(LEAST_DISK_GB).saturating_mul(1_000_000_000)
}

/// The disk of `place` is too small, or became full.
pub fn no_room(source: &Source, place: &Path) -> Error {
    let (free, _) = free(place).unwrap_or_default();
    let message = format!(
        "not enough room to build TensorFlow in `{}`: {} needed, {} of them there already, {} free",
        place.display(),
        bytes(disk(source)),
        bytes(size(place)),
        bytes(free)
    );
    Error::new(Kind::Io, message)
        .hint("make room on that disk and run the same again: it goes on where it was")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_bound_by_processors_and_by_memory() {
        let jobs =
            |processors, gigabytes: u64| Machine { processors, memory: gigabytes << 30 }.jobs();
        assert_eq!(jobs(2, 24), 2);
        assert_eq!(jobs(16, 9), 4);
        assert_eq!(jobs(16, 0), 1);
    }

    #[test]
    fn a_build_that_could_not_end_well_is_refused() {
        let source = |disk_gb| Source {
            git: String::new(),
            target: String::new(),
            configs: Vec::new(),
            repo_env: Vec::new(),
            disk_gb: Some(disk_gb),
            vault: crate::digest::Sha256::of(b""),
            externals: Vec::new(),
        };
        let folder = tempfile::tempdir().unwrap();
        let said = |memory, disk_gb| {
            let machine = Machine { processors: 2, memory };
            machine.check(&source(disk_gb), folder.path()).map_err(|error| error.to_string())
        };
        assert_eq!(said(8 << 30, 1), Ok(()));
        assert!(said(1 << 20, 1).unwrap_err().contains("not enough memory"));
        let disk = said(8 << 30, 1 << 30).unwrap_err();
        assert!(disk.contains("not enough room") && disk.contains("needed"), "{disk}");
        assert!(fits(60, 30, 30) && !fits(60, 30, 29));
    }
}
