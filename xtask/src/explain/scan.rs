//! The words of all known messages in a stream, in one pass and bounded memory
//! (Aho and Corasick, 1975).

use std::collections::BTreeSet;
use std::io::{self, Read};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::{memchr, memchr_iter, memrchr};

use super::{Known, known};

/// What is read at once, in bytes. A longer line is looked at in pieces of this size.
const CHUNK: usize = 1 << 20;

/// A message is shown to this length, in bytes.
const SHOWN: usize = 400;

/// One known message.
#[derive(Debug)]
pub(super) struct Place {
    /// What it is.
    pub known: &'static Known,
    /// Where it was first, from 1.
    pub line: u64,
    /// Its first text.
    pub text: String,
    /// How many lines say it.
    pub count: u64,
}

/// Everything that was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In the order of the log, what follows from others last.
    pub places: Vec<Place>,
    /// Lines that were read.
    pub lines: u64,
    /// Lines that speak of errors and are not known.
    pub strange: Vec<(u64, String)>,
}

/// Unknown lines that are shown.
const STRANGE: usize = 3;

/// What a line says that reports an error.
const ERRORS: [&str; 5] = ["Error: ", "ERROR:", "FATAL", "Segmentation fault", "core dumped"];

struct Words {
    any: AhoCorasick,
    each: AhoCorasick,
    /// Of each pattern, its message; none of what only sounds like an error.
    of: Vec<Option<(usize, &'static Known, &'static [&'static str])>>,
}

impl Words {
    fn new() -> io::Result<Self> {
        let mut of = Vec::new();
        let mut patterns = Vec::new();
        for (order, known) in known::all().enumerate() {
            for words in known.words {
                patterns.push(words[0]);
                of.push(Some((order, known, *words)));
            }
        }
        patterns.extend(ERRORS);
        of.resize(patterns.len(), None);
        let build = |kind| {
            let mut builder = AhoCorasick::builder();
            builder.match_kind(kind).kind(Some(AhoCorasickKind::DFA)).build(&patterns)
        };
        let any = build(MatchKind::LeftmostFirst).map_err(io::Error::other)?;
        let each = build(MatchKind::Standard).map_err(io::Error::other)?;
        Ok(Words { any, each, of })
    }

    /// The first message of the table that the line is.
    fn known(&self, line: &str) -> Option<&'static Known> {
        let patterns: BTreeSet<usize> =
            self.each.find_overlapping_iter(line).map(|found| found.pattern().as_usize()).collect();
        let fit = patterns.into_iter().filter_map(|pattern| self.of[pattern]);
        fit.filter(|(_, _, words)| words.iter().all(|word| line.contains(word)))
            .min_by_key(|(order, _, _)| *order)
            .map(|(_, known, _)| known)
    }
}

/// Reads to the end.
pub(super) fn scan(mut log: impl Read) -> io::Result<Found> {
    let (words, mut found) = (Words::new()?, Found::default());
    let mut buffer = vec![0; CHUNK];
    let mut kept = 0;
    loop {
        let read = log.read(&mut buffer[kept..])?;
        let filled = kept + read;
        let whole = match memrchr(b'\n', &buffer[..filled]) {
            Some(end) if read > 0 => end + 1,
            None if read > 0 && filled < buffer.len() => 0,
            _ => filled,
        };
        look(&words, &buffer[..whole], &mut found);
        buffer.copy_within(whole..filled, 0);
        kept = filled - whole;
        if read == 0 {
            break;
        }
    }
    found.places.sort_by_key(|place| (place.known.follows, place.line));
    Ok(found)
}

/// Whole lines.
fn look(words: &Words, text: &[u8], found: &mut Found) {
    let (mut at, mut counted, mut line) = (0, 0, found.lines + 1);
    while let Some(word) = words.any.find(&text[at..]) {
        let (from, to) = (at + word.start(), at + word.end());
        let start = memrchr(b'\n', &text[..from]).map_or(0, |end| end + 1);
        let end = memchr(b'\n', &text[to..]);
        let end = end.map_or(text.len(), |more| to + more);
        line += newlines(&text[counted..start]);
        counted = start;
        note(words, line, &String::from_utf8_lossy(&text[start..end]), found);
        at = end;
    }
    found.lines = line + newlines(&text[counted..]) - 1;
    if text.last().is_some_and(|last| *last != b'\n') {
        found.lines += 1;
    }
}

fn newlines(text: &[u8]) -> u64 {
    memchr_iter(b'\n', text).count() as u64
}

fn note(words: &Words, line: u64, text: &str, found: &mut Found) {
    let Some(known) = words.known(text) else {
        let sounds = ERRORS.iter().any(|error| text.contains(error));
        if sounds && found.strange.len() < STRANGE {
            found.strange.push((line, shown(text)));
        }
        return;
    };
    match found.places.iter_mut().find(|place| std::ptr::eq(place.known, known)) {
        Some(place) => place.count += 1,
        None => found.places.push(Place { known, line, text: shown(text), count: 1 }),
    }
}

/// Short and printable.
fn shown(text: &str) -> String {
    let mut end = text.len().min(SHOWN);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let dots = if end < text.len() { "…" } else { "" };
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text[..end].trim().chars().map(printable).collect::<String>() + dots
}
