//! Central and local headers (APPNOTE 6.3.10, sections 4.3.7, 4.3.9, 4.3.12, 4.5.3). What
//! both say of a member is one [`Common`], so that they can be held against each other.

use super::fields::Fields;

/// Flags that change nothing of a member: the compressor's effort, a data descriptor, a
/// name in UTF-8.
const FLAGS: u16 = EFFORT | DESCRIPTOR | UTF8;
const EFFORT: u16 = 0b110;
/// CRC and sizes stand behind the data.
pub(super) const DESCRIPTOR: u16 = 1 << 3;
/// The name is UTF-8; without it no more than ASCII is agreed on.
const UTF8: u16 = 1 << 11;

/// Sizes and offset of large archives.
const ZIP64: u16 = 0x0001;
/// Extra fields without meaning here: times and owners. Others rename or encrypt members.
const HARMLESS: [u16; 5] = [0x000a, 0x5455, 0x5855, 0x7875, 0xcafe];

/// What central and local header both say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Common {
    pub flags: u16,
    pub method: u16,
    pub stamp: u32,
    pub crc: u32,
    pub packed: u64,
    pub size: u64,
}

/// A member in the central directory.
pub(super) struct Central<'a> {
    pub common: Common,
    pub name: &'a [u8],
    /// Made on Unix: [`Central::mode`] is one.
    pub unix: bool,
    pub mode: u32,
    pub offset: u64,
}

const CUT: &str = "its header is cut off";

impl<'a> Central<'a> {
    /// Takes the next header off `directory`.
    pub fn read(directory: &mut Fields<'a>) -> Result<Self, String> {
        let head = Self::head(directory).ok_or("the directory is damaged")?;
        let (mut central, extra, disk) = head;
        let common = &mut central.common;
        let wide = [&mut common.size, &mut common.packed, &mut central.offset];
        widen(extra, wide)?;
        if disk != 0 {
            return Err("it is on another disk".to_owned());
        }
        check_name(central.common.flags, central.name)?;
        Ok(central)
    }

    fn head(fields: &mut Fields<'a>) -> Option<(Self, &'a [u8], u16)> {
        fields.signature(b"PK\x01\x02")?;
        let made_by = fields.u16()?;
        let common = Common::read(fields)?;
        let (name, extra, comment) = (fields.u16()?, fields.u16()?, fields.u16()?);
        let disk = fields.u16()?;
        fields.u16()?; // internal attributes: text or not
        let (attributes, offset) = (fields.u32()?, fields.u32()?);
        let name = fields.bytes(name.into())?;
        let extra = fields.bytes(extra.into())?;
        fields.bytes(comment.into())?;
        let (unix, mode) = (made_by >> 8 == 3, attributes >> 16);
        Some((Central { common, name, unix, mode, offset: offset.into() }, extra, disk))
    }
}

/// Bytes of a local header before its name.
pub(super) const LOCAL: usize = 30;

/// Reads a local header: what it says, and its name. Its zip64 field has both sizes even
/// where the header has them too; then they must be the same.
pub(super) fn local(bytes: &[u8]) -> Result<(Common, &[u8]), String> {
    let (mut common, name, extra) = local_head(bytes).ok_or(CUT)?;
    let mut wide = common;
    match zip64(extra)? {
        None => {}
        Some(sizes) => {
            let mut fields = Fields(sizes);
            let both = fields.u64().zip(fields.u64()).filter(|_| fields.0.is_empty());
            (wide.size, wide.packed) = both.ok_or("its zip64 field has not two sizes")?;
        }
    }
    for (short, long) in [(&mut common.size, wide.size), (&mut common.packed, wide.packed)] {
        if *short == u64::from(u32::MAX) {
            *short = long;
        }
    }
    match common == wide {
        true => Ok((common, name)),
        false => Err("its zip64 field says other sizes".to_owned()),
    }
}

fn local_head(bytes: &[u8]) -> Option<(Common, &[u8], &[u8])> {
    let mut fields = Fields(bytes);
    fields.signature(b"PK\x03\x04")?;
    let common = Common::read(&mut fields)?;
    let (name, extra) = (fields.u16()?, fields.u16()?);
    Some((common, fields.bytes(name.into())?, fields.bytes(extra.into())?))
}

/// How long a local header is that begins so, with name and extra fields.
pub(super) fn local_length(head: &[u8]) -> usize {
    let mut lengths = Fields(head.get(LOCAL - 4..).unwrap_or_default());
    let length = |fields: &mut Fields<'_>| fields.u16().map_or(0, usize::from);
    LOCAL + length(&mut lengths) + length(&mut lengths)
}

impl Common {
    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        fields.u16()?; // version needed: flags and method say more
        Some(Common {
            flags: fields.u16()?,
            method: fields.u16()?,
            stamp: fields.u32()?,
            crc: fields.u32()?,
            packed: fields.u32()?.into(),
            size: fields.u32()?.into(),
        })
    }
}

fn check_name(flags: u16, name: &[u8]) -> Result<(), String> {
    if flags & !FLAGS != 0 {
        return Err(format!("flags {flags:#06x}: encrypted, patched or of an unknown sort"));
    }
    if flags & UTF8 == 0 && !name.is_ascii() {
        return Err("its name is in no stated character set".to_owned());
    }
    if name.contains(&b'\\') {
        return Err("its name has a backslash".to_owned());
    }
    Ok(())
}

/// Replaces each of `wide` that is all ones by the next number of the zip64 extra field.
fn widen(extra: &[u8], wide: [&mut u64; 3]) -> Result<(), String> {
    let mut long = Fields(zip64(extra)?.unwrap_or_default());
    for value in wide {
        if *value == u64::from(u32::MAX) {
            *value = long.u64().ok_or("its zip64 field is missing or cut off")?;
        }
    }
    match long.0 {
        [] => Ok(()),
        _ => Err("its zip64 field says more than is asked".to_owned()),
    }
}

fn zip64(extra: &[u8]) -> Result<Option<&[u8]>, String> {
    let mut found = None;
    let mut fields = Fields(extra);
    while !fields.0.is_empty() {
        let (Some(id), Some(length)) = (fields.u16(), fields.u16()) else {
            return Err("an extra field is cut off".to_owned());
        };
        let body = fields.bytes(length.into()).ok_or("an extra field is cut off")?;
        match id {
            ZIP64 if found.is_none() => found = Some(body),
            id if HARMLESS.contains(&id) => {}
            id => return Err(format!("extra field {id:#06x} is not allowed, or stands twice")),
        }
    }
    Ok(found)
}
