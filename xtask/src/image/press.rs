//! A layer's tar stream and its blob, made together: each wheel's bytes are read once, go into
//! the blob as they are, and are inflated for the diff id.
//!
//! Members are shared out among all cores in jobs. A job ends with a member that was deflated
//! in its wheel: what lies between two of them is deflated as one, so the blob's bytes do not
//! depend on where jobs end. What is hashed and written comes in order.

use std::io::Write;
use std::path::Path;

use crate::digest::{Hasher, Sha256};
use crate::error::Result;
use crate::interrupt;
use crate::root::path::TreePath;
use crate::root::work::in_order;
use crate::root::zip::{Both, Method};
use crate::store::{Node, write_error};

use super::diff::{self, Records};
use super::gzip::Gzip;
use super::layer::{Content, Layer, Member};
use super::tar;

/// Bytes of the tar stream that are handed over together.
const PIECE: usize = 512 << 10;
/// Bytes of the tar stream after which a job ends as soon as it can.
const JOB: u64 = 1 << 20;

/// Writes the blob of `layer` to `out`, which people know as the file `place`; returns the
/// layer's diff id too.
pub fn press<W: Write>(
    layer: &Layer<'_>,
    records: Records,
    mut out: W,
    place: &Path,
) -> Result<(W, Sha256)> {
    let members: Vec<_> = layer.members().collect();
    let mut hasher = Hasher::default();
    let work = |job: &Job<'_, '_>, give: &mut dyn FnMut(Both) -> Result<()>| {
        Press { layer, records, place, gzip: Gzip::default(), both: room(), give }.job(job)
    };
    in_order(&jobs(&members), work, |both| {
        hasher.update(&both.content);
        out.write_all(&both.packed).map_err(|cause| write_error(place, 0, &cause))
    })?;
    Ok((out, hasher.finish()))
}

/// Members that are made one after the other.
struct Job<'j, 'w> {
    /// What follows the content of the member before.
    padding: &'static [u8],
    members: &'j [(&'j TreePath, &'j Member<'w>)],
    last: bool,
}

fn jobs<'j, 'w>(members: &'j [(&'j TreePath, &'j Member<'w>)]) -> Vec<Job<'j, 'w>> {
    let (mut jobs, mut start, mut bytes) = (Vec::new(), 0, 0);
    let mut padding: &[u8] = &[];
    for (at, (_, member)) in members.iter().enumerate() {
        bytes += tar::BLOCK as u64 + member.size();
        if bytes >= JOB && deflated(member) {
            jobs.push(Job { padding, members: &members[start..=at], last: false });
            (start, bytes, padding) = (at + 1, 0, member.padding());
        }
    }
    jobs.push(Job { padding, members: &members[start..], last: true });
    jobs
}

fn deflated(member: &Member<'_>) -> bool {
    matches!(member.content, Content::Packed(_, packed) if packed.method == Method::Deflated)
}

/// An empty piece.
fn room() -> Both {
    Both { content: Vec::with_capacity(PIECE), packed: Vec::new() }
}

/// What makes one job: `both` is the piece that comes next.
struct Press<'p, 'w> {
    layer: &'p Layer<'w>,
    records: Records,
    place: &'p Path,
    gzip: Gzip,
    both: Both,
    give: &'p mut dyn FnMut(Both) -> Result<()>,
}

impl Press<'_, '_> {
    fn job(mut self, job: &Job<'_, '_>) -> Result<()> {
        let mut padding = job.padding;
        for (path, member) in job.members {
            interrupt::check()?;
            self.plain(padding)?;
            self.plain(&self.layer.header(path, member)?)?;
            self.content(path, member)?;
            padding = member.padding();
        }
        if job.last {
            self.plain(padding)?;
            self.plain(&tar::END)?;
            let flushed = self.gzip.flush(&mut self.both.packed);
            flushed.map_err(|cause| write_error(self.place, 0, &cause))?;
        }
        (self.give)(self.both)
    }

    /// Adds bytes that are deflated here.
    fn plain(&mut self, bytes: &[u8]) -> Result<()> {
        if self.both.content.len() + bytes.len() > PIECE {
            (self.give)(std::mem::replace(&mut self.both, room()))?;
        }
        self.both.content.extend_from_slice(bytes);
        let put = self.gzip.put(bytes, &mut self.both.packed);
        put.map_err(|cause| write_error(self.place, 0, &cause))
    }

    /// Adds the content of `member`, and holds it against its digest.
    fn content(&mut self, path: &TreePath, member: &Member<'_>) -> Result<()> {
        let packed = matches!(member.content, Content::Packed(..));
        match member.entry.node {
            Node::File { digest, .. } if !packed || self.records == Records::Check => {
                let mut hasher = Hasher::default();
                self.bytes(member, |bytes| hasher.update(bytes))?;
                diff::compare(path, &digest, &hasher.finish())
            }
            _ => self.bytes(member, |_| ()),
        }
    }

    fn bytes(&mut self, member: &Member<'_>, mut see: impl FnMut(&[u8])) -> Result<()> {
        let Content::Packed(wheel, packed) = &member.content else {
            return member.content.copy(|bytes| {
                see(bytes);
                self.plain(bytes)
            });
        };
        if packed.method == Method::Stored {
            return wheel.copy(packed, |bytes| {
                see(bytes);
                self.plain(bytes)
            });
        }
        let begun = self.gzip.begin(&mut self.both.packed);
        begun.map_err(|cause| write_error(self.place, 0, &cause))?;
        let mut from = self.both.content.len();
        wheel.pour(packed, &mut self.both, |both| {
            see(&both.content[std::mem::take(&mut from)..]);
            (self.give)(std::mem::replace(both, room()))
        })?;
        see(&self.both.content[from..]);
        self.gzip.end(packed.crc, packed.size, &mut self.both.packed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Entry;

    /// Sizes that begin and end files at, before and behind the edge of a piece.
    #[test]
    fn a_file_that_is_not_what_its_tree_says_is_refused_wherever_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        for size in [0, 1, PIECE - 1024, PIECE - 512, PIECE, 2 * PIECE - 512, 3 * PIECE + 1] {
            let path = folder.path().join("f");
            let mut layer = Layer::new("test", 0);
            let digest = Sha256::of(&vec![7; size]);
            for name in ["a", "b"] {
                let entry = Entry::file(0o644, size as u64, digest);
                let member = Member { entry, content: Content::File(path.clone()) };
                layer.add(TreePath::try_from(name).unwrap(), member, "x").unwrap();
            }
            std::fs::write(&path, vec![7; size]).unwrap();
            diff::id(&layer, Records::Trust).unwrap();
            std::fs::write(&path, vec![8; size.max(1)]).unwrap();
            let error = diff::id(&layer, Records::Trust).unwrap_err();
            assert!(error.message().starts_with("`a` in the image: expected sha256"), "{error}");
        }
    }
}
