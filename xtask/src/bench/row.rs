//! What was found, as a table for people and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::pair::{Pair, median};

/// What a figure and its bound count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// Ours as a multiple of the peer's time.
    #[serde(rename = "times")]
    Times,
    /// Seconds that ours takes more.
    #[serde(rename = "seconds over")]
    Over,
    /// Seconds.
    #[serde(rename = "seconds")]
    Seconds,
    /// Milliseconds for each op package.
    #[serde(rename = "ms an op")]
    EachOp,
    /// Hundredths.
    #[serde(rename = "percent")]
    Percent,
    /// 2^20 bytes.
    #[serde(rename = "MiB")]
    Memory,
}

/// One figure with its bound.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What was measured, for short.
    pub name: &'static str,
    /// Our work, and the peer's.
    pub what: String,
    /// Median time of ours in seconds.
    pub ours: Option<f64>,
    /// Median time of the peer in seconds.
    pub peer: Option<f64>,
    /// The figure; none when it was not measured.
    pub figure: Option<f64>,
    /// The most that it may be.
    pub bound: f64,
    /// What both count.
    pub unit: Unit,
    /// `met`, `not met`, or `skipped: why`.
    pub verdict: String,
}

impl Row {
    /// From pairs; `unit` is [`Unit::Times`] or [`Unit::Over`].
    pub fn of_pairs(
        name: &'static str,
        what: &str,
        pairs: &[Pair],
        unit: Unit,
        bound: f64,
    ) -> Self {
        let figure = median(pairs, if unit == Unit::Over { Pair::over } else { Pair::ratio });
        let ours = Some(median(pairs, |pair| pair.ours.as_secs_f64()));
        let peer = Some(median(pairs, |pair| pair.peer.as_secs_f64()));
        Row { ours, peer, ..Row::alone(name, what, figure, unit, bound) }
    }

    /// A figure without a peer.
    pub fn alone(name: &'static str, what: &str, figure: f64, unit: Unit, bound: f64) -> Self {
        let verdict = if figure <= bound { "met" } else { "not met" }.to_owned();
        let (ours, peer, what) = (None, None, what.to_owned());
        Row { name, what, ours, peer, figure: Some(figure), bound, unit, verdict }
    }

    /// Not measured, because of `why`.
    pub fn skipped(name: &'static str, what: &str, why: &str, unit: Unit, bound: f64) -> Self {
        let why = why.lines().next().unwrap_or_default();
        let verdict = format!("skipped: {why}");
        Row { figure: None, verdict, ..Row::alone(name, what, 0.0, unit, bound) }
    }
}

/// A table in Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| name | what | ours | peer | figure | at most | |\n\
         | --- | --- | ---: | ---: | ---: | ---: | --- |\n",
    );
    for row in rows {
        let time = |time: Option<f64>| time.map_or_else(|| "-".to_owned(), seconds);
        let figure = row.figure.map_or_else(|| "-".to_owned(), |figure| shown(figure, row.unit));
        let (ours, peer, bound) = (time(row.ours), time(row.peer), shown(row.bound, row.unit));
        let Row { name, what, verdict, .. } = row;
        let _infallible = writeln!(
            text,
            "| {name} | {what} | {ours} | {peer} | {figure} | {bound} | {verdict} |"
        );
    }
    text
}

fn seconds(time: f64) -> String {
    match time {
        time if time.abs() < 0.1 => format!("{:.1} ms", time * 1e3),
        time if time.abs() < 10.0 => format!("{time:.2} s"),
        time => format!("{time:.1} s"),
    }
}

fn shown(figure: f64, unit: Unit) -> String {
    match unit {
        Unit::Times => format!("{figure:.2}x"),
        Unit::Over => format!("{figure:+.1} s"),
        Unit::Seconds => seconds(figure),
        Unit::EachOp => format!("{figure:.2} ms an op"),
        Unit::Percent => format!("{figure:.2} %"),
        Unit::Memory => format!("{figure:.0} MiB"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_table_says_figure_bound_and_verdict() {
        let pair = |ours, peer| Pair {
            ours: Duration::from_millis(ours),
            peer: Duration::from_millis(peer),
        };
        let rows = [
            Row::of_pairs("noop", "a / b", &[pair(90, 50), pair(80, 40)], Unit::Times, 2.0),
            Row::of_pairs("edit", "a - b", &[pair(14_500, 11_000)], Unit::Over, 3.0),
            Row::alone("many", "100 ops", 2.5, Unit::EachOp, 50.0),
            Row::alone("memory", "peak", 300.4, Unit::Memory, 256.0),
            Row::skipped("site", "a / uv", "this machine has no `uv`\nhint", Unit::Times, 0.67),
        ];
        insta::assert_snapshot!(table(&rows), @r"
        | name | what | ours | peer | figure | at most | |
        | --- | --- | ---: | ---: | ---: | ---: | --- |
        | noop | a / b | 85.0 ms | 45.0 ms | 1.90x | 2.00x | met |
        | edit | a - b | 14.5 s | 11.0 s | +3.5 s | +3.0 s | not met |
        | many | 100 ops | - | - | 2.50 ms an op | 50.00 ms an op | met |
        | memory | peak | - | - | 300 MiB | 256 MiB | not met |
        | site | a / uv | - | - | - | 0.67x | skipped: this machine has no `uv` |
        ");
        let json = serde_json::to_value(&rows[4]).unwrap();
        assert_eq!(json["figure"], serde_json::Value::Null);
        assert_eq!(json["unit"], "times");
    }
}
