//! The mounts of a run. Everything that comes from the host is taken along first, as
//! detached mounts (open_tree(2), fsmount(2)); then the root is changed; then they are
//! attached. So no host path is ever looked up inside the root, nor the reverse, and no
//! path needs quoting.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, umount2};
use nix::unistd::{chdir, pivot_root};
use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::sys;
use super::wire::{During as _, Failure, Step};
use crate::engine::{Mount, Proc, Run};

/// The device nodes that a run sees.
const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// The links beside them.
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
];

const NOSUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
const QUIET: MountAttrFlags = NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV);
const FROZEN: MountAttrFlags = QUIET.union(MountAttrFlags::MOUNT_ATTR_RDONLY);

/// Everything that a run takes along from the host.
pub(super) struct Mounts {
    root: OwnedFd,
    nodes: Vec<OwnedFd>,
    proc: OwnedFd,
    which_proc: Proc,
    own: Vec<OwnedFd>,
}

impl Mounts {
    /// Takes along what `run` names. In the new namespaces, with the host's root.
    pub(super) fn take(run: &Run) -> Result<Self, Failure> {
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        nix::mount::mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
            .during(|| Step::other("make the mounts private"))?;
        let node = |name: &&str| clone(&Path::new("/dev").join(name), NOSUID);
        let (proc, which_proc) = proc()?;
        Ok(Mounts {
            root: clone(&run.root, FROZEN)?,
            nodes: NODES.iter().map(node).collect::<Result<_, _>>()?,
            proc,
            which_proc,
            own: run.mounts.iter().map(take).collect::<Result<_, _>>()?,
        })
    }

    /// Makes the root of `run` this process's root and attaches everything in it.
    pub(super) fn enter(self, run: &Run) -> Result<Proc, Failure> {
        attach(self.root, &run.root)?;
        chdir(&run.root).during(|| Step::Source(run.root.clone()))?;
        // The old root lies beneath the new one until the last step: the kernel grants a
        // fresh /proc only to those who see one already.
        pivot_root(".", ".").during(|| Step::other("change the root"))?;
        devices(self.nodes)?;
        attach(self.proc, "/proc".as_ref())?;
        attach(memory("1777")?, "/tmp".as_ref())?;
        attach(memory("0755")?, "/run".as_ref())?;
        for (detached, mount) in self.own.into_iter().zip(&run.mounts) {
            attach(detached, mount.target().as_ref())?;
        }
        umount2(".", MntFlags::MNT_DETACH).during(|| Step::other("leave the old root"))?;
        Ok(self.which_proc)
    }
}

/// A detached mount for one mount of a run.
fn take(mount: &Mount) -> Result<OwnedFd, Failure> {
    match mount {
        Mount::ReadOnly { source, .. } => clone(source, FROZEN),
        Mount::ReadWrite { source, .. } => clone(source, QUIET),
        Mount::Overlay { sources, target } => match &sources[..] {
            [source] => clone(source, FROZEN),
            _ => overlay(sources, target),
        },
    }
}

/// A detached copy of what is mounted at `source`, and below it.
fn clone(source: &Path, attributes: MountAttrFlags) -> Result<OwnedFd, Failure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let step = || Step::Source(source.to_owned());
    let detached = open_tree(CWD, source, flags).during(step)?;
    let attributes = u64::from(attributes.bits());
    sys::set_mount_attributes(detached.as_fd(), attributes, libc::AT_RECURSIVE).during(step)?;
    Ok(detached)
}

/// A new file system of `kind`.
fn mount(
    kind: &str,
    options: &[(&str, &str)],
    attributes: MountAttrFlags,
) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (name, value) in options {
        fsconfig_set_string(&context, *name, *value)?;
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// An empty file system in memory.
fn memory(mode: &str) -> Result<OwnedFd, Failure> {
    mount("tmpfs", &[("mode", mode)], QUIET).during(|| Step::other("make a tmpfs"))
}

/// Several folders as one. They are named by descriptor, as `7:8` in `/proc/self/fd`:
/// without `:`, `,` or `\`, and far below the 256 bytes that fsconfig(2) takes.
fn overlay(sources: &[PathBuf], target: &str) -> Result<OwnedFd, Failure> {
    let open = |source: &PathBuf| File::open(source).during(|| Step::Source(source.clone()));
    let layers = sources.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<_> = layers.iter().map(|layer| layer.as_raw_fd().to_string()).collect();
    let step = || Step::Overlay(target.to_owned());
    chdir("/proc/self/fd").during(step)?;
    mount("overlay", &[("lowerdir", &names.join(":"))], FROZEN).during(step)
}

/// A fresh `/proc`, or the host's where the kernel forbids a fresh one.
fn proc() -> Result<(OwnedFd, Proc), Failure> {
    let quiet = QUIET | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    match mount("proc", &[], quiet) {
        Ok(proc) => Ok((proc, Proc::Fresh)),
        Err(rustix::io::Errno::PERM) => Ok((clone("/proc".as_ref(), quiet)?, Proc::Host)),
        Err(error) => Err(error).during(|| Step::other("make a fresh /proc")),
    }
}

/// Attaches a detached mount at `target`.
fn attach(detached: OwnedFd, target: &Path) -> Result<(), Failure> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
    move_mount(detached, "", CWD, target, flags)
        .during(|| Step::Target(target.to_string_lossy().into_owned()))
}

/// `/dev`: the nodes that every program expects, and nothing of the host's hardware.
fn devices(nodes: Vec<OwnedFd>) -> Result<(), Failure> {
    let dev = memory("0755")?;
    let again = dev.try_clone().during(|| Step::other("make /dev"))?;
    attach(dev, "/dev".as_ref())?;
    furnish().during(|| Step::other("furnish /dev"))?;
    for (name, node) in NODES.iter().zip(nodes) {
        attach(node, &Path::new("/dev").join(name))?;
    }
    attach(memory("1777")?, "/dev/shm".as_ref())?;
    let options = [("ptmxmode", "0666"), ("mode", "0620")];
    let terminals = mount("devpts", &options, NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC);
    attach(terminals.during(|| Step::other("make /dev/pts"))?, "/dev/pts".as_ref())?;
    let frozen = u64::from(FROZEN.bits());
    sys::set_mount_attributes(again.as_fd(), frozen, 0).during(|| Step::other("freeze /dev"))
}

/// The files, folders and links of `/dev` that mounts go on or that point elsewhere.
fn furnish() -> io::Result<()> {
    for name in NODES {
        File::create(Path::new("/dev").join(name))?;
    }
    fs::create_dir("/dev/shm")?;
    fs::create_dir("/dev/pts")?;
    LINKS.iter().try_for_each(|(to, at)| symlink(to, at))
}
