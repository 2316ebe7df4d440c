//! The checkout as one file, for a machine that cannot ask git's remote: a pack (git's
//! gitformat-pack), whose objects git names by their digests when it takes them in.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext as _, Kind, Result};
use crate::lock::{Lock, Source};
use crate::store::Store;

use super::checkout::{self, Git};

/// What a pack does not say: both are git's names of objects, in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refs {
    /// Of the tag that the description begins with.
    pub tag: String,
    /// Of the commits whose parents are not there, one a line.
    pub shallow: String,
}

/// Writes the pack of the checkout, which is in the store, into `folder`; returns its path.
pub fn write(
    lock: &Lock,
    source: &Source,
    store: &Store,
    folder: &Path,
) -> Result<(PathBuf, Refs)> {
    let place = checkout::ensure(lock, source, store, true)?;
    let git = Git::at(&place, lock.epoch)?;
    let tag = tag(lock);
    let wanted = format!("{}\n{tag}\n", lock.tensorflow.revision);
    let base = folder.join("checkout");
    // One thread: the same file twice.
    let pack = ["pack-objects", "--quiet", "--revs", "--missing=allow-any", "--threads=1"];
    let name = git.answer(&[&pack[..], &[&base.to_string_lossy()]].concat(), &wanted)?;
    let path = |end: &str| folder.join(format!("checkout-{}.{end}", name.trim()));
    for end in ["idx", "rev"] {
        match fs::remove_file(path(end)) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path(end), &cause));
            }
            _ => {}
        }
    }
    let shallow = place.join(".git/shallow");
    let shallow = if shallow.exists() {
        fs::read_to_string(&shallow).at("read", &shallow)?
    } else {
        String::new()
    };
    Ok((path("pack"), Refs { tag: git.read(&["rev-parse", &tag])?.trim().to_owned(), shallow }))
}

/// Makes the checkout in the store of the pack at `path`; what is not the locked revision is
/// refused.
pub fn read(lock: &Lock, source: &Source, store: &Store, path: &Path, refs: &Refs) -> Result<()> {
    let (revision, describe) = (&lock.tensorflow.revision, &lock.tensorflow.git_version);
    let refused = |error: Error| {
        let message = format!("the vault does not hold revision {revision}: {}", error.message());
        Error::new(Kind::Digest, message).hint("export the vault anew with this workspace.lock")
    };
    let fill = |git: &Git| {
        git.init(describe)?;
        let git_folder = git.place().join(".git");
        let pack = git_folder.join(format!("objects/pack/pack-{revision}.pack"));
        fs::copy(path, &pack).at("write", &pack)?;
        git.read(&["index-pack", &pack.to_string_lossy()]).map_err(refused)?;
        let shallow = git_folder.join("shallow");
        if !refs.shallow.is_empty() {
            fs::write(&shallow, &refs.shallow).at("write", &shallow)?;
        }
        git.read(&["update-ref", &tag(lock), &refs.tag]).map_err(refused)?;
        git.read(&["checkout", "--quiet", "--detach", revision]).map_err(refused).map(drop)
    };
    checkout::made(lock, source, store, fill).map(drop)
}

fn tag(lock: &Lock) -> String {
    format!("refs/tags/{}", checkout::tag(&lock.tensorflow.git_version))
}
