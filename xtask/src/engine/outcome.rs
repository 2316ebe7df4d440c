//! How a run ended.

use std::fmt;
use std::fs;

use serde::{Deserialize, Serialize};

/// How a run's command ended, exactly as the kernel told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Its exit code.
    Exited(u8),
    /// The number of the signal that killed it.
    Signaled(u8),
}

impl End {
    /// The exit code that a shell reports: 128 + n for signal n.
    pub fn code(self) -> u8 {
        match self {
            End::Exited(code) => code,
            End::Signaled(signal) => signal.saturating_add(128),
        }
    }
}

/// `exit code 1`, `killed by SIGSEGV`.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            End::Exited(code) => write!(f, "exit code {code}"),
            End::Signaled(number) => match nix::sys::signal::Signal::try_from(i32::from(number)) {
                Ok(signal) => write!(f, "killed by {signal}"),
                Err(_) => write!(f, "killed by signal {number}"),
            },
        }
    }
}

/// Which `/proc` the run saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proc {
    /// Its own: only its own processes, and a nested sandbox may mount another.
    Fresh,
    /// The host's, because the kernel forbade a fresh one (a container that hides parts of
    /// its own `/proc`): process ids in it are not those that the run's system calls give.
    Host,
    /// Its own, parts of it hidden by the container engine: no nested sandbox may mount one.
    Masked,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How the command ended.
    pub end: End,
    /// Which `/proc` it had.
    pub proc: Proc,
    /// How often the kernel killed a process for want of memory meanwhile, anywhere on this
    /// machine: a cause to name when the command failed.
    pub oom_kills: u64,
}

impl Outcome {
    /// Whether the command succeeded.
    pub fn success(&self) -> bool {
        self.end == End::Exited(0)
    }
}

/// The end, and the want of memory that may explain it.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.end.fmt(f)?;
        if !self.success() && self.oom_kills > 0 {
            write!(f, " (the kernel killed a process for want of memory meanwhile)")?;
        }
        Ok(())
    }
}

/// How often the kernel has killed a process for want of memory since it booted (proc(5)).
pub(super) fn oom_kills() -> u64 {
    let counters = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let count = counters.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_told_in_words() {
        let told = |end, oom_kills| Outcome { end, proc: Proc::Fresh, oom_kills }.to_string();
        assert_eq!(told(End::Exited(3), 0), "exit code 3");
        assert_eq!(told(End::Exited(0), 1), "exit code 0");
        assert_eq!(
            told(End::Signaled(9), 1),
            "killed by SIGKILL (the kernel killed a process for want of memory meanwhile)"
        );
        assert_eq!(told(End::Signaled(64), 0), "killed by signal 64");
        assert_eq!(End::Signaled(9).code(), 137);
    }
}
