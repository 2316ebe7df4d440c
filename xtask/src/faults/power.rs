//! Power loss: a victim's disk stops with what has reached it, and is mounted again.
//!
//! The disk is a file with an ext4 of its own; the ioctl `EXT4_IOC_SHUTDOWN` stops it without
//! writing back anything, the journal neither. What a disk's own cache forgets is not tried.

use std::cell::Cell;
use std::fs::{self, File};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::Stage;
use super::chance::Chance;
use super::place::Place;
use super::report::Row;
use super::round::{Blow, Rounds};
use crate::command::{self, Env, cmd};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::interrupt;
use crate::store::Store;
use crate::temporary;
use crate::workspace::Workspace;

/// Bytes of the disk, most of them never written.
const SIZE: u64 = 128 << 20;

/// `losses` power losses: by turns right after the victim's success, and while it runs.
pub fn loss(
    stage: Stage,
    losses: u32,
    chance: &mut Chance,
    workspace: &Workspace,
    store: &Store,
) -> Result<Row> {
    let mut row = Row::new(stage, "power loss");
    let disk = match Disk::new() {
        Ok(disk) => disk,
        Err(error) => {
            row.skipped = Some(error.message().replace('\n', " "));
            return Ok(row);
        }
    };
    let place = Place::make(&disk.mount(), stage, workspace, store)?;
    let mut rounds = Rounds::new(&place)?;
    let longest = rounds.undisturbed()?.max(Duration::from_millis(1));
    for number in 0..losses {
        interrupt::check()?;
        let delay = (number % 2 == 1).then(|| chance.within(longest));
        let how = format!("stage {}, power loss {number} ({delay:?})", stage.name());
        rounds.round(&mut row, &how, |rounds| strike(rounds, &disk, delay))?;
    }
    Ok(row)
}

/// What was reported as done must be there; trees are hashed after a restart of the machine
/// and made again, so they need not.
fn strike(rounds: &Rounds<'_>, disk: &Disk, delay: Option<Duration>) -> Result<Blow> {
    disk.write_back()?;
    let mut victim = rounds.start(&[])?;
    victim.started()?;
    if let Some(delay) = delay {
        std::thread::sleep(delay);
        victim.kill();
    }
    let done = victim.end()?.0.success();
    disk.lose_power()?;
    if rounds.place.stage == Stage::Tree {
        // The next command of a machine that started again does so.
        let _damage_is_set_aside = rounds.place.store.verify();
        return Ok(Blow::Hit);
    }
    Ok(match !done || rounds.is_made() {
        true => Blow::Hit,
        false => Blow::Bad("it said that it was done, and the disk does not have it".to_owned()),
    })
}

/// A file system that can be stopped.
struct Disk {
    folder: TempDir,
    /// How often it lost power.
    losses: Cell<u32>,
}

impl Disk {
    fn new() -> Result<Self> {
        let folder = temporary::folder()?;
        let disk = Disk { folder, losses: Cell::new(0) };
        let (image, mount) = (disk.image(), disk.mount());
        let file = File::create(&image).at("create", &image)?;
        file.set_len(SIZE).at("write", &image)?;
        fs::create_dir(&mount).at("create", &mount)?;
        let (sh, image) = (command::shell()?, &image);
        command::read(cmd!(sh, "mkfs.ext4 -q -F {image}"), &Env::host(&[]))?;
        disk.attach()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join(format!("disk-{}", self.losses.get()))
    }

    fn mount(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    fn attach(&self) -> Result<()> {
        let (sh, image, mount) = (command::shell()?, self.image(), self.mount());
        command::read(cmd!(sh, "mount -o loop {image} {mount}"), &Env::host(&[])).map(drop)
    }

    fn detach(&self) -> Result<()> {
        let (sh, mount) = (command::shell()?, self.mount());
        command::read(cmd!(sh, "umount --lazy {mount}"), &Env::host(&[])).map(drop)
    }

    /// All that was written so far is on the disk.
    fn write_back(&self) -> Result<()> {
        let mount = self.mount();
        let folder = File::open(&mount).at("open", &mount)?;
        rustix::fs::syncfs(folder.as_fd()).map_err(std::io::Error::from).at("sync", &mount)
    }

    /// What had reached the disk is on a new one: namespaces of other processes may still
    /// have the stopped file system mounted, and it would be found again.
    fn lose_power(&self) -> Result<()> {
        stop(&self.mount())?;
        let (sh, old) = (command::shell()?, self.image());
        self.losses.update(|losses| losses + 1);
        let new = self.image();
        command::read(cmd!(sh, "cp --sparse=always {old} {new}"), &Env::host(&[]))?;
        self.detach()?;
        fs::remove_file(&old).at("remove", &old)?;
        self.attach()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _not_mounted = self.detach();
    }
}

/// Stops the file system at `mount`: `EXT4_IOC_SHUTDOWN` (linux/fs/ext4/ext4.h) with
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`.
fn stop(mount: &Path) -> Result<()> {
    const SHUTDOWN: libc::Ioctl = nix::request_code_read!(b'X', 125, size_of::<u32>());
    let folder = File::open(mount).at("open", mount)?;
    let no_log_flush = 2_u32;
    // SAFETY: the call reads the u32 that the pointer leads to.
    let result = unsafe { libc::ioctl(folder.as_raw_fd(), SHUTDOWN, &raw const no_log_flush) };
    match nix::errno::Errno::result(result) {
        Ok(_) => Ok(()),
        Err(cause) => Err(Error::new(Kind::Io, format!("cannot stop an ext4: {cause}"))),
    }
}
