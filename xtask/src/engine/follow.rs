//! Following a run that is under way: its output goes to the log until it is over, or until
//! it must be stopped.

use std::io::{PipeReader, Read as _};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::Run;
use super::log::Writer;
use crate::error::{Error, Kind, Result};
use crate::interrupt;

/// How often the caller looks up while the command says nothing, in milliseconds.
const TICK: u8 = 50;
/// How long an interrupted command has to put its things in order.
const GRACE: Duration = Duration::from_millis(700);
/// How long a killed run has to be taken down; the end of its output says that it is.
const BURIAL: Duration = Duration::from_secs(10);
/// How long a command has that is told to stop.
const STOP: Duration = Duration::from_secs(5);
/// A line of one of two streams is held back until it is whole, or this long, in bytes.
const LINE: usize = 1 << 20;

/// What ends a run besides the command itself.
#[derive(Clone, Copy, Default)]
pub(super) struct Ends<'a> {
    /// It took too long.
    pub(super) end: Option<Instant>,
    /// Nobody needs it any more.
    pub(super) stop: Option<&'a AtomicBool>,
}

/// A run that is under way.
pub(super) trait UnderWay {
    /// Sends a signal to the command.
    fn signal(&self, signal: Signal);
    /// Ends all of it.
    fn kill(&self);
}

/// What a run prints: both streams in one pipe, or a pipe each. Of two, whole lines are
/// kept together, in the order in which they came.
pub(super) struct Streams(Vec<Stream>);

struct Stream {
    pipe: PipeReader,
    open: bool,
    held: Vec<u8>,
}

impl Streams {
    pub(super) fn new(pipes: impl IntoIterator<Item = PipeReader>) -> Self {
        let stream = |pipe| Stream { pipe, open: true, held: Vec::new() };
        Streams(pipes.into_iter().map(stream).collect())
    }

    /// Copies output to the log until the run is over; kills it when it was interrupted,
    /// when it took too long, or when the log could not be written.
    pub(super) fn follow(
        mut self,
        run: &Run,
        log: &mut Writer<'_>,
        ends: Ends<'_>,
        under_way: &dyn UnderWay,
    ) -> Result<()> {
        let followed = self.try_follow(run, log, ends, under_way);
        if followed.is_err() {
            under_way.kill();
            self.drain(log, BURIAL);
        }
        log.finish();
        followed
    }

    fn try_follow(
        &mut self,
        run: &Run,
        log: &mut Writer<'_>,
        ends: Ends<'_>,
        under_way: &dyn UnderWay,
    ) -> Result<()> {
        while self.step(log)? {
            let place = || format!("its log is `{}`", log.path().display());
            if let Err(interrupted) = interrupt::check() {
                let interrupted = interrupted.hint(place());
                under_way.signal(Signal::SIGINT);
                self.drain(log, GRACE);
                return Err(interrupted);
            }
            if ends.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
                under_way.signal(Signal::SIGTERM);
                self.drain(log, STOP);
                under_way.kill();
                return Ok(());
            }
            if ends.end.is_some_and(|end| Instant::now() >= end) {
                let message = format!("`{}` did not end in time and was killed", run.argv[0]);
                return Err(Error::new(Kind::Tool, message).hint(place()));
            }
        }
        Ok(())
    }

    /// Copies what comes within a tick; whether more may come.
    fn step(&mut self, log: &mut Writer<'_>) -> Result<bool> {
        let alone = self.0.len() == 1;
        let mut open: Vec<&mut Stream> = self.0.iter_mut().filter(|s| s.open).collect();
        let mut polled: Vec<_> =
            open.iter().map(|s| PollFd::new(s.pipe.as_fd(), PollFlags::POLLIN)).collect();
        if !matches!(poll(&mut polled, PollTimeout::from(TICK)), Ok(1..)) {
            return Ok(!open.is_empty());
        }
        let ready: Vec<bool> = polled.iter().map(|p| p.any().unwrap_or(true)).collect();
        for (stream, _) in open.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            stream.copy(alone, log)?;
        }
        Ok(self.0.iter().any(|stream| stream.open))
    }

    /// Copies what comes until the run is over, for `time` at most; a log that cannot be
    /// written is no reason to stop.
    fn drain(&mut self, log: &mut Writer<'_>, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end && self.step(log).unwrap_or(true) {}
    }
}

impl Stream {
    /// Copies what is there; of one stream among others only whole lines.
    fn copy(&mut self, alone: bool, log: &mut Writer<'_>) -> Result<()> {
        let mut buffer = [0; 16 << 10];
        let length = match self.pipe.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            Err(cause) => {
                let message = format!("cannot read the command's output: {cause}");
                return Err(Error::new(Kind::Io, message));
            }
        };
        self.open = length > 0;
        if alone {
            return log.write(&buffer[..length]);
        }
        self.held.extend_from_slice(&buffer[..length]);
        let whole = match self.held.iter().rposition(|&byte| byte == b'\n') {
            _ if !self.open || self.held.len() > LINE => self.held.len(),
            Some(end) => end + 1,
            None => 0,
        };
        let rest = self.held.split_off(whole);
        log.write(&std::mem::replace(&mut self.held, rest))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::engine::Log;

    struct Nothing;
    impl UnderWay for Nothing {
        fn signal(&self, _: Signal) {}
        fn kill(&self) {}
    }

    #[test]
    fn two_streams_never_tear_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let ((one, mut to_one), (two, mut to_two)) =
            (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        let run = Run {
            root: "/".into(),
            mounts: Vec::new(),
            argv: vec!["/x".into()],
            env: [].into(),
            cwd: "/".into(),
        };
        let mut log = Writer::create(Log::at(&path)).unwrap();
        let mut streams = Streams::new([one, two]);
        to_one.write_all(b"{\"half\":").unwrap();
        assert!(streams.step(&mut log).unwrap());
        to_two.write_all(b"a warning\nlast words").unwrap();
        assert!(streams.step(&mut log).unwrap());
        to_one.write_all(b" 1}\n").unwrap();
        drop((to_one, to_two));
        streams.follow(&run, &mut log, Ends::default(), &Nothing).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "a warning");
        assert!(text.contains("{\"half\": 1}\n") && text.contains("last words"), "{text}");
    }
}
