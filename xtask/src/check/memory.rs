//! Another file system than that of the checkout, for the output of varied builds.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::workspace::Workspace;

/// Where most machines have a tmpfs.
const USUAL: &str = "/dev/shm";
/// Bytes that the output of some dozens of ops takes, with room to spare.
const ROOM: u64 = 256 << 20;

/// The folder `chosen`, or the machine's own tmpfs; the error is why there is none.
pub fn find(workspace: &Workspace, chosen: Option<&Path>) -> Result<PathBuf, String> {
    if let Some(folder) = chosen {
        return Ok(folder.to_owned());
    }
    let device = |path: &Path| path.ancestors().find_map(|path| Some(path.metadata().ok()?.dev()));
    let usual = Path::new(USUAL);
    let free = rustix::fs::statvfs(usual).map_err(|cause| format!("{USUAL}: {cause}"))?;
    if free.f_bavail.saturating_mul(free.f_frsize) < ROOM {
        return Err(format!("{USUAL} has less than 256 MiB to spare"));
    }
    if device(&workspace.scratch()) == device(usual) {
        return Err(format!("the checkout is on the file system of {USUAL}"));
    }
    Ok(usual.to_owned())
}
