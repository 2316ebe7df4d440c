//! TensorFlow's build, killed half way: what is left of it, against the whole. The small
//! TensorFlow is the tests' own (`tests/source/`), and so is the measurement.

use std::time::Duration;

use xshell::cmd;

use crate::error::{Error, Kind, Result};

use super::pair::Pair;
use super::row::{Row, Unit};
use super::setting::Setting;

/// Killed after half the time of a whole build, and gone on with.
pub fn resume(setting: &Setting<'_>) -> Result<Vec<Row>> {
    let what = "`build-tf` after a kill at half way / whole";
    let test = "source::resume::a_build_that_was_killed_half_way_and_a_whole_one";
    let mut pairs = Vec::new();
    for _ in 0..setting.runs {
        let words = ["--ignored", "--exact", "--nocapture"];
        let run = cmd!(
            setting.sh,
            "cargo test --quiet --locked --package xtask --test it {test} -- {words...}"
        );
        let said = setting.read(run)?;
        if let Some((_, why)) = said.split_once("skipped: ") {
            return Ok(vec![Row::skipped("resume", what, why, Unit::Times, 0.6)]);
        }
        let pair = pair(&said).ok_or_else(|| Error::new(Kind::Io, format!("{test}: {said}")))?;
        pairs.push(pair);
    }
    Ok(vec![Row::of_pairs("resume", what, &pairs, Unit::Times, 0.6)])
}

/// Of `measured: 31.5 s of 58.0 s`.
fn pair(said: &str) -> Option<Pair> {
    let (_, rest) = said.split_once("measured: ")?;
    let (ours, peer) = rest.lines().next()?.split_once(" of ")?;
    let seconds = |text: &str| text.strip_suffix(" s")?.parse().ok().map(Duration::from_secs_f64);
    Some(Pair { ours: seconds(ours)?, peer: seconds(peer)? })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_measurement_is_read() {
        let pair = super::pair("running 1 test\nmeasured: 31.5 s of 60.0 s\nok\n").unwrap();
        assert!((pair.ratio() - 0.525).abs() < 1e-9);
        assert!(super::pair("measured: nothing").is_none());
    }
}
