//! A started launcher, as its caller sees it.

use std::io::{PipeReader, Read as _};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cannot;
use super::wire::Report;
use crate::engine::Run;
use crate::engine::log::Writer;
use crate::error::{Error, Kind, Result};
use crate::interrupt;

/// How often the caller looks up while the command says nothing, in milliseconds.
const TICK: u8 = 50;
/// How long an interrupted command has to put its things in order.
const GRACE: Duration = Duration::from_millis(700);
/// How long the kernel has to take a killed run down.
const BURIAL: Duration = Duration::from_millis(400);

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

    /// Copies `output` to the log until the run is over; kills it when it was interrupted,
    /// when it ran past `end`, or when the log could not be written.
    pub(super) fn follow(
        &self,
        run: &Run,
        output: &PipeReader,
        log: &mut Writer<'_>,
        end: Option<Instant>,
    ) -> Result<()> {
        let followed = self.try_follow(run, output, log, end);
        if followed.is_err() {
            drop(self.handle.kill());
            drain(output, log, BURIAL);
        }
        log.finish();
        self.wait()?;
        followed
    }

    fn try_follow(
        &self,
        run: &Run,
        output: &PipeReader,
        log: &mut Writer<'_>,
        end: Option<Instant>,
    ) -> Result<()> {
        while step(output, log)? {
            if let Err(interrupted) = interrupt::check() {
                self.interrupt();
                drain(output, log, GRACE);
                return Err(interrupted.hint(format!("its log is `{}`", log.path().display())));
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                let message = format!("`{}` did not end in time and was killed", run.argv[0]);
                let hint = format!("its log is `{}`", log.path().display());
                return Err(Error::new(Kind::Tool, message).hint(hint));
            }
        }
        Ok(())
    }

    /// Asks the command to stop.
    fn interrupt(&self) {
        for pid in self.handle.pids() {
            // Nobody has waited for it, so the number is still its own.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGINT);
        }
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        drop(self.handle.kill());
        drop(self.handle.wait());
    }
}

/// Copies what comes within a tick; whether more may come.
fn step(mut output: &PipeReader, log: &mut Writer<'_>) -> Result<bool> {
    let mut polled = [PollFd::new(output.as_fd(), PollFlags::POLLIN)];
    if !matches!(poll(&mut polled, PollTimeout::from(TICK)), Ok(1..)) {
        return Ok(true);
    }
    let mut buffer = [0; 16 << 10];
    match output.read(&mut buffer) {
        Ok(0) => Ok(false),
        Ok(length) => log.write(&buffer[..length]).map(|()| true),
        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(true),
        Err(cause) => Err(cannot("read the command's output", &cause)),
    }
}

/// Copies what comes until the run is over, for `time` at most; a log that cannot be
/// written is no reason to stop.
fn drain(output: &PipeReader, log: &mut Writer<'_>, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end && step(output, log).unwrap_or(true) {}
}
