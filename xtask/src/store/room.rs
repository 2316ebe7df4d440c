//! Why a write failed: no room, no permission, or something else.

use std::io::ErrorKind;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use crate::error::{Error, Kind};
use crate::progress::bytes;

/// The error for a failed write at `path`, which was to become `needed` bytes larger (0: not
/// known).
pub fn write_error(path: &Path, needed: u64, cause: &std::io::Error) -> Error {
    let error = Error::io("write", path, cause);
    match cause.kind() {
        _ if is_unwritable(cause) => {
            error.hint("set LOCKSTEP_STORE to a folder that you may write")
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            no_room(path, needed, &cause.to_string())
        }
        _ => error,
    }
}

/// Whether a write failed because nobody may write there.
pub(super) fn is_unwritable(cause: &std::io::Error) -> bool {
    matches!(cause.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
}

/// An error before the first byte is written where `needed` bytes will not fit at `path`.
pub fn check_room(path: &Path, needed: u64) -> Result<(), Error> {
    match free(path) {
        Some((free, _)) if free < needed => Err(no_room(path, needed, "not enough room")),
        _ => Ok(()),
    }
}

fn no_room(path: &Path, needed: u64, why: &str) -> Error {
    let mut message = format!("cannot write `{}`: {why}", path.display());
    if needed > 0 {
        message += &format!(": {} needed", bytes(needed));
    }
    if let Some((free, files)) = free(path) {
        message += &format!(", {} and {files} files free", bytes(free));
    }
    Error::new(Kind::Io, message)
        .hint("make room, or set LOCKSTEP_STORE to a folder on a larger disk")
}

/// Free bytes and files for an ordinary user where `path` is or will be. File systems that
/// have no fixed number of files say 0 of 0.
pub fn free(path: &Path) -> Option<(u64, u64)> {
    let there = path.ancestors().find(|ancestor| ancestor.exists())?;
    let stat = statvfs(there).ok()?;
    let files = if stat.files() == 0 { u64::MAX } else { stat.files_available() };
    Some((stat.blocks_available().saturating_mul(stat.fragment_size()), files))
}
