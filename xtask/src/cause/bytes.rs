//! Bytes of no known format, and pieces of those of a known one.

use std::collections::BTreeMap;

use super::{Cause, Found, Known};

/// Fewest characters of a text among other bytes.
const TEXT: usize = 4;
/// Most texts of one piece that are told.
const TEXTS: usize = 5;
/// Bytes that are shown of each side.
const SHOWN: usize = 16;

/// Compares two pieces of bytes: by the texts in them, else by their first difference.
pub(super) fn compare(found: &mut Found<'_>, one: &[u8], other: &[u8]) {
    if one == other || python_time(found, one, other) || texts(found, one, other) {
        return;
    }
    let at = first_difference(one, other);
    let cause = number_at(one, other, at, found.known).unwrap_or(Cause::Contents);
    found.add(cause, Some(at), &excerpt(one, at), &excerpt(other, at));
}

/// Where the first byte differs, or one of the two ends.
pub(super) fn first_difference(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

/// The bytes from `at` on, in hexadecimal.
pub(super) fn excerpt(bytes: &[u8], at: usize) -> String {
    let from = at.min(bytes.len());
    let piece = bytes[from..].iter().take(SHOWN).map(|byte| format!("{byte:02x}"));
    piece.collect::<Vec<_>>().join(" ")
}

/// What number differs at `at`, when nothing else does: a time or an address by its size,
/// else any number. Numbers are little-endian and aligned, as compilers place them.
pub(super) fn number_at(one: &[u8], other: &[u8], at: usize, known: &Known) -> Option<Cause> {
    if one.len() != other.len() {
        return None;
    }
    let wide = at & !7;
    let same_after = one.get(wide + 8..) == other.get(wide + 8..);
    let eight =
        |bytes: &[u8]| Some(u64::from_le_bytes(bytes.get(wide..wide + 8)?.try_into().ok()?));
    let narrow = at & !3;
    let four =
        |bytes: &[u8]| Some(u32::from_le_bytes(bytes.get(narrow..narrow + 4)?.try_into().ok()?));
    let (ours, theirs) = (four(one).map(u64::from), four(other).map(u64::from));
    match (eight(one), eight(other), ours, theirs) {
        (Some(a), Some(b), ..) if same_after && is_address(a) && is_address(b) => {
            Some(Cause::Address)
        }
        (.., Some(a), Some(b)) if same_after && known.are_times(a, b) => Some(Cause::Timestamp),
        _ if same_after => Some(Cause::Number),
        _ => None,
    }
}

/// Addresses of user space on x86-64, as position-independent programs have them.
fn is_address(value: u64) -> bool {
    (0x5500_0000_0000..0x8000_0000_0000).contains(&value)
}

/// CPython's compiled modules: flags, then the source's modification time (PEP 552).
fn python_time(found: &mut Found<'_>, one: &[u8], other: &[u8]) -> bool {
    let head = |bytes: &[u8]| {
        let timed = bytes.get(2..8) == Some(b"\r\n\0\0\0\0");
        timed.then(|| Some(u32::from_le_bytes(bytes.get(8..12)?.try_into().ok()?)))?
    };
    match (head(one), head(other)) {
        (Some(a), Some(b)) if a != b && one.get(12..) == other.get(12..) => {
            found.add(Cause::Timestamp, Some(8), &a.to_string(), &b.to_string());
            true
        }
        _ => false,
    }
}

/// Compares the texts in two pieces; whether they differ in any.
pub(super) fn texts(found: &mut Found<'_>, one: &[u8], other: &[u8]) -> bool {
    let (ours, theirs) = (texts_of(one), texts_of(other));
    let (gone, came) = (without(&ours, &theirs), without(&theirs, &ours));
    if gone.is_empty() && came.is_empty() {
        let first = ours.iter().zip(&theirs).find(|((_, a), (_, b))| a != b);
        if let Some(((at, one), (_, other))) = first {
            found.add(Cause::Order, Some(*at), one, other);
        }
        return first.is_some();
    }
    for at in 0..gone.len().max(came.len()).min(TEXTS) {
        let nothing = (usize::MAX, String::new());
        let (ours, theirs) = (gone.get(at).unwrap_or(&nothing), came.get(at).unwrap_or(&nothing));
        found.add_texts(Some(ours.0.min(theirs.0)), &ours.1, &theirs.1);
    }
    true
}

/// Runs of printable characters, and where they begin.
fn texts_of(bytes: &[u8]) -> Vec<(usize, String)> {
    let printable = |byte: u8| (0x20..0x7f).contains(&byte) || byte >= 0xc2 || byte == b'\t';
    let mut texts = Vec::new();
    let mut start = 0;
    for at in 0..=bytes.len() {
        let goes_on = bytes
            .get(at)
            .is_some_and(|&byte| printable(byte) || at > start && (0x80..0xc0).contains(&byte));
        if goes_on {
            continue;
        }
        if let Ok(text) = std::str::from_utf8(&bytes[start..at])
            && text.chars().count() >= TEXT
        {
            texts.push((start, text.to_owned()));
        }
        start = at + 1;
    }
    texts
}

fn without(texts: &[(usize, String)], others: &[(usize, String)]) -> Vec<(usize, String)> {
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    others.iter().for_each(|(_, text)| *left.entry(text).or_default() += 1);
    let mut only = Vec::new();
    for (at, text) in texts {
        match left.get_mut(text.as_str()) {
            Some(count) if *count > 0 => *count -= 1,
            _ => only.push((*at, text.clone())),
        }
    }
    only
}
