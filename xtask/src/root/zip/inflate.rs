//! The content of a member, checked while it streams.

use std::io::{BufRead as _, BufReader, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{Member, Method, Raw};
use crate::error::{Error, Kind, Result};
use crate::root::read_fault;

/// Bytes read and inflated at a time.
const INPUT: usize = 128 << 10;
const OUTPUT: usize = 256 << 10;

/// Gives the content of `member` to `sink`.
pub(super) fn copy(
    raw: Raw<'_>,
    member: &Member,
    mut sink: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut check = Check { crc: Crc::new(), left: member.size };
    let mut both = |piece: &[u8]| {
        check.piece(piece)?;
        sink(piece)
    };
    match member.method {
        Method::Stored => stored(raw, member.packed, &mut both)?,
        Method::Deflated => deflated(raw, member.packed, &mut both)?,
    }
    check.end(member)
}

/// Counts and sums what came out.
struct Check {
    crc: Crc,
    left: u64,
}

impl Check {
    fn piece(&mut self, piece: &[u8]) -> Result<()> {
        self.crc.update(piece);
        let left = self.left.checked_sub(piece.len() as u64);
        self.left = left.ok_or_else(|| bad("its content is longer than declared"))?;
        Ok(())
    }

    fn end(self, member: &Member) -> Result<()> {
        if self.left != 0 {
            return Err(bad(format!("its content is {} bytes shorter than declared", self.left)));
        }
        match self.crc.sum() {
            sum if sum == member.crc => Ok(()),
            sum => Err(bad(format!("expected crc {:08x}, found {sum:08x}", member.crc))),
        }
    }
}

fn stored(mut raw: Raw<'_>, packed: u64, sink: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; capacity(OUTPUT, packed)];
    loop {
        match raw.read(&mut buffer).map_err(read_fault)? {
            0 => return Ok(()),
            count => sink(&buffer[..count])?,
        }
    }
}

fn deflated(raw: Raw<'_>, packed: u64, sink: &mut impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut input = BufReader::with_capacity(capacity(INPUT, packed), raw);
    let mut output = vec![0; OUTPUT];
    let mut stream = Decompress::new(false);
    loop {
        let packed_piece = input.fill_buf().map_err(read_fault)?;
        let (in_before, out_before) = (stream.total_in(), stream.total_out());
        let status = stream
            .decompress(packed_piece, &mut output, FlushDecompress::None)
            .map_err(|_| bad("its deflate stream is damaged"))?;
        let read = advance(stream.total_in(), in_before);
        let made = advance(stream.total_out(), out_before);
        input.consume(read);
        sink(&output[..made])?;
        match status {
            Status::StreamEnd if stream.total_in() == packed => return Ok(()),
            Status::StreamEnd => return Err(bad("bytes follow the end of its deflate stream")),
            _ if read == 0 && made == 0 => return Err(bad("its deflate stream is cut off")),
            _ => {}
        }
    }
}

fn advance(after: u64, before: u64) -> usize {
    usize::try_from(after - before).unwrap_or(0)
}

/// Small members need no large buffer.
fn capacity(most: usize, bytes: u64) -> usize {
    usize::try_from(bytes).map_or(most, |bytes| bytes.clamp(1, most))
}

fn bad(why: impl Into<String>) -> Error {
    Error::new(Kind::Archive, why)
}
