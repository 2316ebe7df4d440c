//! System calls that fail, by strace(1): a full disk, a broken disk, no more open files, an
//! interruption. The victim gets over it, or says what failed; it never panics.

use std::process::ExitStatus;

use super::report::Row;
use super::round::{Blow, Rounds};
use super::sweep::{strace, unavailable};
use crate::error::{IoContext as _, Result};
use crate::interrupt;

/// What fails, and how: at the first call, the second, the third … until none is left.
const ONE_BY_ONE: [(&str, &str); 7] = [
    ("write", "ENOSPC"),
    ("write", "EDQUOT"),
    ("fsync", "EIO"),
    ("rename", "EIO"),
    ("mkdir", "ENOSPC"),
    ("ftruncate", "EIO"),
    ("fchmod", "EIO"),
];

/// What the victim must get over, every third time. The first calls are the loader's, which
/// gets over nothing.
const INTERRUPTED: [&str; 3] = ["read", "pread64", "write"];
const EVERY_THIRD: [&str; 3] = ["12+3", "12+3", "1+3"];

/// All errors of a stage; skipped, and says so, where strace is not to be had.
pub fn all(rounds: &mut Rounds<'_>) -> Result<Row> {
    let mut row = Row::new(rounds.place.stage, "failing calls");
    row.skipped = unavailable(rounds)?;
    if row.skipped.is_some() {
        return Ok(row);
    }
    for (call, error) in ONE_BY_ONE {
        let mut number = 1;
        while strike(rounds, &mut row, call, error, &number.to_string())? {
            number += 1;
        }
    }
    for (call, when) in INTERRUPTED.into_iter().zip(EVERY_THIRD) {
        strike(rounds, &mut row, call, "EINTR", when)?;
    }
    if row.hits == 0 {
        row.bad.push("strace injected nothing".to_owned());
    }
    Ok(row)
}

/// One victim whose `call` fails with `error`; whether it came to that.
fn strike(
    rounds: &mut Rounds<'_>,
    row: &mut Row,
    call: &str,
    error: &str,
    when: &str,
) -> Result<bool> {
    interrupt::check()?;
    let how = format!("stage {}, {error} at {call} number {when}", rounds.place.stage.name());
    rounds.round(row, &how, |rounds| {
        let seen = rounds.place.store.root().with_file_name("strace");
        let inject = format!("inject={call}:error={error}:when={when}");
        let before = strace(&seen.to_string_lossy(), call, &inject);
        let (status, words) = rounds.start(&before)?.end()?;
        let trace = std::fs::read_to_string(&seen).at("read", &seen)?;
        Ok(match trace.contains("(INJECTED)") {
            false => Blow::Missed,
            true => judge(status, &words, error == "EINTR", rounds.is_made()),
        })
    })
}

/// Success is all of it; failure has words and an exit code of ours.
fn judge(status: ExitStatus, words: &str, must: bool, made: bool) -> Blow {
    let bad = |why: &str| Blow::Bad(format!("{why} ({status}): {words}"));
    match status.code() {
        Some(0) if made => Blow::Hit,
        Some(0) => bad("it says that it is done, and it is not"),
        _ if must => bad("it does not get over it"),
        Some(1..=11) if words.contains("error: ") => Blow::Hit,
        // It could not even say so.
        Some(1..=11) if words.is_empty() => Blow::Hit,
        _ => bad("it ends without a word of ours"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    #[test]
    fn a_panic_and_a_false_success_are_bad() {
        let judge = |code: i32, words: &str, must, made| {
            matches!(judge(ExitStatus::from_raw(code << 8), words, must, made), Blow::Hit)
        };
        assert!(judge(0, "", true, true) && judge(1, "error: full", false, false));
        assert!(!judge(0, "", false, false), "nothing was made");
        assert!(!judge(1, "error: interrupted", true, false), "it must get over it");
        assert!(!judge(101, "thread 'main' panicked", false, false));
    }
}
