//! Trying again: what passes is waited out, what does not is not.

use std::time::{Duration, Instant};

use super::Limits;
use super::http::{Failure, Retry};
use crate::error::{Error, Result};

/// Why a URL did not do: it failed, or this machine did.
pub(super) enum Trouble {
    Remote(Failure),
    Local(Error),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::Remote(failure)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Trouble::Local(error)
    }
}

/// A failed attempt and the bytes that it brought all the same.
pub(super) struct Attempt {
    trouble: Trouble,
    brought: u64,
}

impl From<Trouble> for Attempt {
    fn from(trouble: Trouble) -> Self {
        Attempt { trouble, brought: 0 }
    }
}

impl From<(Trouble, u64)> for Attempt {
    fn from((trouble, brought): (Trouble, u64)) -> Self {
        Attempt { trouble, brought }
    }
}

/// Runs `attempt` until it succeeds, fails for good, or has failed too often. One that
/// brought a good piece of the file does not count: the file is only so long. `check` says
/// when there is no use in going on.
pub(super) fn again<T, E: Into<Attempt>>(
    limits: &Limits,
    check: &dyn Fn() -> Result<()>,
    attempt: &mut impl FnMut() -> Result<T, E>,
) -> Result<T, Trouble> {
    let mut failures = 0;
    loop {
        let Attempt { trouble, brought } = match attempt() {
            Ok(value) => return Ok(value),
            Err(error) => error.into(),
        };
        check()?; // a stopped client fails too: that is not the mirror's fault
        let failure = match trouble {
            Trouble::Remote(failure) if failure.retry != Retry::No => failure,
            other => return Err(other),
        };
        failures = if brought >= limits.piece { 0 } else { failures + 1 };
        if failures >= limits.attempts {
            let why = format!("{} ({failures} attempts)", failure.why);
            return Err(Failure::last(why).into());
        }
        let wait = match failure.retry {
            Retry::After(pause) => pause.min(limits.patience),
            _ => limits.backoff * 2u32.pow(failures.saturating_sub(1)),
        };
        pause(wait, check)?;
    }
}

fn pause(pause: Duration, check: &dyn Fn() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < pause {
        check()?;
        std::thread::sleep((pause - start.elapsed().min(pause)).min(Duration::from_millis(20)));
    }
    Ok(())
}
