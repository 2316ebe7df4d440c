//! Removing what may refuse to go.

use std::fs::{Metadata, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::{IoContext as _, Result};

/// Removes a file, a link or a whole folder; nothing there is fine. Folders without
/// permissions (a tree may have such) are no obstacle to their owner.
pub fn remove(path: &Path) -> Result<()> {
    let outcome = match path.symlink_metadata() {
        Ok(stat) if stat.is_dir() => remove_folder(path, &stat),
        Ok(_) => std::fs::remove_file(path),
        Err(cause) => Err(cause),
    };
    match outcome {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
        other => other.at("remove", path),
    }
}

fn remove_folder(path: &Path, stat: &Metadata) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(cause) if cause.kind() == ErrorKind::PermissionDenied => {
            open_up(path, stat)?;
            std::fs::remove_dir_all(path)
        }
        other => other,
    }
}

fn open_up(folder: &Path, stat: &Metadata) -> std::io::Result<()> {
    let mode = stat.permissions().mode();
    std::fs::set_permissions(folder, Permissions::from_mode(mode | 0o700))?;
    for item in folder.read_dir()? {
        let item = item?;
        let stat = item.metadata()?;
        if stat.is_dir() {
            open_up(&item.path(), &stat)?;
        }
    }
    Ok(())
}
