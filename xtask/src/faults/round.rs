//! A round: a state, a victim that is killed, a look, the same again undisturbed, a look.

use std::io::{PipeReader, Read as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use duct::Handle;

use super::place::Place;
use super::report::Row;
use super::state::{Left, State, temporary};
use crate::command::Env;
use crate::error::{Error, IoContext as _, Kind, Result};

/// No victim takes so long, unless it waits for what a dead process holds.
const HANG: Duration = Duration::from_secs(120);

/// What an undisturbed run makes of each input, and which of them is there.
pub struct Rounds<'p> {
    /// Where.
    pub place: &'p Place,
    /// The states after input 0 and input 1.
    made: [State; 2],
    there: usize,
}

/// What was done to a victim.
#[derive(Debug, PartialEq, Eq)]
pub enum Blow {
    /// Nothing: it had ended before.
    Missed,
    /// It was killed, or failed and said why, or got over it.
    Hit,
    /// What no blow excuses.
    Bad(String),
}

/// A victim that runs.
pub struct Victim {
    handle: Handle,
    out: PipeReader,
}

impl<'p> Rounds<'p> {
    /// Learns from undisturbed runs what the right states are.
    pub fn new(place: &'p Place) -> Result<Self> {
        let mut rounds = Rounds { place, made: Default::default(), there: 0 };
        for version in [1, 0] {
            rounds.begin(version)?;
            rounds.undisturbed()?;
            rounds.made[version] = State::of(place)?;
        }
        if rounds.made[0] == State::default() {
            return Err(Error::new(Kind::Io, format!("stage {} made nothing", place.stage.name())));
        }
        Ok(rounds)
    }

    fn begin(&mut self, version: usize) -> Result<()> {
        if self.place.stage.begins_empty() {
            self.place.empty()?;
        }
        self.place.ask_for(version)?;
        self.there = version;
        Ok(())
    }

    /// One round; whether its blow hit. `strike` runs the victim and says what came of it;
    /// `how` says how to do it again.
    pub fn round(
        &mut self,
        row: &mut Row,
        how: &str,
        strike: impl FnOnce(&Self) -> Result<Blow>,
    ) -> Result<bool> {
        let empty = State::default();
        let before = self.there;
        self.begin(1 - before)?;
        let old = if self.place.stage.begins_empty() { &empty } else { &self.made[before] };
        let new = &self.made[self.there];
        let blow = strike(self)?;
        let hit = blow != Blow::Missed;
        if let Blow::Bad(why) = blow {
            row.bad.push(format!("{how}: {why}"));
        }
        // What cannot even be looked at is bad, and no reason to end.
        let left = State::of(self.place)
            .map_err(|error| error.to_string())
            .and_then(|state| state.between(old, new, self.place.stage));
        if !hit && left != Ok(Left::New) {
            row.bad.push(format!("{how}: nothing was done to it, and it made something else"));
        }
        match left {
            _ if !hit => {}
            Ok(Left::Old) => row.old += 1,
            Ok(Left::New) => row.new += 1,
            Ok(Left::Between) => row.between += 1,
            Err(why) => row.bad.push(format!("{how}: afterwards: {why}")),
        }
        row.hits += u32::from(hit);
        if let Err(why) = self.again(new) {
            row.bad.push(format!("{how}: run again: {why}"));
        }
        Ok(hit)
    }

    /// Whether all that the victim of this round was to make is there.
    pub fn is_made(&self) -> bool {
        State::of(self.place).is_ok_and(|state| state == self.made[self.there])
    }

    /// The same command once more must make the same bits and leave nothing behind.
    fn again(&self, new: &State) -> Result<(), String> {
        self.undisturbed().map_err(|error| error.to_string())?;
        let state = State::of(self.place).map_err(|error| error.to_string())?;
        if state != *new {
            return Err(format!("other bits: {}", state.differs(new)));
        }
        match temporary(self.place).map_err(|error| error.to_string())?.as_slice() {
            [] => Ok(()),
            left => {
                Err(format!("{} temporary files are left, `{}`", left.len(), left[0].display()))
            }
        }
    }

    /// Runs a victim to its end; how long it took from where its stage starts.
    pub fn undisturbed(&self) -> Result<Duration> {
        let mut victim = self.start(&[])?;
        victim.started()?;
        let from = Instant::now();
        let (status, words) = victim.end()?;
        if status.success() {
            return Ok(from.elapsed());
        }
        let stage = self.place.stage.name();
        Err(Error::new(Kind::Tool, format!("stage {stage} failed ({status}): {words}")))
    }

    /// Starts a victim, behind `before` (a tracer and its arguments), as a process group.
    pub fn start(&self, before: &[String]) -> Result<Victim> {
        let program =
            Path::new("/proc/self/exe").read_link().at("read", Path::new("/proc/self/exe"))?;
        let own = ["--offline", "--workspace"].map(str::to_owned);
        let rest = ["faults", "--victim", self.place.stage.name()].map(str::to_owned);
        let mut words: Vec<_> = before.iter().map(Into::into).collect::<Vec<std::ffi::OsString>>();
        words.push(program.into());
        words.extend(own.map(Into::into));
        words.push(self.place.workspace.root().into());
        words.extend(rest.map(Into::into));
        let first = words.remove(0);
        let pipe = Path::new("a pipe");
        let (out, inlet) = std::io::pipe().at("create", pipe)?;
        let env = Env::host(&[]).with("LOCKSTEP_STORE", self.place.store.root());
        let handle = duct::cmd(&first, words)
            .full_env(env.pairs())
            .stdin_null()
            .stdout_file(std::os::fd::OwnedFd::from(inlet))
            .stderr_capture()
            .unchecked()
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            })
            .start()
            .at("start", Path::new(&first))?;
        Ok(Victim { handle, out })
    }
}

impl Victim {
    /// Waits until its stage starts (or it is dead).
    pub fn started(&mut self) -> Result<()> {
        self.out.read(&mut [0; 64]).map(drop).at("read", Path::new("a pipe"))
    }

    /// SIGKILL to its whole process group.
    pub fn kill(&self) {
        for pid in self.handle.pids() {
            // It may be dead already, and waits to be asked how it ended.
            let _dead = nix::sys::signal::killpg(
                nix::unistd::Pid::from_raw(pid.cast_signed()),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
    }

    /// Waits for its end; how it ended, and its last words.
    pub fn end(self) -> Result<(ExitStatus, String)> {
        let path = Path::new("a victim");
        if self.handle.wait_timeout(HANG).at("wait for", path)?.is_none() {
            self.kill();
        }
        let output = self.handle.wait().at("wait for", path)?;
        Ok((output.status, String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

impl Blow {
    /// Of a victim that was to be killed.
    pub fn of_kill(status: ExitStatus) -> Self {
        match status.signal() == Some(libc::SIGKILL) {
            true => Blow::Hit,
            false => Blow::Missed,
        }
    }
}
