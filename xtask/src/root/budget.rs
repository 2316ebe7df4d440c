//! What an archive may unpack to: the end of every bomb.

use crate::error::{Error, Kind, Result};

/// Most bytes that one archive may unpack to.
const BYTES: u64 = 8 << 30;
/// Most bytes for each byte of the archive; the most of Debian's and PyPI's here is 20.
const RATIO: u64 = 200;
/// Bytes that a small archive may unpack to in any case.
const FLOOR: u64 = 16 << 20;
/// Most entries of one archive; TensorFlow's wheel has 15,632.
const ENTRIES: u64 = 100_000;
/// Most bytes of all names together: they are held in memory.
const NAMES: u64 = 16 << 20;

/// What is left to unpack. Spent by what headers declare, before anything is written.
#[derive(Debug)]
pub struct Budget {
    bytes: u64,
    entries: u64,
    names: u64,
}

impl Budget {
    /// The budget of an archive of `packed` bytes.
    pub fn of(packed: u64) -> Self {
        let bytes = packed.saturating_mul(RATIO).saturating_add(FLOOR).min(BYTES);
        Budget { bytes, entries: ENTRIES, names: NAMES }
    }

    /// Takes one entry with a name of `name` bytes and content of `size` bytes.
    pub fn spend(&mut self, name: usize, size: u64) -> Result<()> {
        self.entries = less(self.entries, 1, || format!("{ENTRIES} entries"))?;
        self.names = less(self.names, name as u64, || format!("{NAMES} bytes of names"))?;
        let most = || format!("{RATIO} times its size, or {BYTES} bytes, of content");
        self.bytes = less(self.bytes, size, most)?;
        Ok(())
    }
}

fn less(left: u64, by: u64, most: impl FnOnce() -> String) -> Result<u64> {
    let error = || Error::new(Kind::Archive, format!("the archive has more than {}", most()));
    left.checked_sub(by).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_ends_it() {
        let mut bytes = Budget::of(1000);
        bytes.spend(1, FLOOR).unwrap();
        bytes.spend(1, 200_000).unwrap();
        assert!(bytes.spend(1, 1).unwrap_err().message().ends_with("of content"));
        assert!(Budget::of(u64::MAX).spend(1, 1 << 40).is_err());

        let mut entries = Budget::of(1);
        (0..ENTRIES).for_each(|_| entries.spend(1, 0).unwrap());
        assert!(entries.spend(1, 0).unwrap_err().message().ends_with("entries"));

        let mut names = Budget::of(1);
        names.spend(NAMES as usize, 0).unwrap();
        assert!(names.spend(1, 0).unwrap_err().message().ends_with("bytes of names"));
    }
}
