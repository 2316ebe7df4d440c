//! A strict reader of Debian packages.
//!
//! Format: deb(5) 2.0 in an ar(5) archive: `debian-binary`, `control.tar.xz`,
//! `data.tar.xz`, in this order and nothing else. Every package of bookworm is so; other
//! compressions are refused by name. No maintainer script is ever looked at.

use std::io::{BufReader, Read, Seek, SeekFrom, Take};

use liblzma::bufread::XzDecoder;
use liblzma::stream::Stream;

use crate::error::{Error, Kind, Result};

use super::budget::Budget;
use super::path::shown;
use super::read_fault;
use super::tar::{Content, Tar};

const MAGIC: &[u8; 8] = b"!<arch>\n";
const HEADER: u64 = 60;
/// The three members, in order.
const MEMBERS: [&str; 3] = ["debian-binary", "control.tar.xz", "data.tar.xz"];
/// Memory that one xz decoder may take, in bytes: enough for `xz -9` (a 64 MiB window).
const XZ_MEMORY: u64 = 80 << 20;
/// Longest `control` file, in bytes; the longest of bookworm is under 20 kB.
const CONTROL: u64 = 1 << 20;

/// An opened package: where its two tar members are.
pub struct Deb<R> {
    reader: R,
    control: Span,
    data: Span,
}

#[derive(Clone, Copy, Default)]
struct Span {
    start: u64,
    length: u64,
}

/// The tar stream of a member.
pub type Member<'a, R> = Tar<Xz<Take<&'a mut R>>>;

impl<R: Read + Seek> Deb<R> {
    /// Reads the ar headers and checks that the three members are all there is.
    pub fn open(mut reader: R) -> Result<Self> {
        let length = reader.seek(SeekFrom::End(0)).map_err(read_fault)?;
        reader.rewind().map_err(read_fault)?;
        let mut magic = [0; MAGIC.len()];
        read(&mut reader, &mut magic)?;
        if magic != *MAGIC {
            return Err(bad("not a Debian package: no ar archive"));
        }
        let mut at = MAGIC.len() as u64;
        let mut spans = [Span::default(); MEMBERS.len()];
        for (span, name) in spans.iter_mut().zip(MEMBERS) {
            *span = member(&mut reader, at, length, name)?;
            at = span.start + span.length + span.length % 2;
        }
        // An ar archive pads its last member too; not every writer does.
        let [version, control, data] = spans;
        if length != at && length != data.start + data.length {
            return Err(bad(format!("data follows `{}`", MEMBERS[2])));
        }
        let mut deb = Deb { reader, control, data };
        deb.check_version(version)?;
        Ok(deb)
    }

    /// The fields of the `control` file that say what the package is.
    pub fn control(&mut self) -> Result<Control> {
        let mut tar = self.tar(self.control).map_err(|e| e.context(MEMBERS[1]))?;
        let mut found = None;
        while let Some(member) = tar.next_member().map_err(|e| e.context(MEMBERS[1]))? {
            match member.content {
                Content::File(size) if member.path.as_str() == "control" && size <= CONTROL => {
                    let mut text = String::new();
                    tar.read_to_string(&mut text).map_err(read_fault)?;
                    found = Some(Control::parse(&text)?);
                }
                _ => {}
            }
        }
        tar.into_inner().finish()?;
        found.ok_or_else(|| bad(format!("no control file in `{}`", MEMBERS[1])))
    }

    /// The files of the package. When it is read to its end, [`Xz::finish`] what is below.
    pub fn data(&mut self) -> Result<Member<'_, R>> {
        self.tar(self.data)
    }

    /// The bytes of `data.tar.xz` as they are.
    pub fn packed(&mut self) -> Result<Take<&mut R>> {
        self.reader.seek(SeekFrom::Start(self.data.start)).map_err(read_fault)?;
        Ok((&mut self.reader).take(self.data.length))
    }

    fn tar(&mut self, span: Span) -> Result<Member<'_, R>> {
        self.reader.seek(SeekFrom::Start(span.start)).map_err(read_fault)?;
        let packed = (&mut self.reader).take(span.length);
        Ok(Tar::new(Xz::new(packed, span.length)?, Budget::of(span.length)))
    }

    fn check_version(&mut self, span: Span) -> Result<()> {
        self.reader.seek(SeekFrom::Start(span.start)).map_err(read_fault)?;
        let mut text = Vec::new();
        (&mut self.reader).take(span.length.min(16)).read_to_end(&mut text).map_err(read_fault)?;
        if text == b"2.0\n" {
            return Ok(());
        }
        Err(bad(format!("package format 2.0 is expected, {} is found", shown(&text))))
    }
}

