//! Members of a static archive (ar(5), with GNU's and BSD's long names).

use super::Cause;
use super::archive::{Fact, Member, Packed};

const MAGIC: &[u8] = b"!<arch>\n";
const HEADER: usize = 60;

/// The members, the symbol table with them; `None` when it is no archive that can be read
/// to its end.
pub(super) fn members(bytes: &[u8]) -> Option<Vec<Member<'_>>> {
    let mut at = MAGIC.len();
    if !bytes.starts_with(MAGIC) {
        return None;
    }
    let (mut members, mut names): (Vec<Member<'_>>, &[u8]) = (Vec::new(), &[]);
    while at < bytes.len() {
        let header = bytes.get(at..at.checked_add(HEADER)?)?;
        let field = |from: usize, to: usize| -> Option<&str> {
            Some(std::str::from_utf8(header.get(from..to)?).ok()?.trim_end())
        };
        let size: usize = field(48, 58)?.parse().ok()?;
        let start = at + HEADER;
        let raw = bytes.get(start..start.checked_add(size)?)?;
        let own = field(0, 16)?;
        if own == "//" {
            names = raw;
        }
        let facts = vec![
            Fact::new("modification time", field(16, 28)?, Cause::Timestamp),
            Fact::new("user id", field(28, 34)?, Cause::Name),
            Fact::new("group id", field(34, 40)?, Cause::Name),
            Fact::new("mode", field(40, 48)?, Cause::Mode),
        ];
        members.push(Member { name: name(own, names), facts, raw, packed: Packed::Plain });
        at = start.checked_add(size)?.checked_add(size % 2)?;
    }
    Some(members)
}

/// `/12` is the name at byte 12 of the table; `a.o/` ends with its slash.
fn name(own: &str, names: &[u8]) -> String {
    match own.strip_prefix('/').map(str::parse::<usize>) {
        Some(Ok(at)) => {
            let rest = names.get(at..).unwrap_or_default();
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            String::from_utf8_lossy(&rest[..end]).trim_end_matches('/').to_owned()
        }
        _ if own == "/" => "the symbol table".to_owned(),
        _ if own == "//" => "the table of names".to_owned(),
        _ => own.trim_end_matches('/').to_owned(),
    }
}
