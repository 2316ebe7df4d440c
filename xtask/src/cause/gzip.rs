//! gzip (RFC 1952): its header, and what is in it.

use super::{Cause, Found, archive};

/// Compares two gzip files; whether they were such.
pub(super) fn compare(found: &mut Found<'_>, one: &[u8], other: &[u8]) -> bool {
    let is_gzip = |bytes: &[u8]| bytes.starts_with(&[0x1f, 0x8b, 8]) && bytes.len() >= 18;
    if !is_gzip(one) || !is_gzip(other) {
        return false;
    }
    let unpacked = |bytes: &[u8]| archive::inflate(flate2::bufread::MultiGzDecoder::new(bytes));
    let (Some(ours), Some(theirs)) = (unpacked(one), unpacked(other)) else { return false };
    let before = found.differences.len();
    let time = |bytes: &[u8]| u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    if time(one) != time(other) {
        let (one, other) = (time(one).to_string(), time(other).to_string());
        found.inside("gzip header", |found| found.add(Cause::Timestamp, Some(4), &one, &other));
    }
    if ours != theirs {
        found.inside("unpacked", |found| found.files(&ours, &theirs));
    } else if found.differences.len() == before {
        let size = |bytes: &[u8]| format!("{} bytes", bytes.len());
        found.add(Cause::Packing, None, &size(one), &size(other));
    }
    true
}
