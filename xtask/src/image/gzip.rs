//! Gzip members (RFC 1952): a stream may consist of many, and what is read is their contents
//! one after the other.
//!
//! So what a wheel has deflated already becomes a member as it is, and only what lies
//! between is deflated here. Bytes depend on nothing but what is in them: no name, no time,
//! one level, and chunks of one size however many threads deflate them.

use std::io::{self, Write};
use std::num::NonZero;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Magic, deflate, no flags, no time, no extra flags, unknown operating system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// What is deflated as one: large enough that a cut costs nothing, small enough that every
/// core has some.
const CHUNK: usize = 1 << 20;
/// Deflate's level: a third more time would save a thirtieth of what is deflated here.
const LEVEL: u32 = 6;

/// A gzip stream of what is written to it, and of members that are deflated already.
pub struct Gzip<W> {
    out: W,
    /// Chunks that wait to be deflated together; all but the last are full.
    chunks: Vec<Vec<u8>>,
    threads: usize,
    /// Used again for each small chunk: to make one takes longer than to use it.
    compress: Compress,
}

impl<W: Write> Gzip<W> {
    /// A stream to `out`.
    pub fn new(out: W) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        Gzip { out, chunks: Vec::new(), threads, compress: raw() }
    }

    /// Adds a raw deflate stream of `size` bytes with this CRC-32, which `deflated` reads.
    pub fn member(&mut self, deflated: &mut impl io::Read, crc: u32, size: u64) -> io::Result<()> {
        self.deflate()?;
        self.out.write_all(&HEADER)?;
        io::copy(deflated, &mut self.out)?;
        self.out.write_all(&trailer(crc, size))
    }

    /// Ends the stream.
    pub fn finish(mut self) -> io::Result<W> {
        self.deflate()?;
        Ok(self.out)
    }

    /// Writes all chunks, deflated on as many threads.
    fn deflate(&mut self) -> io::Result<()> {
        let chunks = std::mem::take(&mut self.chunks);
        if let [only] = &chunks[..] {
            self.compress.reset();
            return self.out.write_all(&deflated(only, &mut self.compress)?);
        }
        std::thread::scope(|scope| {
            let work: Vec<_> =
                chunks.iter().map(|chunk| scope.spawn(|| deflated(chunk, &mut raw()))).collect();
            work.into_iter().try_for_each(|thread| {
                let member = thread.join().map_err(|_| io::Error::other("deflate failed"))??;
                self.out.write_all(&member)
            })
        })
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            if self.chunks.len() == self.threads {
                self.deflate()?;
            }
            self.chunks.push(Vec::new());
        }
        let Some(chunk) = self.chunks.last_mut() else { return Ok(0) };
        let count = bytes.len().min(CHUNK - chunk.len());
        chunk.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    /// Nothing: a chunk is deflated when it is full, or a member follows.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A deflater without zlib's own frame.
fn raw() -> Compress {
    Compress::new(Compression::new(LEVEL), false)
}

/// One member of `bytes`.
fn deflated(bytes: &[u8], compress: &mut Compress) -> io::Result<Vec<u8>> {
    let mut member = HEADER.to_vec();
    loop {
        member.reserve(bytes.len() / 2 + 64);
        let read = usize::try_from(compress.total_in()).unwrap_or(bytes.len());
        let status = compress.compress_vec(&bytes[read..], &mut member, FlushCompress::Finish);
        if status? == Status::StreamEnd {
            break;
        }
    }
    let mut crc = Crc::new();
    crc.update(bytes);
    member.extend(trailer(crc.sum(), bytes.len() as u64));
    Ok(member)
}

/// CRC-32, and the size modulo 2^32.
fn trailer(crc: u32, size: u64) -> [u8; 8] {
    let mut trailer = [0; 8];
    trailer[..4].copy_from_slice(&crc.to_le_bytes());
    trailer[4..].copy_from_slice(&(size as u32).to_le_bytes());
    trailer
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::DeflateEncoder;
    use std::io::Read as _;

    fn noise(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * i % 251) as u8).collect()
    }

    #[test]
    fn a_reader_sees_all_members_as_one() {
        let (before, inside, after) = (noise(5 * CHUNK / 2), noise(70_000), noise(3));
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(1));
        encoder.write_all(&inside).unwrap();
        let raw = encoder.finish().unwrap();
        let mut crc = Crc::new();
        crc.update(&inside);

        let mut gzip = Gzip::new(Vec::new());
        gzip.write_all(&before).unwrap();
        gzip.member(&mut &raw[..], crc.sum(), inside.len() as u64).unwrap();
        gzip.write_all(&after).unwrap();
        let stream = gzip.finish().unwrap();
        assert!(stream.windows(raw.len()).any(|window| window == raw), "deflated anew");

        let mut read = Vec::new();
        flate2::read::MultiGzDecoder::new(&stream[..]).read_to_end(&mut read).unwrap();
        assert!(read == [before, inside, after].concat());
    }

    #[test]
    fn the_number_of_threads_and_the_size_of_writes_leave_no_trace() {
        let bytes = noise(7 * CHUNK / 2);
        let stream = |threads, pieces| {
            let mut gzip = Gzip { threads, ..Gzip::new(Vec::new()) };
            bytes.chunks(pieces).for_each(|piece| gzip.write_all(piece).unwrap());
            gzip.finish().unwrap()
        };
        let one = stream(1, 1000);
        assert!(one == stream(3, CHUNK * 2) && one == stream(8, 77_777));
    }
}