/// The span of the ar member at `at`, which must be `name`.
fn member<R: Read + Seek>(reader: &mut R, at: u64, length: u64, name: &str) -> Result<Span> {
    let mut header = [0; HEADER as usize];
    reader.seek(SeekFrom::Start(at)).map_err(read_fault)?;
    read(reader, &mut header).map_err(|e| e.context(format!("`{name}` is expected")))?;
    let found = header[..16].trim_ascii_end();
    let found = found.strip_suffix(b"/").unwrap_or(found);
    if found != name.as_bytes() {
        let error = bad(format!("member `{name}` is expected, {} is found", shown(found)));
        return Err(if found.starts_with(&name.as_bytes()[..name.len() - 3]) {
            error.hint("Lockstep reads packages compressed with xz, as all of bookworm's are")
        } else {
            error
        });
    }
    let size = std::str::from_utf8(header[48..58].trim_ascii_end()).ok();
    let size: Option<u64> = size
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok());
    let start = at + HEADER;
    match size {
        Some(size) if header[58..] == *b"`\n" && size <= length.saturating_sub(start) => {
            Ok(Span { start, length: size })
        }
        _ => Err(bad(format!("the ar header of `{name}` is damaged, or the package is cut off"))),
    }
}

fn read(reader: &mut impl Read, bytes: &mut [u8]) -> Result<()> {
    reader.read_exact(bytes).map_err(|e| match e.kind() {
        std::io::ErrorKind::UnexpectedEof => bad("the package is cut off"),
        _ => read_fault(e),
    })
}

/// One xz stream (.xz file format 1.2.1) that fills its member to the last byte.
pub struct Xz<R> {
    decoder: XzDecoder<BufReader<R>>,
    packed: u64,
}

impl<R: Read> Xz<R> {
    fn new(packed: R, length: u64) -> Result<Self> {
        let stream = Stream::new_stream_decoder(XZ_MEMORY, 0)
            .map_err(|e| Error::new(Kind::Io, format!("cannot start an xz decoder: {e}")))?;
        let buffered = BufReader::with_capacity(256 << 10, packed);
        Ok(Xz { decoder: XzDecoder::new_stream(buffered, stream), packed: length })
    }

    /// Checks that the stream ended and its check sum held, at the member's end.
    pub fn finish(mut self) -> Result<()> {
        let mut more = Vec::new();
        self.decoder.by_ref().take(1).read_to_end(&mut more).map_err(read_fault)?;
        if more.is_empty() && self.decoder.total_in() == self.packed {
            return Ok(());
        }
        Err(bad("data follows the xz stream"))
    }
}

impl<R: Read> Read for Xz<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.decoder.read(buffer)
    }
}

/// What a package says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// `Package`.
    pub package: String,
    /// `Version`.
    pub version: String,
    /// `Architecture`.
    pub architecture: String,
}

impl Control {
    /// Reads the three fields of a control file (deb-control(5)).
    pub fn parse(text: &str) -> Result<Self> {
        let field = |name: &str| {
            let mut values = text.lines().filter_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            });
            match (values.next(), values.next()) {
                (Some(value), None) if !value.is_empty() => Ok(value),
                (Some(_), _) => Err(bad(format!("`control` has no one value for `{name}`"))),
                (None, _) => Err(bad(format!("`control` has no `{name}`"))),
            }
        };
        Ok(Control {
            package: field("Package")?,
            version: field("Version")?,
            architecture: field("Architecture")?,
        })
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(Kind::Archive, message)
}
