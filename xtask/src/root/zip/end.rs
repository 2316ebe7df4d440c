//! The end of a zip archive: where its central directory is (APPNOTE 6.3.10, sections
//! 4.3.14 to 4.3.16).

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use super::fields::Fields;

/// Bytes of the end record without comment, of the zip64 locator and of the zip64 end record.
const END: u64 = 22;
const LOCATOR: u64 = 20;
const END64: u64 = 56;

/// Where the central directory lies, and how many entries it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub entries: u64,
    pub offset: u64,
    pub size: u64,
}

impl End {
    /// The end record of a file of `length` bytes: its very last bytes, and the directory
    /// directly before it. Nothing is searched for: a comment, or bytes between the parts,
    /// is how two readers come to see two archives in one file.
    pub fn find(file: &File, length: u64) -> Result<End, String> {
        let bytes = tail(file, length, END)?;
        let (end, zip64) = read_end(&bytes)
            .ok_or("it does not end with the end record of a zip archive without comment")?;
        let (end, start) = match zip64 {
            false => (end, length - END),
            true => (zip64_end(file, length, &end)?, length - END - LOCATOR - END64),
        };
        match end.offset.checked_add(end.size) {
            Some(stop) if stop == start => Ok(end),
            _ => Err("its directory does not end where the end record begins".to_owned()),
        }
    }
}

/// The end record, and whether a zip64 record must say the rest.
fn read_end(bytes: &[u8]) -> Option<(End, bool)> {
    let mut fields = Fields(bytes);
    fields.signature(b"PK\x05\x06")?;
    let disks = (fields.u16()?, fields.u16()?);
    let (here, entries) = (fields.u16()?, fields.u16()?);
    let (size, offset, comment) = (fields.u32()?, fields.u32()?, fields.u16()?);
    if disks != (0, 0) || here != entries || comment != 0 {
        return None;
    }
    let zip64 = entries == u16::MAX || size == u32::MAX || offset == u32::MAX;
    Some((End { entries: entries.into(), offset: offset.into(), size: size.into() }, zip64))
}

fn zip64_end(file: &File, length: u64, end: &End) -> Result<End, String> {
    let start = length.checked_sub(END + LOCATOR + END64).ok_or("it is cut off")?;
    let bytes = tail(file, length - END, LOCATOR + END64)?;
    let zip64 = read_zip64(&bytes, start).ok_or("its zip64 end record is damaged")?;
    let same = |short: u64, most: u64, long: u64| short == most || short == long;
    if same(end.entries, u16::MAX.into(), zip64.entries)
        && same(end.size, u32::MAX.into(), zip64.size)
        && same(end.offset, u32::MAX.into(), zip64.offset)
    {
        return Ok(zip64);
    }
    Err("its two end records disagree".to_owned())
}

fn read_zip64(bytes: &[u8], start: u64) -> Option<End> {
    let mut fields = Fields(bytes);
    fields.signature(b"PK\x06\x06")?;
    let rest = fields.u64()?;
    fields.u32()?; // versions
    let disks = (fields.u32()?, fields.u32()?);
    let (here, entries) = (fields.u64()?, fields.u64()?);
    let (size, offset) = (fields.u64()?, fields.u64()?);
    fields.signature(b"PK\x06\x07")?;
    let (disk, at, count) = (fields.u32()?, fields.u64()?, fields.u32()?);
    let whole = rest == END64 - 12 && disks == (0, 0) && here == entries;
    (whole && disk == 0 && at == start && count == 1).then_some(End { entries, offset, size })
}

/// `count` bytes before `stop`.
fn tail(file: &File, stop: u64, count: u64) -> Result<Vec<u8>, String> {
    let start = stop.checked_sub(count).ok_or("it is too short for a zip archive")?;
    let mut bytes = vec![0; usize::try_from(count).unwrap_or(0)];
    file.read_exact_at(&mut bytes, start).map_err(|cause| format!("cannot read it: {cause}"))?;
    Ok(bytes)
}
