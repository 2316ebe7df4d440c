//! The first process of a run: makes the root, starts the command, reaps whatever is left
//! behind. When it ends, the kernel kills everything in its process namespace.

use std::fs::File;
use std::os::fd::AsFd as _;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{ForkResult, fork};

use super::command;
use super::launch::{attend, die_with_parent};
use super::mounts::Mounts;
use super::network::{Devices, LOOPBACK};
use super::wire::{During as _, Failure, Report, Request, Step};
use crate::engine::End;

/// Runs the request and ends this process.
pub(super) fn run(request: &Request, status: &File) -> ! {
    match try_run(request, status) {
        Ok(end) => Report::Ended(end).send(status),
        Err(failure) => Report::Failed(failure).send(status),
    }
    std::process::exit(0)
}

fn try_run(request: &Request, status: &File) -> Result<End, Failure> {
    die_with_parent()?;
    if is_unheard(status) {
        std::process::exit(0);
    }
    umask(Mode::from_bits_truncate(0o022));
    let host = request.port.as_ref().map_or("lockstep", |port| &port.host);
    rustix::system::sethostname(host.as_bytes()).during(|| Step::other("set the host name"))?;
    rustix::system::setdomainname(b"(none)").during(|| Step::other("set the domain name"))?;
    let loopback = Devices::here().and_then(|devices| devices.up(LOOPBACK));
    loopback.during(|| Step::other("bring the loopback up"))?;
    let proc = Mounts::take(&request.run)?.enter(&request.run)?;
    Report::Ready(proc).send(status);
    // SAFETY: this process has one thread, so the child may do anything.
    match unsafe { fork() }.during(|| Step::other("start the command"))? {
        ForkResult::Child => {
            Report::Failed(command::exec(request)).send(status);
            std::process::exit(0)
        }
        ForkResult::Parent { child } => Ok(attend(child, request.interactive)),
    }
}

/// Whether the caller is dead: it died, and the launcher with it, before this process had
/// asked the kernel to let it follow.
fn is_unheard(status: &File) -> bool {
    let mut polled = [PollFd::new(status.as_fd(), PollFlags::empty())];
    matches!(poll(&mut polled, PollTimeout::ZERO), Ok(1..))
}
