//! The content of a member, checked while it streams.

use std::cell::Cell;
use std::io::Read;

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::{Member, Method, Raw};
use crate::error::{Error, Kind, Result};
use crate::root::read_fault;

/// Bytes read and inflated at a time.
const INPUT: usize = 128 << 10;
const OUTPUT: usize = 256 << 10;

/// What inflating needs, used again by a thread for each of its members: most are smaller
/// than the buffers, and to make these takes longer than to fill them.
struct Room {
    stream: Decompress,
    input: Vec<u8>,
    output: Vec<u8>,
}

thread_local! {
    static ROOM: Cell<Option<Box<Room>>> = const { Cell::new(None) };
}

impl Room {
    fn take() -> Box<Room> {
        let mut room = ROOM.take().unwrap_or_else(|| {
            let stream = Decompress::new(false);
            Box::new(Room { stream, input: vec![0; INPUT], output: Vec::with_capacity(OUTPUT) })
        });
        room.stream.reset(false);
        room.output.clear();
        room
    }
}

/// A member's bytes, piece by piece: as they are in the archive, and what comes out.
#[derive(Debug, Default)]
pub struct Both {
    /// As they are in the archive.
    pub packed: Vec<u8>,
    /// The content: no more than it has room for.
    pub content: Vec<u8>,
}

/// Gives the content of `member` to `sink`.
pub(super) fn copy(
    raw: Raw<'_>,
    member: &Member,
    mut sink: impl FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut room = Room::take();
    let mut both = Both { content: std::mem::take(&mut room.output), ..Both::default() };
    let mut empty = |both: &mut Both| {
        sink(&both.content)?;
        both.content.clear();
        Ok(())
    };
    let done = inflate(raw, member, &mut room, false, &mut both, &mut empty);
    let done = done.and_then(|()| empty(&mut both));
    room.output = both.content;
    ROOM.set(Some(room));
    done
}

/// Adds `member`, packed and not, to `both`. Whenever the content's room is used up, `full`
/// takes out what is there and makes new room.
pub(super) fn pour(
    raw: Raw<'_>,
    member: &Member,
    both: &mut Both,
    mut full: impl FnMut(&mut Both) -> Result<()>,
) -> Result<()> {
    let mut room = Room::take();
    let done = inflate(raw, member, &mut room, true, both, &mut full);
    ROOM.set(Some(room));
    done
}

fn inflate(
    mut raw: Raw<'_>,
    member: &Member,
    room: &mut Room,
    keep: bool,
    both: &mut Both,
    full: &mut impl FnMut(&mut Both) -> Result<()>,
) -> Result<()> {
    let Room { stream, input, .. } = room;
    let mut check = Check { crc: Crc::new(), left: member.size };
    let mut ended = false;
    let (mut from, mut to) = (0, 0);
    while !ended {
        if from == to {
            (from, to) = (0, raw.read(input).map_err(read_fault)?);
            both.packed.extend_from_slice(if keep { &input[..to] } else { &[] });
        }
        if both.content.len() == both.content.capacity() {
            full(both)?;
        }
        let start = both.content.len();
        let read;
        (read, ended) = match member.method {
            Method::Stored => stored(&input[from..to], &mut both.content),
            Method::Deflated => deflated(stream, &input[from..to], &mut both.content)?,
        };
        from += read;
        check.piece(&both.content[start..])?;
        if !ended && read == 0 && both.content.len() == start {
            return Err(bad("its deflate stream is cut off"));
        }
    }
    if member.method == Method::Deflated && stream.total_in() != member.packed {
        return Err(bad("bytes follow the end of its deflate stream"));
    }
    check.end(member)
}

/// Adds what there is room for; how much that was, and whether it was the end.
fn stored(input: &[u8], content: &mut Vec<u8>) -> (usize, bool) {
    let count = input.len().min(content.capacity() - content.len());
    content.extend_from_slice(&input[..count]);
    (count, input.is_empty())
}

/// The same of a deflate stream.
fn deflated(stream: &mut Decompress, input: &[u8], content: &mut Vec<u8>) -> Result<(usize, bool)> {
    let before = stream.total_in();
    let status = stream.decompress_vec(input, content, FlushDecompress::None);
    let status = status.map_err(|_| bad("its deflate stream is damaged"))?;
    let read = usize::try_from(stream.total_in() - before).unwrap_or(0);
    Ok((read, status == Status::StreamEnd))
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

fn bad(why: impl Into<String>) -> Error {
    Error::new(Kind::Archive, why)
}
