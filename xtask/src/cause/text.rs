//! Text files, line by line.

use std::collections::BTreeMap;

use super::{Cause, Found};

/// Most pairs of lines that are told of one file.
const LINES: usize = 5;

/// Compares two texts; whether they were such.
pub(super) fn compare(found: &mut Found<'_>, one: &[u8], other: &[u8]) -> bool {
    let (Some(one), Some(other)) = (text(one), text(other)) else { return false };
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (one.lines().collect(), other.lines().collect());
    let (gone, came) = (without(&ours, &theirs), without(&theirs, &ours));
    if gone.is_empty() && came.is_empty() {
        let mut pairs = ours.iter().zip(&theirs).zip(1..);
        let first = pairs.find(|((a, b), _)| a != b);
        let (cause, line, one, other) = match first {
            Some(((one, other), line)) => (Cause::Order, line, *one, *other),
            None => (Cause::Packing, ours.len(), "", ""), // line ends
        };
        found.inside(&format!("line {line}"), |found| found.add(cause, None, one, other));
        return true;
    }
    for at in 0..gone.len().max(came.len()).min(LINES) {
        let nothing = (0, "");
        let ((line, one), (_, other)) =
            (*gone.get(at).unwrap_or(&nothing), *came.get(at).unwrap_or(&nothing));
        let line = if line == 0 { came.get(at).map_or(0, |(line, _)| *line) } else { line };
        found.inside(&format!("line {line}"), |found| found.add_texts(None, one, other));
    }
    true
}

/// Text without control characters, not empty.
fn text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty())?;
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}');
    (!text.contains(control)).then_some(text)
}

/// Lines that are in `lines` only, with their numbers; a line is as often there as it is there.
fn without<'a>(lines: &[&'a str], others: &[&'a str]) -> Vec<(usize, &'a str)> {
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    others.iter().for_each(|line| *left.entry(line).or_default() += 1);
    let mut only = Vec::new();
    for (line, number) in lines.iter().zip(1..) {
        match left.get_mut(line) {
            Some(count) if *count > 0 => *count -= 1,
            _ => only.push((number, *line)),
        }
    }
    only
}
