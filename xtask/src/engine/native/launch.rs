//! The launcher: our own binary again, started with a hidden first argument so that it is a
//! process of one thread. It enters new namespaces, starts their first process, and passes
//! signals on to it.
//!
//! ```text
//! caller ── launcher ── first process (pid 1) ── command (pid 2)
//! ```
//!
//! Each dies with the one before it, and all of the run dies with its first process.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, RawFd};

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{ForkResult, Pid, fork, getegid, geteuid, getppid, setgroups, setsid};
use rustix::process::WaitOptions;

use super::wire::{During as _, Failure, Report, Request, Step};
use super::{init, sys};
use crate::engine::End;

/// The namespaces of a run, besides the user's.
pub(super) const NAMESPACES: CloneFlags = CloneFlags::CLONE_NEWPID
    .union(CloneFlags::CLONE_NEWNET)
    .union(CloneFlags::CLONE_NEWNS)
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWCGROUP);

/// Runs the request in `request`, reports to `status`, returns at the end of it all.
///
/// # Safety
///
/// Both descriptors are open and nobody else's, and this process has one thread.
pub(super) unsafe fn launch(request: RawFd, status: RawFd) {
    // SAFETY: the caller promises both.
    let (request, status) = unsafe { (File::from_raw_fd(request), File::from_raw_fd(status)) };
    // SAFETY: the caller promises that there is one thread.
    if let Err(failure) = unsafe { try_launch(request, &status) } {
        Report::Failed(failure).send(&status);
    }
}

/// # Safety
///
/// This process has one thread.
unsafe fn try_launch(request: File, status: &File) -> Result<(), Failure> {
    let request = read(request).during(|| Step::Request)?;
    sys::close_inherited(status.as_raw_fd()).during(|| Step::other("close descriptors"))?;
    if !request.interactive {
        setsid().during(|| Step::other("start a session"))?;
    }
    awaited().thread_block().during(|| Step::other("block signals"))?;
    match &request.port {
        Some(port) => port.join()?,
        None => enter_namespaces()?,
    }
    die_with_parent()?;
    if getppid() != Pid::from_raw(request.caller) {
        return Ok(());
    }
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.during(|| Step::other("start the first process"))? {
        ForkResult::Child => init::run(&request, status),
        ForkResult::Parent { child } => drop(attend(child, request.interactive)),
    }
    Ok(())
}

fn read(mut file: File) -> io::Result<Request> {
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Asks the kernel to kill this process when its parent dies.
pub(super) fn die_with_parent() -> Result<(), Failure> {
    set_pdeathsig(Signal::SIGKILL).during(|| Step::other("die with the parent"))
}

/// Enters new namespaces, as root of the user namespace.
fn enter_namespaces() -> Result<(), Failure> {
    enter_user_namespace()?;
    unshare(NAMESPACES).during(|| Step::Namespaces)
}

/// Becomes root of a new user namespace, in which the caller is the only user.
pub(super) fn enter_user_namespace() -> Result<(), Failure> {
    let (user, group) = (geteuid(), getegid());
    // Only root can leave its supplementary groups; for others they are shown as `nogroup`.
    let _ = setgroups(&[]);
    unshare(CloneFlags::CLONE_NEWUSER).during(|| Step::UserNamespace)?;
    map_ids(0, user.as_raw(), group.as_raw()).during(|| Step::Identity)
}

/// Makes `inside` the only user and group of this user namespace (user_namespaces(7)).
pub(super) fn map_ids(inside: u32, user: u32, group: u32) -> io::Result<()> {
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{inside} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{inside} {group} 1"))
}

/// The signals that a waiting process of ours takes one by one.
pub(super) fn awaited() -> SigSet {
    use Signal::{SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    [SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM].into_iter().collect()
}

/// Waits for the end of `child`, reaping others, and passes signals on to it. What a
/// terminal sends, it sends to the whole foreground: an interactive command has it already.
pub(super) fn attend(child: Pid, interactive: bool) -> End {
    loop {
        match awaited().wait() {
            Ok(Signal::SIGCHLD) => {
                if let Some(end) = reap(child) {
                    return end;
                }
            }
            Ok(Signal::SIGINT | Signal::SIGQUIT) if interactive => {}
            Ok(signal) => drop(kill(child, signal)),
            Err(_) => {}
        }
    }
}

/// Reaps every process that ended; the end of `child`, if it is among them.
fn reap(child: Pid) -> Option<End> {
    let mut end = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid.as_raw_pid() == child.as_raw() {
            let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
            let signaled = status.terminating_signal().map(|n| End::Signaled(byte(n)));
            end = signaled.or_else(|| status.exit_status().map(|n| End::Exited(byte(n))));
        }
    }
    end
}
