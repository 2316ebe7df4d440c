//! Where the builds are made: each in a folder of its own, with its own copy of the sources,
//! its own store and nothing in it but downloads. Nothing of the user's is written.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use super::conditions::{Conditions, OTHER_TIME};
use super::variation::Variation;
use crate::bench::place::{SOURCES, fresh_store};
use crate::digest::Sha256;
use crate::error::{IoContext as _, Result};
use crate::lock::Lock;
use crate::store::{self, Hold, Store};
use crate::workspace::Workspace;

/// The place of all builds of one check. Emptied at first, since a killed check leaves it,
/// and in the end.
pub struct Place {
    disk: PathBuf,
    memory: Option<PathBuf>,
    _alone: Hold,
}

/// One build's own folders.
pub struct Room {
    /// The copy of the checkout.
    pub checkout: Workspace,
    /// The store of its own.
    pub store: Store,
    /// Whatever else it needs: home, the folder laid over `/etc`.
    pub own: PathBuf,
}

impl Place {
    /// The place for checks of `workspace`, empty; `memory` is a folder on another file
    /// system, for the output of varied builds.
    pub fn take(workspace: &Workspace, memory: Option<&Path>) -> Result<Self> {
        let scratch = workspace.scratch();
        fs::create_dir_all(&scratch).at("create", &scratch)?;
        let alone = Hold::take(&scratch.join("check.lock"), "the check of this checkout")?;
        let name = Sha256::of(scratch.as_os_str().as_encoded_bytes()).short();
        let memory = memory.map(|memory| memory.join(format!("lockstep-check-{name}")));
        let place = Place { disk: scratch.join("check"), memory, _alone: alone };
        for folder in place.folders() {
            store::remove(folder)?;
            own(folder)?;
        }
        Ok(place)
    }

    fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.disk).chain(&self.memory)
    }

    /// A new room for a build of `workspace` under `conditions`; its store is `shared`, or a
    /// fresh one with the downloads of `lock` that are in `store`.
    pub fn room(
        &self,
        name: &str,
        workspace: &Workspace,
        conditions: &Conditions,
        shared: Option<&Store>,
        downloads: (&Lock, &Store),
    ) -> Result<Room> {
        let memory = self.memory.as_ref().filter(|_| conditions.varies(Variation::Output));
        let own = self.disk.join(name);
        let root = memory.unwrap_or(&self.disk).join(name).join(conditions.folder());
        let mut copy = Copying {
            backwards: conditions.varies(Variation::Order),
            private: conditions.varies(Variation::Umask),
        };
        copy.sources(workspace.root(), &root)?;
        fs::create_dir_all(&own).at("create", &own)?;
        let store = match shared {
            Some(store) => store.clone(),
            None => fresh_store(&own.join(conditions.folder()).join("store"), downloads)?,
        };
        Ok(Room { checkout: Workspace::at(root), store, own })
    }

    /// Where images are written: one takes the other's place, and what they share is shared.
    pub fn images(&self) -> PathBuf {
        self.disk.join("images")
    }

    /// Removes a room whose build is over.
    pub fn clear(&self, name: &str) -> Result<()> {
        self.folders().try_for_each(|folder| store::remove(&folder.join(name)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // An engine that was killed may have left who still writes: each round leaves less.
        for folder in self.folders() {
            let _gone = (0..100).any(|_| {
                let gone = store::remove(folder).is_ok();
                if !gone {
                    std::thread::sleep(Duration::from_millis(10));
                }
                gone
            });
        }
    }
}

/// Makes a folder that was not there: below a folder that everybody may write to, somebody
/// else's would be used else.
fn own(folder: &Path) -> Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).at("create", parent)?;
    }
    fs::DirBuilder::new().mode(0o700).create(folder).at("create", folder)
}

/// How sources are copied.
struct Copying {
    /// The last name first, and as if at another time: other inodes, another order in folders
    /// that keep one.
    backwards: bool,
    /// For the owner alone, as under another umask.
    private: bool,
}

impl Copying {
    fn sources(&mut self, from: &Path, to: &Path) -> Result<()> {
        let mut names = SOURCES.to_vec();
        if self.backwards {
            names.reverse();
        }
        names.into_iter().try_for_each(|name| self.copy(&from.join(name), &to.join(name)))
    }

    fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).at("create", folder)?;
        }
        if !from.is_dir() {
            fs::copy(from, to).at("copy", from)?;
            if self.backwards {
                let file = fs::File::options().write(true).open(to).at("open", to)?;
                file.set_modified(UNIX_EPOCH + Duration::from_secs(OTHER_TIME)).at("change", to)?;
            }
            return if self.private { private(to) } else { Ok(()) };
        }
        fs::create_dir_all(to).at("create", to)?;
        let entries = fs::read_dir(from).at("list", from)?;
        let mut names = entries
            .map(|entry| Ok(entry.at("list", from)?.file_name()))
            .collect::<Result<Vec<_>>>()?;
        names.retain(|name| name != "__pycache__");
        names.sort_unstable();
        if self.backwards {
            names.reverse();
        }
        names.iter().try_for_each(|name| self.copy(&from.join(name), &to.join(name)))
    }
}

fn private(path: &Path) -> Result<()> {
    let mode = fs::metadata(path).at("read", path)?.permissions().mode() & 0o700;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).at("change", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_among_other_peoples_is_our_own() {
        let shared = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(shared.path().join("checkout"));
        let place = Place::take(&workspace, Some(&shared.path().join("memory"))).unwrap();
        for folder in place.folders() {
            let mode = fs::metadata(folder).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
            assert!(own(folder).is_err(), "somebody's folder is taken");
        }
    }
}
