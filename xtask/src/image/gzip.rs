//! Gzip members (RFC 1952): a stream may consist of many, and what is read is their contents
//! one after the other.
//!
//! So what a wheel has deflated already becomes a member as it is, and only what lies
//! between is deflated here. Bytes depend on nothing but what is in them: no name, no time,
//! one level, and chunks of one size however many threads deflate them.

use std::io;
use std::num::NonZero;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Magic, deflate, no flags, no time, no extra flags, unknown operating system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// What is deflated as one: large enough that a cut costs nothing, small enough that every
/// core has some.
const CHUNK: usize = 1 << 20;
/// Deflate's level: a third more time would save a thirtieth of what is deflated here.
const LEVEL: u32 = 6;

/// A gzip stream of what is put into it, and of members that are deflated already. What comes
/// out is added to a buffer of the caller's.
pub struct Gzip {
    /// Chunks that wait to be deflated together; all but the last are full.
    chunks: Vec<Vec<u8>>,
    threads: usize,
    /// Used again for each small chunk: to make one takes longer than to use it.
    compress: Compress,
}

impl Default for Gzip {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        Gzip { chunks: Vec::new(), threads, compress: raw() }
    }
}

impl Gzip {
    /// Adds `bytes`, which are deflated here: as soon as every thread has a full chunk, or
    /// another member begins.
    pub fn put(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
                if self.chunks.len() == self.threads {
                    self.flush(out)?;
                }
                self.chunks.push(Vec::new());
            }
            let Some(chunk) = self.chunks.last_mut() else { break };
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - chunk.len()));
            chunk.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Begins a member whose deflate stream the caller adds to `out`.
    pub fn begin(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.flush(out)?;
        out.extend_from_slice(&HEADER);
        Ok(())
    }

    /// Ends the member that was begun: its content has this CRC-32 and `size` bytes.
    pub fn end(&mut self, crc: u32, size: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&trailer(crc, size));
    }

    /// Deflates all chunks, each on a thread.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if let [only] = &self.chunks[..] {
            self.compress.reset();
            deflated(only, &mut self.compress, out)?;
            self.chunks.clear();
            return Ok(());
        }
        let chunks = std::mem::take(&mut self.chunks);
        std::thread::scope(|scope| {
            let deflate = |chunk| {
                let mut member = Vec::new();
                deflated(chunk, &mut raw(), &mut member).map(|()| member)
            };
            let work: Vec<_> =
                chunks.iter().map(|chunk| scope.spawn(move || deflate(chunk))).collect();
            work.into_iter().try_for_each(|thread| {
                let member = thread.join().map_err(|_| io::Error::other("deflate failed"))??;
                out.extend_from_slice(&member);
                Ok(())
            })
        })
    }
}

/// A deflater without zlib's own frame.
fn raw() -> Compress {
    Compress::new(Compression::new(LEVEL), false)
}

/// Adds one member of `bytes` to `out`.
fn deflated(bytes: &[u8], compress: &mut Compress, out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&HEADER);
    loop {
        out.reserve(bytes.len() / 2 + 64);
        let read = usize::try_from(compress.total_in()).unwrap_or(bytes.len());
        let status = compress.compress_vec(&bytes[read..], out, FlushCompress::Finish);
        if status? == Status::StreamEnd {
            break;
        }
    }
    let mut crc = Crc::new();
    crc.update(bytes);
    out.extend_from_slice(&trailer(crc.sum(), bytes.len() as u64));
    Ok(())
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
    use std::io::{Read as _, Write as _};

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

        let (mut gzip, mut stream) = (Gzip::default(), Vec::new());
        gzip.put(&before, &mut stream).unwrap();
        gzip.begin(&mut stream).unwrap();
        stream.extend_from_slice(&raw);
        gzip.end(crc.sum(), inside.len() as u64, &mut stream);
        gzip.put(&after, &mut stream).unwrap();
        gzip.flush(&mut stream).unwrap();
        assert!(stream.windows(raw.len()).any(|window| window == raw), "deflated anew");

        let mut read = Vec::new();
        flate2::read::MultiGzDecoder::new(&stream[..]).read_to_end(&mut read).unwrap();
        assert!(read == [before, inside, after].concat());
    }

    #[test]
    fn the_number_of_threads_and_the_size_of_writes_leave_no_trace() {
        let bytes = noise(7 * CHUNK / 2);
        let stream = |threads, pieces| {
            let (mut gzip, mut out) = (Gzip { threads, ..Gzip::default() }, Vec::new());
            bytes.chunks(pieces).for_each(|piece| gzip.put(piece, &mut out).unwrap());
            gzip.flush(&mut out).unwrap();
            out
        };
        let one = stream(1, 1000);
        assert!(one == stream(3, CHUNK * 2) && one == stream(8, 77_777));
    }
}
