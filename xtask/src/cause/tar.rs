//! Members of a tar stream (POSIX.1-2001 ustar and pax, GNU long names). Lenient, unlike
//! [`crate::root::tar`].

use super::Cause;
use super::archive::{Fact, Member, Packed};

const BLOCK: usize = 512;

/// The members; `None` when it is no tar that can be read to its end.
pub(super) fn members(bytes: &[u8]) -> Option<Vec<Member<'_>>> {
    if bytes.get(257..262)? != b"ustar" {
        return None;
    }
    let (mut members, mut at, mut long) = (Vec::new(), 0_usize, None);
    while let Some(header) = bytes.get(at..at.checked_add(BLOCK)?) {
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        let size = usize::try_from(number(header.get(124..136)?)?).ok()?;
        let start = at + BLOCK;
        let raw = bytes.get(start..start.checked_add(size)?)?;
        match header[156] {
            b'L' => long = Some(text(raw)),
            b'x' => long = pax_path(raw).or(long),
            b'g' | b'K' => {}
            _ => members.push(Member {
                name: long.take().unwrap_or_else(|| name(header)),
                facts: facts(header)?,
                raw,
                packed: Packed::Plain,
            }),
        }
        at = start.checked_add(size.checked_next_multiple_of(BLOCK)?)?;
    }
    Some(members)
}

fn facts(header: &[u8]) -> Option<Vec<Fact>> {
    let field = |from: usize, to: usize| header.get(from..to).map(text);
    Some(vec![
        Fact::new("modification time", number(header.get(136..148)?)?, Cause::Timestamp),
        Fact::new("mode", field(100, 108)?, Cause::Mode),
        Fact::new("user id", field(108, 116)?, Cause::Name),
        Fact::new("group id", field(116, 124)?, Cause::Name),
        Fact::new("user", field(265, 297)?, Cause::Name),
        Fact::new("group", field(297, 329)?, Cause::Name),
        Fact::new("kind", char::from(header[156]), Cause::Contents),
        Fact::new("link target", field(157, 257)?, Cause::Path),
    ])
}

fn name(header: &[u8]) -> String {
    let (own, prefix) = (text(&header[..100]), text(&header[345..500]));
    // GNU's variant has times where ustar has its prefix.
    if prefix.is_empty() || header.get(257..265) == Some(b"ustar  \0") {
        return own;
    }
    format!("{prefix}/{own}")
}

/// Up to the first NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Octal, or GNU's base 256.
fn number(field: &[u8]) -> Option<u64> {
    if field.first()? & 0x80 != 0 {
        let last = field.get(field.len().checked_sub(8)?..)?;
        return Some(u64::from_be_bytes(last.try_into().ok()?));
    }
    let digits = text(field);
    let digits = digits.trim();
    if digits.is_empty() { Some(0) } else { u64::from_str_radix(digits, 8).ok() }
}

/// The path in an extended header: `LENGTH path=VALUE` and a line break.
fn pax_path(records: &[u8]) -> Option<String> {
    let records = String::from_utf8_lossy(records);
    let path = records.lines().find_map(|line| line.split_once(' ')?.1.strip_prefix("path="));
    path.map(str::to_owned)
}
