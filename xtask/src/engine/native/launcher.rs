//! A started launcher, as its caller sees it.

use std::io::{PipeReader, Read as _};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cannot;
use super::wire::Report;
use crate::engine::follow::UnderWay;
use crate::error::Result;

/// A started launcher. Killed when dropped before its end: the run dies with it.
pub(super) struct Launcher {
    pub(super) handle: duct::Handle,
    pub(super) reports: PipeReader,
}

impl Launcher {
    /// Waits for its end: the run is over by then.
    pub(super) fn wait(&self) -> Result<()> {
        self.handle.wait().map(drop).map_err(|cause| cannot("wait for the engine", &cause))
    }

    /// What was reported, complete once the run is over.
    pub(super) fn reports(&mut self) -> Result<Vec<Report>> {
        let mut text = String::new();
        let read = self.reports.read_to_string(&mut text);
        read.map_err(|cause| cannot("read the engine's reports", &cause))?;
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}

impl UnderWay for Launcher {
    fn signal(&self, signal: Signal) {
        for pid in self.handle.pids() {
            // Nobody has waited for it, so the number is still its own.
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
        }
    }

    fn kill(&self) {
        drop(self.handle.kill());
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        drop(self.handle.kill());
        drop(self.handle.wait());
    }
}
