//! Blobs read back, however they are compressed: members of gzip (RFC 1952), frames of
//! Zstandard (RFC 8878), or nothing at all.

use std::error::Error as _;
use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The largest window that a frame may ask for: RFC 8878, section 3.1.1.1.2, recommends to
/// take 8 MiB, and the tools' highest levels use 128 MiB.
const WINDOW: u64 = 128 << 20;

/// What a blob is.
pub fn unpacked<'r>(mut stored: impl BufRead + 'r) -> io::Result<Box<dyn Read + 'r>> {
    Ok(match stored.fill_buf()? {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(stored)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            let mut decoder = FrameDecoder::new();
            decoder.set_max_window_size(WINDOW);
            Box::new(Frames { stored, decoder, inside: false })
        }
        _ => Box::new(stored),
    })
}

/// The contents of all frames, one after the other.
struct Frames<R> {
    stored: R,
    decoder: FrameDecoder,
    /// A frame has begun and its end was not seen.
    inside: bool,
}

impl<R: BufRead> Frames<R> {
    /// Begins the next frame; `false` at the end. Frames that say nothing are skipped.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.stored.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.stored) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut (&mut self.stored).take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(wrong(&error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.decoder.can_collect() {
                0 if self.inside && !self.decoder.is_finished() => {
                    let one = BlockDecodingStrategy::UptoBlocks(1);
                    self.decoder.decode_blocks(&mut self.stored, one).map_err(|e| wrong(&e))?;
                }
                0 => {
                    self.inside = self.begin()?;
                    if !self.inside {
                        return Ok(0);
                    }
                }
                _ => return self.decoder.read(buffer),
            }
        }
    }
}

/// It is no zstd, unless the source itself gave nothing more to read.
fn wrong(error: &FrameDecoderError) -> io::Error {
    let mut causes = std::iter::successors(error.source(), |&error| error.source());
    let kind = causes.find_map(|cause| Some(cause.downcast_ref::<io::Error>()?.kind()));
    match kind.filter(|kind| *kind != io::ErrorKind::UnexpectedEof) {
        Some(kind) => io::Error::new(kind, error.to_string()),
        None => io::Error::new(io::ErrorKind::InvalidData, format!("no zstd: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write as _};

    use super::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    fn read(stored: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        unpacked(BufReader::with_capacity(7, stored))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn frame(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    #[test]
    fn frames_and_members_and_plain_bytes_are_what_is_in_them() {
        let text = b"a text, a text, a text, a longer text ".repeat(9_999);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"xyz"].concat();
        for stored in [
            text.clone(),
            gzip,
            frame(&text),
            [frame(&text[..7]), frame(b""), frame(&text[7..])].concat(),
            [skipped.clone(), frame(&text), skipped.clone()].concat(),
        ] {
            assert!(read(&stored).unwrap() == text, "{:x?}", &stored[..8]);
        }
        assert_eq!(read(&skipped).unwrap(), b"");
        assert_eq!(read(b"").unwrap(), b"");
    }

    #[test]
    fn what_is_cut_off_or_is_no_frame_is_an_error() {
        let whole = [frame(&b"one ".repeat(99)), frame(b"two")].concat();
        let first = frame(&b"one ".repeat(99)).len();
        for at in (4..whole.len()).filter(|at| *at != first) {
            assert!(read(&whole[..at]).is_err(), "cut at {at}");
        }
        assert!(read(&[&whole[..], b"more"].concat()).is_err());
    }
}
