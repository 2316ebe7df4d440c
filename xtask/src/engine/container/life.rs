//! A container's life: it is made, started, waited for, judged and removed.

use std::path::Path;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::base::Base;
use super::client::{self, Answer, ask, refusal};
use super::guard::Guard;
use super::plan::Plan;
use crate::engine::follow::{Ends, Streams, UnderWay};
use crate::engine::log::{Log, Writer, tail};
use crate::engine::outcome::oom_kills;
use crate::engine::{End, Outcome, Output, Proc};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::progress;

/// A container that was made, and its guard.
pub(super) struct Container<'a> {
    plan: &'a Plan<'a>,
    guard: Guard,
}

impl<'a> Container<'a> {
    /// Makes it; an image that was removed meanwhile is made once more.
    pub(super) fn create(plan: &'a Plan<'a>, base: &Base) -> Result<Self> {
        let guard = Guard::post(plan.product, plan.name, plan.base)?;
        base.ensure()?;
        let mut answer = ask(plan.product, &plan.create(), None)?;
        if !answer.yes && is_without_image(&answer) {
            base.ensure()?;
            answer = ask(plan.product, &plan.create(), None)?;
        }
        match answer.yes {
            true => Ok(Container { plan, guard }),
            false => Err(refusal(plan.product, "create", &answer.words)),
        }
    }

    pub(super) fn carry_out(self, output: Output<'_>) -> Result<Outcome> {
        let kills = oom_kills();
        let path = match &output {
            Output::Log(log) => Some(log.path.to_owned()),
            Output::Inherit => None,
        };
        match output {
            Output::Inherit => self.at_the_terminal()?,
            Output::Log(log) => self.logged(log)?,
        }
        let state = self.state()?;
        let outcome = self.verdict(&state, path.as_deref(), oom_kills() - kills)?;
        if !self.guard.remove() {
            let Plan { product, name, .. } = self.plan;
            progress::say(&format!("{product}: cannot remove the container `{name}`"));
        }
        Ok(outcome)
    }

    fn at_the_terminal(&self) -> Result<()> {
        let _guard = interrupt::leave_to_child();
        let product = self.plan.product;
        let client = client::at_the_terminal(product, &self.plan.start());
        client.run().map(drop).map_err(|cause| client::not_started(product, &cause))
    }

    fn logged(&self, log: Log<'_>) -> Result<()> {
        let end = log.limit.map(|limit| Instant::now() + limit);
        let ends = Ends { end, stop: log.stop };
        let mut log = Writer::create(log)?;
        let pipes = || Ok::<_, std::io::Error>((std::io::pipe()?, std::io::pipe()?));
        let ((out, to_out), (err, to_err)) = pipes()
            .map_err(|cause| Error::new(Kind::Io, format!("cannot make a pipe: {cause}")))?;
        let product = self.plan.product;
        // The streams end with the client: nobody else may hold them.
        let started = client::command(product, &self.plan.start())
            .stdin_null()
            .stdout_file(to_out)
            .stderr_file(to_err)
            .start()
            .map_err(|cause| client::not_started(product, &cause))?;
        let attached = Attached { client: started, guard: &self.guard };
        let streams = Streams::new([out, err]);
        streams.follow(self.plan.run, &mut log, ends, &attached)
    }

    /// What the engine knows of the container now.
    fn state(&self) -> Result<State> {
        let Plan { product, name, .. } = *self.plan;
        let words = ["container", "inspect", "--format", "{{json .State}}", name];
        let answer = ask(product, &words.map(str::to_owned), None)?;
        if answer.yes
            && let Ok(state) = serde_json::from_str(answer.text.trim())
        {
            return Ok(state);
        }
        if answer.words.to_lowercase().contains("no such") {
            return Err(self.lost("somebody removed its container"));
        }
        Err(refusal(product, "inspect", &answer.words).context(format!(
            "the engine `{product}` stopped before `{}` ended",
            self.plan.run.argv[0]
        )))
    }

