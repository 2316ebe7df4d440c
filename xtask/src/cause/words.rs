//! What kind of thing two texts differ in.

use std::collections::BTreeSet;

use super::{Cause, Known};

/// Most characters of an excerpt.
const SHOWN: usize = 72;
/// Characters that are kept before the first difference.
const BEFORE: usize = 24;

/// `text` as one printable line.
pub fn shown(text: &str) -> String {
    let printable = |c: char| match c {
        '\n' => "\\n".to_owned(),
        '\t' => "\\t".to_owned(),
        c if c.is_control() => "?".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(printable).collect()
}

/// Both texts around their first difference, printable and short.
pub fn excerpts(one: &str, other: &str) -> (String, String) {
    let (one, other): (Vec<char>, Vec<char>) =
        (shown(one).chars().collect(), shown(other).chars().collect());
    let same = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let long = one.len().max(other.len()) > SHOWN;
    let from = if long { same.saturating_sub(BEFORE) } else { 0 };
    let cut = |text: &[char]| {
        let piece: String = text.iter().skip(from).take(SHOWN).collect();
        let before = if from > 0 && !piece.is_empty() { "…" } else { "" };
        let after = if text.len() > from + SHOWN { "…" } else { "" };
        format!("{before}{piece}{after}")
    };
    (cut(&one), cut(&other))
}

/// What kind of thing `one` and `other` differ in.
pub fn cause(one: &str, other: &str, known: &Known) -> Cause {
    if let Some(cause) = known.mark(one, other) {
        return cause;
    }
    if ["GCC: (", "GNU C", "clang version", "rustc version"]
        .iter()
        .any(|name| one.contains(name) && other.contains(name))
    {
        return Cause::Compiler;
    }
    let (ours, theirs) = (tokens(one), tokens(other));
    if ours.len() > 1 && same_set(&ours, &theirs) {
        return Cause::Order;
    }
    if is_date(&ours) && is_date(&theirs) {
        return Cause::Timestamp;
    }
    if ours.len() != theirs.len() {
        return Cause::Contents;
    }
    let mut pairs = ours.iter().zip(&theirs).filter(|(a, b)| a != b);
    let key = one.split(|c: char| c.is_whitespace() || c == '=' || c == ':').next();
    let first = pairs.next().map_or(Cause::Contents, |(a, b)| of_tokens(a, b, known));
    match first {
        Cause::Contents | Cause::Number if key.is_some_and(|key| names_a_name(key, other)) => {
            Cause::Name
        }
        found => found,
    }
}

/// Words, numbers and paths, without what stands between them.
fn tokens(text: &str) -> Vec<&str> {
    let between = |c: char| c.is_whitespace() || c.is_control() || "\"'`,;()[]{}=<>|&".contains(c);
    text.split(between).filter(|token| !token.is_empty()).collect()
}

fn same_set(one: &[&str], other: &[&str]) -> bool {
    let sorted = |tokens: &[&str]| {
        let mut sorted: Vec<_> = tokens.iter().map(ToString::to_string).collect();
        sorted.sort_unstable();
        sorted
    };
    one.len() == other.len() && sorted(one) == sorted(other)
}

/// Whether a key that both texts begin with speaks of a host, a user or a group.
fn names_a_name(key: &str, other: &str) -> bool {
    let lower = key.to_lowercase();
    other.starts_with(key)
        && ["host", "user", "group", "uid", "gid"].iter().any(|w| lower.contains(w))
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Whether a month and a number stand side by side.
fn is_date(tokens: &[&str]) -> bool {
    let month = |word: &str| MONTHS.iter().any(|month| word.starts_with(month));
    let number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    tokens.windows(2).any(|two| month(two[0]) && number(two[1]) || number(two[0]) && month(two[1]))
}

/// What kind of thing two single words are.
fn of_tokens(one: &str, other: &str, known: &Known) -> Cause {
    let both = |is: fn(&str) -> bool| is(one) && is(other);
    match () {
        () if both(is_clock) || are_times(one, other, known) => Cause::Timestamp,
        () if both(is_identity) => Cause::BuildId,
        () if both(is_path) => Cause::Path,
        () if both(is_address) => Cause::Address,
        () if both(is_version) => Cause::Version,
        () if both(is_number) => Cause::Number,
        () => Cause::Contents,
    }
}

/// `12:34`, `12:34:56.7`, `2026-11-22`, `2026-11-22T12:34:56Z`.
fn is_clock(word: &str) -> bool {
    let shape: String = word.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    let shapes = ["99:99", "9:99:99", "9999-99-99", "9999/99/99", "99/99/99"];
    shapes.iter().any(|known| shape.contains(known))
}

/// Whether both are bare numbers that say when: `20261122`, or seconds, milliseconds,
/// microseconds or nanoseconds since 1970.
fn are_times(one: &str, other: &str, known: &Known) -> bool {
    match (day(one), day(other), seconds(one), seconds(other)) {
        (Some(one), Some(other), ..) => known.are_days(one, other),
        (.., Some(one), Some(other)) => known.are_times(one, other),
        _ => false,
    }
}

/// The digits of a bare number, before its fraction.
fn digits(word: &str) -> Option<&str> {
    let word = word.trim_end_matches(['L', 'U', 'Z']);
    let word = word.strip_prefix('@').unwrap_or(word);
    word.parse::<f64>().ok()?;
    word.split('.').next()
}

/// `20261122`: year, month and day.
fn day(word: &str) -> Option<(u64, u64, u64)> {
    let digits = digits(word).filter(|digits| digits.len() == 8)?;
    let part = |range: std::ops::Range<usize>| digits.get(range)?.parse().ok();
    Some((part(0..4)?, part(4..6)?, part(6..8)?))
}

fn seconds(word: &str) -> Option<u64> {
    let digits = digits(word)?;
    let scale = match digits.len() {
        10 => 1,
        13 => 1_000,
        16 => 1_000_000,
        19 => 1_000_000_000,
        _ => return None,
    };
    Some(digits.parse::<u64>().ok()? / scale)
}

/// A UUID, or a digest in hexadecimal.
fn is_identity(word: &str) -> bool {
    let digits = word.replace('-', "");
    digits.len() >= 32 && digits.chars().all(|c| c.is_ascii_hexdigit())
}

fn is_path(word: &str) -> bool {
    let parts: BTreeSet<&str> = word.split('/').filter(|part| !part.is_empty()).collect();
    (word.starts_with('/') || word.starts_with("./") || word.starts_with("../"))
        && !parts.is_empty()
        || word.matches('/').count() > 1
}

fn is_address(word: &str) -> bool {
    let digits = word.strip_prefix("0x").or(word.strip_prefix("0X"));
    digits.is_some_and(|d| d.len() >= 6 && d.chars().all(|c| c.is_ascii_hexdigit()))
}

fn is_version(word: &str) -> bool {
    let word = word.trim_start_matches(['v', 'V']);
    let mut parts = word.split(['.', '-', '+', '~']);
    word.contains('.')
        && parts.next().is_some_and(|p| !p.is_empty() && p.chars().all(|c| c.is_ascii_digit()))
        && parts.next().is_some_and(|p| p.starts_with(|c: char| c.is_ascii_digit()))
}

fn is_number(word: &str) -> bool {
    let word = word.trim_start_matches(['-', '+', '#']).trim_end_matches(['u', 'U', 'l', 'L', '%']);
    let hex = word.strip_prefix("0x").unwrap_or(word);
    !hex.is_empty() && (hex.parse::<f64>().is_ok() || hex.len() >= 4 && is_hex(hex))
}

/// Hexadecimal digits, with a decimal one among them: `added` is a word.
fn is_hex(word: &str) -> bool {
    word.chars().all(|c| c.is_ascii_hexdigit()) && word.chars().any(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_by_what_they_differ_in() {
        for (one, other, expected) in [
            ("built Nov 22 2026", "built Jan  3 2034", Cause::Timestamp),
            ("22:31:07", "04:05:06", Cause::Timestamp),
            ("t=1795390000", "t=2079999999", Cause::Timestamp),
            ("2026-11-22T22:31:07Z", "2034-01-03T01:00:00Z", Cause::Timestamp),
            ("Sun Nov 22 22:31:07 UTC 2026", "Tue Jan 3 01:02:03 UTC 2034", Cause::Timestamp),
            ("/home/a/op.cc", "/srv/b c/op.cc", Cause::Contents),
            ("/home/a/op.cc", "/srv/b/op.cc", Cause::Path),
            ("sandbox/linux-sandbox/3/execroot", "sandbox/linux-sandbox/12/execroot", Cause::Path),
            ("a.cc b.cc c.cc", "c.cc a.cc b.cc", Cause::Order),
            ("{'a', 'b'}", "{'b', 'a'}", Cause::Order),
            ("0x7f12a4b0c010", "0x7ffe00b0c010", Cause::Address),
            (
                "1f8e3d5c-0000-4000-8000-aabbccddeeff",
                "2f8e3d5c-0000-4000-8000-aabbccddee00",
                Cause::BuildId,
            ),
            ("libfoo 1.2.3", "libfoo 1.2.4", Cause::Version),
            ("GCC: (Debian 9.2) 9", "GCC: (Debian 9.1) 9", Cause::Compiler),
            ("seed 12345", "seed 777", Cause::Number),
            ("threads 2", "threads 1", Cause::Number),
            ("BUILD_HOST one", "BUILD_HOST other", Cause::Name),
            ("uid=1000", "uid=4242", Cause::Name),
            ("hello", "goodbye", Cause::Contents),
            ("added", "faced", Cause::Contents),
        ] {
            assert_eq!(cause(one, other, &Known::default()), expected, "{one} / {other}");
        }
    }

    #[test]
    fn a_seed_of_ten_digits_is_no_time_of_a_build() {
        let known = Known { times: vec![1_795_000_000..=1_795_000_600], ..Known::default() };
        assert_eq!(cause("seed 1801728821", "seed 2017555513", &known), Cause::Number);
        assert_eq!(cause("seed 20171230", "seed 20041111", &known), Cause::Number);
        assert_eq!(cause("at 1795000001", "at 1795000599", &known), Cause::Timestamp);
        assert_eq!(cause("at 20261117", "at 20261118", &known), Cause::Timestamp);
    }

    #[test]
    fn excerpts_are_short_and_show_the_difference() {
        let (long, longer) = ("x".repeat(500) + "one\n", "x".repeat(500) + "two\n");
        let (one, other) = excerpts(&long, &longer);
        assert_eq!(one, format!("…{}one\\n", "x".repeat(24)));
        assert_eq!(other, format!("…{}two\\n", "x".repeat(24)));
        assert_eq!(excerpts("a\u{1b}[31m", ""), ("a?[31m".to_owned(), String::new()));
    }
}
