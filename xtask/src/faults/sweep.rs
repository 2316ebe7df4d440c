//! Kills at the first, second, third … call of each system call that changes a file, until
//! none is left: strace(1) delivers SIGKILL on entry.

use super::report::Row;
use super::round::{Blow, Rounds};
use crate::command::{self, cmd};
use crate::error::{Kind, Result};
use crate::interrupt;

/// The calls that make, change, sync, rename and remove.
const CALLS: [&str; 13] = [
    "write",
    "chmod",
    "fchmod",
    "ftruncate",
    "fsync",
    "link",
    "linkat",
    "mkdir",
    "rename",
    "renameat2",
    "symlinkat",
    "unlink",
    "unlinkat",
];

/// All kills of a stage; skipped, and says so, where strace is not to be had.
pub fn all(rounds: &mut Rounds<'_>) -> Result<Row> {
    let mut row = Row::new(rounds.place.stage, "system calls");
    row.skipped = unavailable(rounds)?;
    if row.skipped.is_some() {
        return Ok(row);
    }
    for call in CALLS {
        let mut number = 1;
        loop {
            interrupt::check()?;
            let how = format!("stage {}, at {call} number {number}", rounds.place.stage.name());
            let killed = rounds.round(&mut row, &how, |rounds| {
                let inject = format!("inject={call}:signal=SIGKILL:when={number}");
                Ok(Blow::of_kill(rounds.start(&strace("/dev/null", call, &inject))?.end()?.0))
            })?;
            if !killed {
                break;
            }
            number += 1;
        }
    }
    if row.hits == 0 {
        row.bad.push("strace killed nothing: what it injects does not arrive".to_owned());
    }
    Ok(row)
}

/// Why nothing can be traced here, if so.
pub fn unavailable(rounds: &Rounds<'_>) -> Result<Option<String>> {
    let sh = command::shell()?;
    match command::read(cmd!(sh, "strace -V"), &command::Env::host(&[])) {
        Err(error) if error.kind() == Kind::Machine => {
            return Ok(Some("strace is not installed".to_owned()));
        }
        version => version?,
    };
    let (status, words) = rounds.start(&strace("/dev/null", "fsync", "signal=none"))?.end()?;
    Ok((!status.success()).then(|| format!("strace cannot trace here ({status}): {words}")))
}

/// A strace that follows threads and writes what it sees to `seen`. Not with
/// `--seccomp-bpf`: it then injects nothing.
pub fn strace(seen: &str, call: &str, more: &str) -> Vec<String> {
    let trace = format!("trace={call}");
    let words = ["strace", "-f", "-qq", "-o", seen, "-e", &trace, "-e", more];
    words.map(str::to_owned).into()
}