    /// What came of it. `log` has the words of an engine that could not start it.
    fn verdict(&self, state: &State, log: Option<&Path>, oom_kills: u64) -> Result<Outcome> {
        let Plan { product, run, .. } = self.plan;
        let program = &run.argv[0];
        let words = || log.and_then(|log| tail(log, 4).ok()).unwrap_or_default();
        let root = run.root.display();
        match (state.status.as_str(), state.exit_code) {
            ("exited" | "stopped" | "dead" | "removing", code @ 0..=255) => {
                let words = if code == 126 || code == 127 { words() } else { String::new() };
                if let Some(cause) = not_executed(&words) {
                    let message = format!("cannot start `{program}` in the root `{root}`: {cause}");
                    return Err(Error::new(Kind::Io, message));
                }
                let oom_kills = oom_kills.max(u64::from(state.oom_killed));
                Ok(Outcome { end: end(code), proc: Proc::Masked, oom_kills })
            }
            ("running" | "paused", _) => Err(self.lost("its client lost the connection")),
            _ => {
                let above = if log.is_none() { "its words are above" } else { "" };
                let words = format!("{}\n{}\n{above}", words(), state.error);
                Err(refusal(*product, "start", &words))
            }
        }
    }

    /// A run that ended otherwise than by its own doing.
    fn lost(&self, why: &str) -> Error {
        let Plan { product, run, .. } = self.plan;
        let message = format!("the engine `{product}` lost the run of `{}`: {why}", run.argv[0]);
        Error::new(Kind::Machine, message).hint("run it again")
    }
}

/// What `inspect` says of a container.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    status: String,
    exit_code: i64,
    #[serde(rename = "OOMKilled", default)]
    oom_killed: bool,
    #[serde(default)]
    error: String,
}

fn is_without_image(answer: &Answer) -> bool {
    let words = answer.words.to_lowercase();
    words.contains("no such image")
}

/// How the command ended, by the code that the container's first process passes on.
fn end(code: i64) -> End {
    let code = u8::try_from(code).unwrap_or(u8::MAX);
    match code.checked_sub(128) {
        Some(signal @ 1..=64) => End::Signaled(signal),
        _ => End::Exited(code),
    }
}

/// Why the container's init could not start the command, from its last words.
fn not_executed(words: &str) -> Option<String> {
    let init = |line: &&str| line.contains("tini") || line.contains("catatonit");
    let line = words.lines().rfind(init)?;
    let (_, cause) = line.contains("exec").then(|| line.rsplit_once(": "))??;
    Some(cause.trim().to_lowercase())
}

/// A client that waits for the container's end.
struct Attached<'a> {
    client: duct::Handle,
    guard: &'a Guard,
}

impl UnderWay for Attached<'_> {
    /// The client passes it on.
    fn signal(&self, signal: Signal) {
        for pid in self.client.pids() {
            let _ = kill(Pid::from_raw(pid.cast_signed()), signal);
        }
    }

    /// One that ended is still to be asked how.
    fn kill(&self) {
        if !matches!(self.client.try_wait(), Ok(Some(_))) {
            self.guard.remove();
        }
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        if !matches!(self.client.try_wait(), Ok(Some(_))) {
            // Its streams are closed, so it is about to end, or it was cut off.
            if !matches!(self.client.wait_timeout(std::time::Duration::from_secs(5)), Ok(Some(_))) {
                drop(self.client.kill());
                drop(self.client.wait());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_init_that_finds_no_program_is_understood() {
        let cause = |words| not_executed(words);
        let tini = "hi\n[FATAL tini (7)] exec /usr/bin/no failed: No such file or directory";
        assert_eq!(cause(tini).as_deref(), Some("no such file or directory"));
        let catatonit = "ERROR (catatonit:2): failed to exec pid1: Permission denied\n";
        assert_eq!(cause(catatonit).as_deref(), Some("permission denied"));
        assert_eq!(cause("sh: 1: no-such: not found"), None);
        assert_eq!(cause(""), None);
    }

    #[test]
    fn a_signal_is_known_by_its_code() {
        assert_eq!(end(0), End::Exited(0));
        assert_eq!(end(137), End::Signaled(9));
        assert_eq!(end(128), End::Exited(128));
        assert_eq!(end(255), End::Exited(255));
    }
}
