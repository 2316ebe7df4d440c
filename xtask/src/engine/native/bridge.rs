//! A bridge: a network that only runs are on, each at an address of its own.
//!
//! ```text
//! holder: user and network namespace, bridge ── veth ── network namespace of a run: eth0
//!                                            └─ veth ── network namespace of a run: eth0
//! ```
//!
//! The holder is a process that does nothing but be there: it makes the namespaces (a process
//! of many threads cannot) and dies with its caller. A run joins its user namespace, where it
//! is root as in its own, and lays a cable. Nothing of this is in the host's network: when the
//! last process is gone, so is everything.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, FromRawFd as _, RawFd};

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::{Pid, getppid, pause, setgroups, setsid};
use serde::{Deserialize, Serialize};

use super::launch::{NAMESPACES, die_with_parent, enter_user_namespace};
use super::network::{Devices, LOOPBACK, Route};
use super::wire::{During as _, Failure, Report, Step};
use super::{Native, cannot, refusal, sys};
use crate::error::{Error, Kind, Result};

/// The hidden first argument with which our own binary starts as the holder.
pub(super) const HOLD: &str = "hold-a-lockstep-bridge";
/// The bridge's name, and that of a run's own device.
const BRIDGE: &str = "lockstep";
const DEVICE: &str = "eth0";
/// All addresses of a bridge are in one network of this mask.
const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 0, 0);

/// A network that lives as long as this value; [`Native::on`] puts runs on it.
#[derive(Debug)]
pub struct Bridge {
    holder: duct::Handle,
    pid: i32,
}

impl Bridge {
    /// Makes one. It dies with the thread that made it.
    pub fn new(native: &Native) -> Result<Self> {
        let (holder, reports) = native.start(HOLD, &Pid::this().as_raw(), None)?;
        let mut line = String::new();
        let read = BufReader::new(reports).read_line(&mut line);
        read.map_err(|cause| cannot("read the engine's reports", &cause))?;
        let pid = holder.pids().first().map_or(0, |pid| pid.cast_signed());
        let bridge = Bridge { holder, pid };
        match serde_json::from_str(&line) {
            Ok(Report::Bridged) => Ok(bridge),
            Ok(Report::Failed(failure)) => Err(refusal::of_machine(&failure)),
            _ => Err(Error::new(Kind::Machine, "the holder of the bridge was killed")
                .hint("run it again; `dmesg` may know more")),
        }
    }

    pub(super) fn port(&self, address: Ipv4Addr, host: &str) -> Port {
        Port { holder: self.pid, address, host: host.to_owned() }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

/// Where a run is on a bridge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Port {
    /// The holder's process id. Its parent waits for it only when the bridge is taken down, so
    /// the number is its own.
    holder: i32,
    /// Of the run.
    address: Ipv4Addr,
    /// The run's host name.
    pub(super) host: String,
}

impl Port {
    /// Enters the namespaces of a run on the bridge.
    pub(super) fn join(&self) -> Result<(), Failure> {
        let namespace = |name: &str| File::open(format!("/proc/{}/ns/{name}", self.holder));
        let step = || Step::other("enter the bridge's namespaces");
        let (user, network) = (namespace("user").during(step)?, namespace("net").during(step)?);
        let _ = setgroups(&[]); // as of any run
        setns(user, CloneFlags::CLONE_NEWUSER).during(step)?;
        setns(network, CloneFlags::CLONE_NEWNET).during(step)?;
        self.connect()
    }

    fn connect(&self) -> Result<(), Failure> {
        let step = || Step::other(&format!("join the bridge as {}", self.address));
        let outside = Devices::here().during(step)?;
        let route = Route::here().during(step)?;
        unshare(NAMESPACES).during(|| Step::Namespaces)?;
        let own = File::open("/proc/self/ns/net").during(step)?;
        let [.., high, low] = self.address.octets();
        let cable = format!("run-{high}-{low}");
        route.pair(&cable, DEVICE, &own).during(step)?;
        outside.join(BRIDGE, &cable).during(step)?;
        outside.up(&cable).during(step)?;
        let inside = Devices::here().during(step)?;
        inside.address(DEVICE, self.address, MASK).during(step)?;
        inside.up(DEVICE).during(step)
    }
}

/// Holds a bridge until the caller, whose process id is in `request`, is gone.
///
/// # Safety
///
/// Both descriptors are open and nobody else's, and this process has one thread.
pub(super) unsafe fn hold(request: RawFd, status: RawFd) {
    // SAFETY: the caller promises both.
    let (request, status) = unsafe { (File::from_raw_fd(request), File::from_raw_fd(status)) };
    if let Err(failure) = try_hold(request, &status) {
        Report::Failed(failure).send(&status);
    }
}

fn try_hold(request: File, status: &File) -> Result<(), Failure> {
    let caller: i32 =
        serde_json::from_reader(request).map_err(io::Error::from).during(|| Step::Request)?;
    sys::close_inherited(status.as_raw_fd()).during(|| Step::other("close descriptors"))?;
    setsid().during(|| Step::other("start a session"))?; // Ctrl-C is its caller's business
    enter_user_namespace()?;
    unshare(CloneFlags::CLONE_NEWNET).during(|| Step::Namespaces)?;
    die_with_parent()?;
    if getppid() != Pid::from_raw(caller) {
        return Ok(());
    }
    let step = || Step::other("make a bridge");
    let devices = Devices::here().during(step)?;
    devices.bridge(BRIDGE).during(step)?;
    devices.up(BRIDGE).during(step)?;
    devices.up(LOOPBACK).during(step)?;
    Report::Bridged.send(status);
    loop {
        pause();
    }
}
