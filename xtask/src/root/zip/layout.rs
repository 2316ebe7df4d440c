//! How members lie in the archive: each local header against the central one, and one
//! member directly behind the other.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::header::{Central, Common, DESCRIPTOR, LOCAL, local, local_length};
use crate::root::path::shown;

/// From where to where a member lies.
pub(super) struct Span {
    start: u64,
    pub data: u64,
    stop: u64,
    common: Common,
    name: Vec<u8>,
}

/// Reads the local header of a member and holds it against the central one. `limit` is
/// where the directory begins.
pub(super) fn span(file: &File, central: &Central<'_>, limit: u64) -> Result<Span, String> {
    let start = central.offset;
    let bytes = local_bytes(file, central, limit)?;
    let (here, name) = local(&bytes)?;
    let common = central.common;
    if name != central.name {
        return Err(format!("its local header names it {}", shown(name)));
    }
    let later = Common { crc: 0, packed: 0, size: 0, ..common };
    if here != common && !(common.flags & DESCRIPTOR != 0 && here == later) {
        return Err(format!(
            "its two headers disagree: {common} in the directory, {here} before its data"
        ));
    }
    let data = start + bytes.len() as u64;
    let stop = data.checked_add(common.packed).filter(|stop| *stop <= limit);
    let stop = stop.ok_or("its data reach beyond the members")?;
    Ok(Span { start, data, stop, common, name: name.to_owned() })
}

/// The bytes of a local header with name and extra fields: one read unless the extra fields
/// are long.
fn local_bytes(file: &File, central: &Central<'_>, limit: u64) -> Result<Vec<u8>, String> {
    let read = |length: usize| {
        let stop = central.offset.checked_add(length as u64).filter(|stop| *stop <= limit);
        stop.ok_or("its local header reaches beyond the members")?;
        let mut bytes = vec![0; length];
        let read = file.read_exact_at(&mut bytes, central.offset);
        read.map(|()| bytes).map_err(|cause| format!("cannot read it: {cause}"))
    };
    let mut bytes = read(LOCAL + central.name.len())?;
    let length = local_length(&bytes);
    if length > bytes.len() {
        bytes = read(length)?;
    }
    bytes.truncate(length);
    Ok(bytes)
}

impl std::fmt::Display for Common {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Common { flags, method, stamp, crc, packed, size } = self;
        write!(f, "flags {flags:#06x}, method {method}, time {stamp:#010x}, crc {crc:08x}, ")?;
        write!(f, "{packed} bytes for {size}")
    }
}

/// Checks that `spans` fill the archive from its first byte to `limit` without gap or
/// overlap; between two of them is at most the data descriptor of the first.
pub(super) fn tile(file: &File, mut spans: Vec<Span>, limit: u64) -> Result<(), String> {
    spans.sort_by_key(|span| span.start);
    match spans.first() {
        Some(first) if first.start > 0 => {
            return Err(format!("{} bytes stand before its first member", first.start));
        }
        None if limit > 0 => return Err(format!("{limit} bytes and no member")),
        _ => {}
    }
    let starts = spans.iter().skip(1).map(|span| span.start).chain([limit]);
    for (span, next) in spans.iter().zip(starts) {
        let name = || shown(&span.name);
        let gap = next
            .checked_sub(span.stop)
            .ok_or_else(|| format!("{} and the next member overlap", name()))?;
        let expected = span.common.flags & DESCRIPTOR != 0;
        if !(expected && descriptor(file, span, gap)? || !expected && gap == 0) {
            return Err(format!("{gap} bytes behind {} belong to no member", name()));
        }
    }
    Ok(())
}

/// Whether the `gap` bytes behind `span` are its data descriptor (APPNOTE 4.3.9), which
/// repeats what the directory says.
fn descriptor(file: &File, span: &Span, gap: u64) -> Result<bool, String> {
    let (signed, wide) = match gap {
        12 => (false, false),
        16 => (true, false),
        20 => (false, true),
        24 => (true, true),
        _ => return Ok(false),
    };
    let mut expected = Vec::new();
    if signed {
        expected.extend(b"PK\x07\x08");
    }
    expected.extend(span.common.crc.to_le_bytes());
    for number in [span.common.packed, span.common.size] {
        let bytes = number.to_le_bytes();
        expected.extend(if wide { &bytes[..] } else { &bytes[..4] });
    }
    let mut found = vec![0; expected.len()];
    file.read_exact_at(&mut found, span.stop)
        .map_err(|cause| format!("cannot read it: {cause}"))?;
    let fits = wide || span.common.size <= u64::from(u32::MAX);
    Ok(fits && found == expected)
}
