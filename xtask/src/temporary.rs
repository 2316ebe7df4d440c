//! Folders that go when they are dropped, where this machine keeps what is temporary.

use tempfile::TempDir;

use crate::error::{Error, Result};

/// A new folder, whose name says whose it is.
pub fn folder() -> Result<TempDir> {
    let place = std::env::temp_dir();
    tempfile::Builder::new().prefix("lockstep-").tempdir_in(&place).map_err(|cause| {
        Error::io("create a folder in", &place, &cause)
            .hint("set TMPDIR to a folder that you may write")
    })
}
