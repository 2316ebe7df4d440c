//! The system calls that no crate here wraps. All but these are safe calls.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Sets mount attributes (`MOUNT_ATTR_*`) on the mount `fd`, and with [`libc::AT_RECURSIVE`]
/// on all below it (mount_setattr(2), Linux 5.12).
pub(super) fn set_mount_attributes(
    fd: BorrowedFd<'_>,
    set: u64,
    recursive: libc::c_int,
) -> io::Result<()> {
    let attr = MountAttr { set, clear: 0, propagation: 0, userns: 0 };
    let flags = libc::AT_EMPTY_PATH | recursive;
    // SAFETY: the path is a C string, and the kernel reads size_of::<MountAttr>() bytes of
    // `attr`, which lives until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    check(result)
}

/// Marks every descriptor from 3 on to be closed by exec (close_range(2), Linux 5.11).
pub(super) fn close_on_exec() -> io::Result<()> {
    // SAFETY: sets a flag on descriptors; none is closed, so no owner is betrayed.
    check(unsafe {
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC)
    })
}

/// Closes every descriptor from 3 on but `kept`, which nothing here owns.
pub(super) fn close_inherited(kept: RawFd) -> io::Result<()> {
    let close = |first: u32, last: u32| {
        if first > last {
            return Ok(());
        }
        // SAFETY: called first thing in the launcher, which has opened nothing yet but what
        // it dropped again: nobody owns these descriptors.
        check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0u32) })
    };
    let kept = u32::try_from(kept).map_err(io::Error::other)?;
    close(3, kept.saturating_sub(1))?;
    close(kept + 1, u32::MAX)
}

/// `struct sigaction` as the kernel has it; all zeroes is the default action.
#[repr(C)]
#[derive(Default)]
struct KernelSigaction {
    handler: usize,
    flags: libc::c_ulong,
    restorer: usize,
    mask: u64,
}

/// Sets every signal to its default action: what the caller ignores, exec would pass on.
/// Past the C library, which keeps 32 and 33 to itself and leaves them ignored.
pub(super) fn default_signals() {
    let default = KernelSigaction::default();
    for signal in 1..=64 {
        // SAFETY: the kernel reads one `sigaction` with a mask of 8 bytes, and installs no
        // handler; the signals that cannot be set stay as they are.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                &raw const default,
                std::ptr::null::<KernelSigaction>(),
                size_of::<u64>(),
            )
        };
    }
}

/// Sets the execution domain back to plain Linux: an inherited one would change what
/// `uname` says and where memory lies (personality(2)).
pub(super) fn plain_personality() -> io::Result<()> {
    // SAFETY: takes a number, touches no memory of ours.
    check(unsafe { libc::personality(0) }.into())
}

/// Leaves the caller's session keyring behind, with the keys in it (keyctl(2)).
pub(super) fn new_session_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory is read.
    check(unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<u8>())
    })
}

pub(super) fn check(result: libc::c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
