//! A strict reader of the tar streams in Debian packages.
//!
//! Format: POSIX.1-1988 ustar and the GNU variant with long names (tar(5), deb(5)): what
//! dpkg itself takes. Pax headers, sparse files, devices and binary numbers are refused by
//! name, so that no two readers can see different members. Owner, group and times are not
//! even parsed: no tree of ours has them from an archive.

use std::collections::BTreeSet;
use std::io::{self, Read};

use crate::error::{Error, Kind, Result};

use super::budget::Budget;
use super::path::{TreePath, link_target, shown};
use super::read_fault;
use crate::pieces;

const BLOCK: usize = 512;
/// Longest GNU long name or link target that is read, in bytes, its NUL with it.
const LONG: u64 = 4096;

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it is; no leading `./`, no trailing `/`.
    pub path: TreePath,
    /// Permission bits as written, set-id and sticky with them.
    pub mode: u32,
    /// What it is.
    pub content: Content,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A folder.
    Folder,
    /// A regular file of so many bytes; read them from the [`Tar`].
    File(u64),
    /// A symbolic link and its target.
    Link(String),
    /// A hard link to an earlier member.
    HardLink(TreePath),
}

/// Reads one member after the other; as a [`Read`], the content of the current one.
pub struct Tar<R> {
    inner: R,
    /// Content bytes of the current member that are not yet read.
    left: u64,
    /// Bytes from the end of that content to the next header.
    padding: usize,
    names: BTreeSet<TreePath>,
    budget: Budget,
}

impl<R: Read> Tar<R> {
    /// A reader of the tar stream `inner`.
    pub fn new(inner: R, budget: Budget) -> Self {
        Tar { inner, left: 0, padding: 0, names: BTreeSet::new(), budget }
    }

    /// The next member; `None` at the end, which is checked: two blocks of zeros, then
    /// nothing but zeros. What was not read of the member before is skipped.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        let mut long = Long::default();
        loop {
            let Some(header) = self.header()? else {
                return if long == Long::default() { Ok(None) } else { Err(dangling()) };
            };
            match header.kind() {
                b'L' => long.set_name(self.long_text(&header)?)?,
                b'K' => long.set_target(self.long_text(&header)?)?,
                _ => match self.member(&header, std::mem::take(&mut long))? {
                    Some(member) => return Ok(Some(member)),
                    None => continue, // the tree's own folder
                },
            }
        }
    }

    /// Takes the reader below, after the end.
    pub fn into_inner(self) -> R {
        self.inner
    }

    fn header(&mut self) -> Result<Option<Header>> {
        let skip = self.left + self.padding as u64;
        let skipped = io::copy(&mut (&mut self.inner).take(skip), &mut io::sink());
        if skipped.map_err(read_fault)? < skip {
            return Err(bad("the tar stream is cut off"));
        }
        (self.left, self.padding) = (0, 0);
        let block = self.block()?;
        if block.iter().any(|byte| *byte != 0) {
            return Header::parse(block).map(Some);
        }
        if self.block()?.iter().any(|byte| *byte != 0) {
            return Err(bad("a single block of zeros stands between tar members"));
        }
        self.only_zeros_follow()?;
        Ok(None)
    }

    fn block(&mut self) -> Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        match self.inner.read_exact(&mut block) {
            Ok(()) => Ok(block),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Err(bad("the tar stream ends without its end mark"))
            }
            Err(e) => Err(read_fault(e)),
        }
    }

    fn only_zeros_follow(&mut self) -> Result<()> {
        let zeros = |piece: &[u8]| match piece.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(bad("data follows the end of the tar stream")),
        };
        pieces::read(&mut self.inner, zeros, read_fault).map(drop)
    }

    /// The content of a GNU `L` or `K` header: text and one NUL.
    fn long_text(&mut self, header: &Header) -> Result<Vec<u8>> {
        let size = header.size()?;
        if header.name()? != b"././@LongLink" || !(2..=LONG).contains(&size) {
            return Err(bad("a malformed GNU long name"));
        }
        self.start(size);
        let mut text = Vec::new();
        self.read_to_end(&mut text).map_err(read_fault)?;
        if text.pop() != Some(0) || text.contains(&0) || text.len() as u64 + 1 != size {
            return Err(bad("a malformed GNU long name"));
        }
        Ok(text)
    }

    fn start(&mut self, size: u64) {
        self.left = size;
        self.padding = (BLOCK - (size % BLOCK as u64) as usize) % BLOCK;
    }

    fn member(&mut self, header: &Header, long: Long) -> Result<Option<Member>> {
        let name = long.name(&header.name()?)?;
        let folder = header.kind() == b'5';
        let plain = name.strip_prefix(b"./").unwrap_or(&name);
        let plain = if folder { plain.strip_suffix(b"/").unwrap_or(plain) } else { plain };
        if folder && matches!(plain, b"" | b".") {
            // Its size counts too: another reader would take what follows for its content.
            return match (header.size()?, long.target) {
                (0, None) => self.budget.spend(0, 0).map(|()| None),
                _ => Err(bad("the tree's own folder has content")),
            };
        }
        let path = TreePath::parse(plain)?;
        let content = header.content(&path, long.target)?;
        let size = if let Content::File(size) = content { size } else { 0 };
        self.budget.spend(plain.len(), size).map_err(|e| e.context(format!("`{path}`")))?;
        if !self.names.insert(path.clone()) {
            return Err(bad(format!("`{path}` is in the archive twice")));
        }
        self.start(size);
        Ok(Some(Member { mode: header.mode()?, path, content }))
    }
}

