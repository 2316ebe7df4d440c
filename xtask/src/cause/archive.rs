//! Archives: what their members are called, say about themselves, and hold.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;

use super::{Cause, Found, ar, tar, zip};

/// A member of an archive.
pub(super) struct Member<'a> {
    /// As the archive has it.
    pub(super) name: String,
    /// What the archive says of it.
    pub(super) facts: Vec<Fact>,
    /// Its bytes as they are in the archive.
    pub(super) raw: &'a [u8],
    /// How they are packed.
    pub(super) packed: Packed,
}

/// How a member's bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packed {
    /// Not at all.
    Plain,
    /// Raw deflate (RFC 1951).
    Deflate,
    /// In a way that is not read here.
    Foreign,
}

/// Something that an archive says of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    /// `modification time`.
    pub(super) what: &'static str,
    /// For people.
    pub(super) value: String,
    /// What it means when it differs.
    pub(super) cause: Cause,
}

impl Fact {
    pub(super) fn new(what: &'static str, value: impl ToString, cause: Cause) -> Self {
        Fact { what, value: value.to_string(), cause }
    }
}

impl Member<'_> {
    /// Its content; `None` when it cannot be unpacked.
    fn content(&self) -> Option<Cow<'_, [u8]>> {
        match self.packed {
            Packed::Plain => Some(Cow::Borrowed(self.raw)),
            Packed::Deflate => inflate(flate2::read::DeflateDecoder::new(self.raw)).map(Cow::Owned),
            Packed::Foreign => None,
        }
    }
}

/// Most bytes of an unpacked member.
const LARGEST: u64 = 2 << 30;

/// All that `packed` unpacks to; `None` when it is damaged or larger than anything of ours.
pub(super) fn inflate(packed: impl std::io::Read) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    let read = packed.take(LARGEST + 1).read_to_end(&mut content).ok()?;
    (read as u64 <= LARGEST).then_some(content)
}

/// Lists the members of an archive of one format.
type Reader = fn(&[u8]) -> Option<Vec<Member<'_>>>;

/// Compares two archives of one format; whether they were such.
pub(super) fn compare(found: &mut Found<'_>, one: &[u8], other: &[u8]) -> bool {
    const READERS: [Reader; 3] = [zip::members, ar::members, tar::members];
    for read in READERS {
        if let (Some(one), Some(other)) = (read(one), read(other)) {
            members(found, &one, &other);
            return true;
        }
    }
    false
}

fn members(found: &mut Found<'_>, one: &[Member<'_>], other: &[Member<'_>]) {
    let (ours, theirs) = (by_name(one), by_name(other));
    for (key, member) in &ours {
        match theirs.get(key) {
            Some(twin) => found.inside(&member.name, |found| pair(found, member, twin)),
            None => {
                found.inside(&member.name, |found| found.add(Cause::Presence, None, "there", ""))
            }
        }
    }
    for (key, member) in &theirs {
        if !ours.contains_key(key) {
            found.inside(&member.name, |found| found.add(Cause::Presence, None, "", "there"));
        }
    }
    order(found, one, other);
}

/// By name and how many of that name came before.
fn by_name<'m, 'a>(members: &'m [Member<'a>]) -> BTreeMap<(&'m str, usize), &'m Member<'a>> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut named = BTreeMap::new();
    for member in members {
        let nth = seen.entry(&member.name).or_default();
        named.insert((member.name.as_str(), *nth), member);
        *nth += 1;
    }
    named
}

fn order(found: &mut Found<'_>, one: &[Member<'_>], other: &[Member<'_>]) {
    let names = |members: &[Member<'_>]| -> Vec<String> {
        members.iter().map(|member| member.name.clone()).collect()
    };
    let (ours, theirs) = (names(one), names(other));
    let (mut sorted, mut also) = (ours.clone(), theirs.clone());
    sorted.sort_unstable();
    also.sort_unstable();
    if ours != theirs && sorted == also {
        let first = ours.iter().zip(&theirs).find(|(a, b)| a != b);
        if let Some((one, other)) = first {
            found.inside("the members", |found| found.add(Cause::Order, None, one, other));
        }
    }
}

fn pair(found: &mut Found<'_>, one: &Member<'_>, other: &Member<'_>) {
    for fact in &one.facts {
        let twin = other.facts.iter().find(|twin| twin.what == fact.what);
        let value = twin.map_or("", |twin| twin.value.as_str());
        if value != fact.value {
            found.inside(fact.what, |found| found.add(fact.cause, None, &fact.value, value));
        }
    }
    if one.raw == other.raw && one.packed == other.packed {
        return;
    }
    match (one.content(), other.content()) {
        (Some(ours), Some(theirs)) if ours == theirs => {
            let size = |member: &Member<'_>| format!("{} bytes", member.raw.len());
            found.add(Cause::Packing, None, &size(one), &size(other));
        }
        (Some(ours), Some(theirs)) => found.files(&ours, &theirs),
        _ => super::bytes::compare(found, one.raw, other.raw),
    }
}
