//! Kills at random times.

use std::time::Duration;

use super::chance::Chance;
use super::report::Row;
use super::round::{Blow, Rounds};
use crate::error::Result;
use crate::interrupt;

/// Kills until `kills` victims died of it; one that ended before does not count.
pub fn random(rounds: &mut Rounds<'_>, kills: u32, chance: &mut Chance) -> Result<Row> {
    let stage = rounds.place.stage;
    let mut row = Row::new(stage, "random times");
    let mut longest = Duration::ZERO;
    for _ in 0..3 {
        // Nothing is there, so that the whole stage is timed.
        rounds.place.empty()?;
        longest = longest.max(rounds.undisturbed()?);
    }
    // A machine that paused once makes the longest of three many times a victim's life: after
    // each miss in a row the next kill comes twice as early, and at some time enough is enough.
    let mut missed = 0;
    for attempt in 0..kills.saturating_mul(4) {
        interrupt::check()?;
        if row.hits == kills {
            break;
        }
        let delay = chance.within(longest / (1 << missed.min(10)));
        let how = format!("stage {}, attempt {attempt}, {delay:?} after its start", stage.name());
        let hits = row.hits;
        rounds.round(&mut row, &how, |rounds| {
            let mut victim = rounds.start(&[])?;
            victim.started()?;
            std::thread::sleep(delay);
            victim.kill();
            Ok(Blow::of_kill(victim.end()?.0))
        })?;
        missed = if row.hits > hits { 0 } else { missed + 1 };
    }
    Ok(row)
}
