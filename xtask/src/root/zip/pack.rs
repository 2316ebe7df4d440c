//! The records of a zip that is written (APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16):
//! names in UTF-8, deflated, one time stamp. No zip64, no data descriptors, no extra fields.

/// Something is over the limits of a plain zip (4 GiB, 65,535 files): what.
#[derive(Debug, PartialEq, Eq)]
pub struct TooBig(pub String);

/// A member that was written, or is to be.
#[derive(Debug)]
pub struct Packed<'a> {
    /// Its path.
    pub name: &'a str,
    /// Type and permission bits, as stat(2) has them.
    pub mode: u32,
    /// CRC-32 of its content (ISO 3309).
    pub crc: u32,
    /// Bytes of its raw deflate stream.
    pub packed: u64,
    /// Bytes of its content.
    pub size: u64,
    /// Where its local header begins, in bytes.
    pub at: u64,
}

/// The central directory, growing.
#[derive(Debug)]
pub struct Directory {
    stamp: u32,
    records: Vec<u8>,
    count: u16,
}

impl Directory {
    /// An empty one, in which everything is of `epoch`.
    pub fn new(epoch: u64) -> Self {
        Directory { stamp: crate::date::dos(epoch), records: Vec::new(), count: 0 }
    }

    /// Adds a member; returns its local header, after which its bytes stand.
    pub fn add(&mut self, member: &Packed<'_>) -> Result<Vec<u8>, TooBig> {
        let Packed { name, mode, .. } = *member;
        let at = small(member.at, name)?;
        let common = self.common(member)?;
        self.records.extend(b"PK\x01\x02\x14\x03"); // made by version 2.0 on Unix
        self.records.extend(&common);
        self.records.extend([0; 6]); // comment length, disk, internal attributes
        self.records.extend((mode << 16).to_le_bytes());
        self.records.extend(at.to_le_bytes());
        self.records.extend(name.as_bytes());
        let all = "the number of files";
        self.count = self.count.checked_add(1).ok_or_else(|| TooBig(all.to_owned()))?;
        Ok([b"PK\x03\x04", &common[..], name.as_bytes()].concat())
    }

    /// The fields that local and central header share.
    fn common(&self, member: &Packed<'_>) -> Result<Vec<u8>, TooBig> {
        let name = member.name;
        let length = u16::try_from(name.len()).map_err(|_| TooBig(name.to_owned()))?;
        let mut common = vec![20, 0, 0, 8, 8, 0]; // version 2.0, names are UTF-8, deflate
        let (packed, size) = (small(member.packed, name)?, small(member.size, name)?);
        for field in [self.stamp, member.crc, packed, size] {
            common.extend(field.to_le_bytes());
        }
        common.extend(length.to_le_bytes());
        common.extend([0; 2]); // no extra field
        Ok(common)
    }

    /// All that stands behind the members: the directory, which begins at `start`, and its end.
    pub fn end(self, start: u64) -> Result<Vec<u8>, TooBig> {
        const NAME: &str = "the directory";
        let (start, length) = (small(start, NAME)?, small(self.records.len() as u64, NAME)?);
        let mut end = self.records;
        end.extend(b"PK\x05\x06\0\0\0\0");
        end.extend(self.count.to_le_bytes().repeat(2));
        end.extend(length.to_le_bytes());
        end.extend(start.to_le_bytes());
        end.extend([0; 2]);
        Ok(end)
    }
}

fn small(length: u64, what: &str) -> Result<u32, TooBig> {
    u32::try_from(length).map_err(|_| TooBig(what.to_owned()))
}
