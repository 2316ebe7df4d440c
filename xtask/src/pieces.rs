//! Bytes, piece by piece: whoever hashes, copies or packs a file reads it here.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, IoContext as _, Result};

/// Bytes of a piece: so few that the allocator has them at hand for the next small file.
pub const PIECE: usize = 64 << 10;

/// Gives all bytes of the file at `path` to `sink`, in order.
pub fn each(path: &Path, sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut file = File::open(path).at("open", path)?;
    read(&mut file, sink, |cause| Error::io("read", path, &cause)).map(drop)
}

/// Gives all that `reader` yields to `sink`, in order; how many bytes that were. What the reader
/// fails with becomes what `failed` makes of it.
pub fn read<E>(
    reader: &mut impl Read,
    mut sink: impl FnMut(&[u8]) -> std::result::Result<(), E>,
    failed: impl FnOnce(io::Error) -> E,
) -> std::result::Result<u64, E> {
    let (mut piece, mut bytes) = (vec![0; PIECE], 0);
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(bytes),
            Ok(count) => {
                sink(&piece[..count])?;
                bytes += count as u64;
            }
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(failed(cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_come_in_order_and_what_the_sink_says_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let bytes: Vec<u8> = (0..2 * PIECE + 3).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let mut found = Vec::new();
        let mut take = |piece: &[u8]| {
            found.extend_from_slice(piece);
            Ok(())
        };
        each(&path, &mut take).unwrap();
        let count = read(&mut &bytes[..], take, |cause| panic!("{cause}"));
        assert_eq!((count.unwrap(), found), (bytes.len() as u64, bytes.repeat(2)));
        let error = each(&path, |_| each(Path::new("/nowhere"), |_| Ok(()))).unwrap_err();
        assert!(error.message().starts_with("cannot open `/nowhere`"), "{error}");
    }
}
