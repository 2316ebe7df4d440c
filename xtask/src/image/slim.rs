//! `[image] slim`: TensorFlow's own libraries without the symbols that no loader reads, and
//! wheels without what only compiles or tests code ([`crate::root::wheel`] has the rule).
//!
//! What strips is the builder root's own `strip`; what comes out is a tree of the store, keyed
//! by the wheel and by all packages of that root.

use std::fs::File;
use std::path::{Path, PathBuf};

use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{LittleEndian as LE, ReadCache, ReadRef};

use crate::digest::Key;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::root;
use crate::root::path::TreePath;
use crate::root::tree::Tree;
use crate::root::wheel::{Content, Installed, Replaced, Wheel, is_own_library};
use crate::store::{Manifest, Node};

use super::source;
use super::tools::{PLACE, Tools};

/// TensorFlow's libraries, stripped; none when the image is not slim.
pub fn stripped(tools: &Tools<'_>) -> Result<Option<Replaced>> {
    let Some(wheel) = tools.lock.tensorflow_wheel().filter(|_| tools.lock.image.slim) else {
        return Ok(None);
    };
    let key = Key::new("stripped 1").field("wheel", wheel.sha256.bytes());
    let key = key.field("tools", tools.key().bytes()).finish();
    let tree = tools.store.tree("stripped", &key, |place| {
        let wheel = source::open(tools.store, wheel)?;
        let libraries: Vec<Installed> =
            wheel.installed()?.into_iter().filter(|file| is_own_library(&file.path)).collect();
        unpack(&wheel, &libraries, place, tools.lock.epoch)?;
        strip(tools, place, &libraries)?;
        Manifest::of_tree(place)
    })?;
    let mut replaced = Replaced::new();
    for (path, entry) in Manifest::of_tree(&tree)?.iter() {
        if let Node::File { size, digest } = entry.node {
            let inside = TreePath::parse(path.as_os_str().as_encoded_bytes())?;
            replaced.insert(inside, (tree.join(path), size, digest));
        }
    }
    Ok(Some(replaced))
}

/// The site-packages of the image: whole, or slim as it is.
pub fn site(tools: &Tools<'_>) -> Result<PathBuf> {
    match stripped(tools)? {
        None => root::site::ensure(tools.lock, tools.store),
        Some(replaced) => root::site::ensure_slim(tools.lock, tools.store, &replaced),
    }
}

fn unpack(wheel: &Wheel, libraries: &[Installed], place: &Path, epoch: u64) -> Result<()> {
    let tree = Tree::at(place, epoch)?;
    let mut hand = tree.hand();
    for file in libraries {
        let Content::Member(at) = file.content else { continue };
        let mut writing = hand.file(&file.path, file.mode)?;
        wheel.copy(&wheel.entries()[at], |piece| writing.write(piece))?;
        match writing.finish()?.node {
            Node::File { digest, .. } if digest != file.digest => {
                return Err(wheel.differs(&wheel.entries()[at], &file.digest, &digest));
            }
            _ => {}
        }
    }
    Ok(())
}

fn strip(tools: &Tools<'_>, place: &Path, libraries: &[Installed]) -> Result<()> {
    let inside: Vec<String> =
        libraries.iter().map(|file| format!("{PLACE}/{}", file.path)).collect();
    let mut argv = vec!["/usr/bin/strip", "--strip-unneeded", "--preserve-dates", "--"];
    argv.extend(inside.iter().map(String::as_str));
    tools.run("strip", place, &argv)?;
    for file in libraries {
        let path = place.join(&file.path);
        let library = ReadCache::new(File::open(&path).at("open", &path)?);
        if !loads(&library) {
            let message = format!("`{}` no longer loads when it is stripped", file.path);
            return Err(Error::new(Kind::Tool, message).hint(
                "leave `image.slim` out of workspace.toml, then run `cargo xtask update image`",
            ));
        }
    }
    Ok(())
}

/// Whether each segment lies in the file as it will in memory, modulo its alignment: the
/// loader maps pages (System V gABI chapter 5, "Program Header", p_align).
fn loads<'d>(library: impl ReadRef<'d>) -> bool {
    let Ok(header) = FileHeader64::<LE>::parse(library) else { return false };
    let Ok(segments) = header.program_headers(LE, library) else { return false };
    let mut loaded = segments.iter().filter(|segment| segment.p_type(LE) == PT_LOAD).peekable();
    loaded.peek().is_some()
        && loaded.all(|segment| {
            let align = segment.p_align(LE).max(1);
            segment.p_offset(LE) % align == segment.p_vaddr(LE) % align
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_no_page_can_hold_is_seen() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert!(loads(&own[..]));
        assert!(!loads(&b"no library"[..]));
        // e_phoff, e_phentsize (gABI, "ELF Header"); p_offset is the second field.
        let table = u64::from_le_bytes(own[32..40].try_into().unwrap()) as usize;
        let entry = usize::from(u16::from_le_bytes([own[54], own[55]]));
        let first = (table..).step_by(entry).find(|at| own[*at..*at + 4] == [1, 0, 0, 0]).unwrap();
        let mut moved = own;
        moved[first + 8] ^= 8;
        assert!(!loads(&moved[..]));
    }
}