impl<R: Read> Read for Tar<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let n = self.inner.read(&mut buffer[..most])?;
        if n == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the tar stream is cut off"));
        }
        self.left -= n as u64;
        Ok(n)
    }
}

/// GNU long names that wait for their member.
#[derive(Default, PartialEq, Eq)]
struct Long {
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl Long {
    fn set_name(&mut self, text: Vec<u8>) -> Result<()> {
        self.name.replace(text).map_or(Ok(()), |_| Err(bad("two GNU long names for one member")))
    }

    fn set_target(&mut self, text: Vec<u8>) -> Result<()> {
        self.target.replace(text).map_or(Ok(()), |_| Err(bad("two GNU long links for one member")))
    }

    /// The member's name; a long one must begin with the short one, as every writer has it.
    fn name(&self, short: &[u8]) -> Result<Vec<u8>> {
        match &self.name {
            Some(long) if long.starts_with(short) => Ok(long.clone()),
            Some(long) => Err(bad(format!("two names, {} and {}", shown(long), shown(short)))),
            None => Ok(short.to_vec()),
        }
    }
}

/// One checked header block.
struct Header([u8; BLOCK]);

impl Header {
    fn parse(block: [u8; BLOCK]) -> Result<Self> {
        let header = Header(block);
        let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
        let own: u64 = block[148..156].iter().map(|byte| u64::from(*byte)).sum();
        // The checksum's own field counts as eight spaces.
        if header.number(148..156, "checksum")? != sum - own + 8 * u64::from(b' ') {
            return Err(bad("a tar header with a wrong checksum"));
        }
        match &block[257..265] {
            b"ustar  \0" | b"ustar\x0000" => Ok(header),
            _ => Err(bad("a tar header that is neither GNU's nor ustar")),
        }
    }

    fn kind(&self) -> u8 {
        self.0[156]
    }

    /// Name field, with ustar's prefix field before it.
    fn name(&self) -> Result<Vec<u8>> {
        let name = self.text(0..100)?;
        if self.0[257..265] != *b"ustar\x0000" {
            return Ok(name.to_vec());
        }
        let prefix = self.text(345..500)?;
        Ok(if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() })
    }

    fn mode(&self) -> Result<u32> {
        let mode = self.number(100..108, "mode")?;
        u32::try_from(mode).ok().filter(|mode| *mode <= 0o7777).ok_or_else(|| {
            bad(format!("{}: mode {mode:o} has more than permissions", self.shown()))
        })
    }

    fn size(&self) -> Result<u64> {
        self.number(124..136, "size")
    }

    fn content(&self, path: &TreePath, long: Option<Vec<u8>>) -> Result<Content> {
        let size = self.size()?;
        let target = match long {
            Some(long) if long.starts_with(self.text(157..257)?) => long,
            Some(_) => return Err(bad(format!("`{path}` has two link targets"))),
            None => self.text(157..257)?.to_vec(),
        };
        let content = match self.kind() {
            b'0' | 0 if target.is_empty() => return Ok(Content::File(size)),
            b'5' if target.is_empty() => Content::Folder,
            b'2' => Content::Link(link_target(path, &target)?),
            b'1' => {
                let plain = target.strip_prefix(b"./").unwrap_or(&target);
                let target = TreePath::parse(plain).map_err(|e| e.context(format!("`{path}`")))?;
                Content::HardLink(target)
            }
            b'0' | 0 | b'5' => {
                return Err(bad(format!("`{path}` has a link target but is no link")));
            }
            kind => return Err(bad(format!("`{path}` is {}", sort(kind)))),
        };
        if size != 0 {
            return Err(bad(format!("`{path}` has a size of {size} but no content")));
        }
        Ok(content)
    }

    /// Octal digits, spaces before them, spaces and NULs behind.
    fn number(&self, at: std::ops::Range<usize>, what: &str) -> Result<u64> {
        let field = self.0[at].trim_ascii();
        let end = field.iter().position(|b| matches!(b, 0 | b' ')).unwrap_or(field.len());
        let (digits, rest) = field.split_at(end);
        let octal = !digits.is_empty() && digits.iter().all(|b| (b'0'..=b'7').contains(b));
        if !octal || rest.iter().any(|b| !matches!(b, 0 | b' ')) {
            return Err(bad(format!("{}: the {what} is not octal", self.shown())));
        }
        Ok(digits.iter().fold(0, |n, b| n << 3 | u64::from(b - b'0')))
    }

    /// A text field: up to its first NUL, after which are only NULs.
    fn text(&self, at: std::ops::Range<usize>) -> Result<&[u8]> {
        let field = &self.0[at];
        let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
        if field[end..].iter().any(|b| *b != 0) {
            return Err(bad(format!("{}: a NUL inside a name", shown(field))));
        }
        Ok(&field[..end])
    }

    fn shown(&self) -> String {
        let field = &self.0[..100];
        let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
        shown(&field[..end])
    }
}

/// What a refused type flag stands for (tar(5)).
fn sort(kind: u8) -> String {
    let name = match kind {
        b'3' => "a character device",
        b'4' => "a block device",
        b'6' => "a fifo",
        b'S' => "a sparse file",
        b'x' | b'g' => "a pax header, which dpkg does not take either",
        _ => return format!("a member of unknown type {}", shown(&[kind])),
    };
    name.to_owned()
}

fn dangling() -> Error {
    bad("a GNU long name without a member")
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(Kind::Archive, message)
}
