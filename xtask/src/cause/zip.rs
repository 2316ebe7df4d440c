//! Members of a zip archive (APPNOTE 6.3.10), as its central directory lists them. Lenient,
//! unlike [`crate::root::zip`]: here nothing is installed, and two damaged archives can be
//! compared as well.

use super::Cause;
use super::archive::{Fact, Member, Packed};

const END: &[u8] = b"PK\x05\x06";
/// The end record's own size, and the longest comment after it.
const END_SIZE: usize = 22;
const COMMENT: usize = 0xffff;
const CENTRAL: usize = 46;
const LOCAL: usize = 30;

/// The members; `None` when it is no zip that can be read to its end.
pub(super) fn members(bytes: &[u8]) -> Option<Vec<Member<'_>>> {
    if !bytes.starts_with(b"PK") {
        return None;
    }
    let from = bytes.len().saturating_sub(END_SIZE + COMMENT);
    let tail = bytes.get(from..)?;
    let end = from + tail.windows(END.len()).rposition(|window| window == END)?;
    let count = u16_at(bytes, end + 10)?;
    let mut at = usize::try_from(u32_at(bytes, end + 16)?).ok()?;
    let mut members = Vec::new();
    for _ in 0..count {
        let (member, next) = member(bytes, at)?;
        members.push(member);
        at = next;
    }
    Some(members)
}

/// One record of the directory, and where the next one is.
fn member(bytes: &[u8], at: usize) -> Option<(Member<'_>, usize)> {
    let header = bytes.get(at..at.checked_add(CENTRAL)?)?;
    if !header.starts_with(b"PK\x01\x02") {
        return None;
    }
    let length = |offset| u16_at(header, offset).map(usize::from);
    let size = usize::try_from(u32_at(header, 20)?).ok()?;
    let (name, extra, comment) = (length(28)?, length(30)?, length(32)?);
    let next = at.checked_add(CENTRAL)?.checked_add(name + extra + comment)?;
    let name_bytes = bytes.get(at + CENTRAL..at + CENTRAL + name)?;
    let local = usize::try_from(u32_at(header, 42)?).ok()?;
    let skip = usize::from(u16_at(bytes, local.checked_add(26)?)?)
        + usize::from(u16_at(bytes, local.checked_add(28)?)?);
    let start = local.checked_add(LOCAL + skip)?;
    let raw = bytes.get(start..start.checked_add(size)?)?;
    let packed = match u16_at(header, 10)? {
        0 => Packed::Plain,
        8 => Packed::Deflate,
        _ => Packed::Foreign,
    };
    let time = (u16_at(header, 14)?, u16_at(header, 12)?);
    let facts = vec![
        Fact::new("modification time", dos_time(time), Cause::Timestamp),
        Fact::new("mode", format!("{:o}", u32_at(header, 38)? >> 16), Cause::Mode),
        Fact::new(
            "extra field",
            shown(bytes.get(at + CENTRAL + name..next - comment)?),
            Cause::Contents,
        ),
        Fact::new("version made by", u16_at(header, 4)?, Cause::Version),
    ];
    let name = String::from_utf8_lossy(name_bytes).into_owned();
    Some((Member { name, facts, raw, packed }, next))
}

/// MS-DOS date and time.
fn dos_time((date, time): (u16, u16)) -> String {
    format!(
        "{}-{:02}-{:02} {:02}:{:02}:{:02}",
        1980 + (date >> 9),
        date >> 5 & 15,
        date & 31,
        time >> 11,
        time >> 5 & 63,
        time % 32 * 2
    )
}

fn shown(bytes: &[u8]) -> String {
    bytes.iter().take(64).map(|byte| format!("{byte:02x}")).collect()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
