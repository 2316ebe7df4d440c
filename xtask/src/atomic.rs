//! Whole-file writes: a reader, a crash or a power loss sees the old bytes or the new.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use crate::error::{Error, IoContext as _, Kind, Result};

/// Writes `bytes` to `path`: temporary file beside it, fsync, rename, fsync of the folder.
/// On any error the old file is as it was and the temporary one is gone.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().ok_or_else(|| {
        Error::new(Kind::Io, format!("`{}` is no place for a file", path.display()))
    })?;
    std::fs::create_dir_all(folder).at("create", folder)?;
    let mut file = tempfile::Builder::new()
        .prefix(".lockstep-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .at("create a file in", folder)?;
    file.write_all(bytes).at("write", path)?;
    file.as_file().sync_all().at("write", path)?;
    file.persist(path).map_err(|e| Error::io("replace", path, &e.error))?;
    File::open(folder).and_then(|folder| folder.sync_all()).at("sync", folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_bytes_stay_when_the_new_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        std::fs::create_dir(folder.path().join("d")).unwrap();
        assert!(write(&folder.path().join("d"), b"x").is_err());
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            2,
            "a temporary file is left"
        );
    }
}
