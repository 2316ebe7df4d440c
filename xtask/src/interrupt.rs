//! SIGINT and SIGTERM as a flag that long work looks at.
//!
//! The signals are blocked in every thread and taken by one that waits for them, so no
//! handler runs inside other code. Work that looks at [`check`] ends in order; work that
//! does not is cut off after [`GRACE`], and a second signal cuts off at once. Both are safe
//! wherever they hit. Children start with nothing blocked: the
//! standard library resets their mask.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};

use crate::error::{Error, Kind, Result};

/// How long work may take to notice.
const GRACE: Duration = Duration::from_millis(1500);

/// The signal that came, 0 for none.
static CAME: AtomicI32 = AtomicI32::new(0);

/// Whether SIGINT is somebody else's ([`leave_to_child`]).
static LEFT: AtomicBool = AtomicBool::new(false);

/// Starts listening. Call it in `main` before any other thread is started.
pub fn install() {
    let mut awaited = SigSet::empty();
    awaited.add(Signal::SIGINT);
    awaited.add(Signal::SIGTERM);
    let mut blocked = awaited;
    blocked.add(Signal::SIGXFSZ); // a file-size limit is then EFBIG, an error with a path
    if blocked.thread_block().is_err() {
        return; // the default action ends the process: rude, but right
    }
    std::thread::spawn(move || {
        while let Ok(signal) = awaited.wait() {
            if signal == Signal::SIGINT && LEFT.load(Ordering::Relaxed) {
                continue;
            }
            if CAME.swap(signal as i32, Ordering::Relaxed) != 0 {
                std::process::exit(128 + signal as i32);
            }
            std::thread::spawn(move || {
                std::thread::sleep(GRACE);
                std::process::exit(128 + signal as i32);
            });
        }
    });
}

/// While the guard lives, SIGINT is the business of the child that works in our terminal
/// and gets it too, as with a shell that waits for a command.
#[must_use]
pub fn leave_to_child() -> impl Drop {
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            LEFT.store(false, Ordering::Relaxed);
        }
    }
    LEFT.store(true, Ordering::Relaxed);
    Guard
}

/// Whether a signal came.
pub fn came() -> bool {
    CAME.load(Ordering::Relaxed) != 0
}

/// An error once a signal came, for use with `?` in loops.
pub fn check() -> Result<()> {
    match CAME.load(Ordering::Relaxed) {
        0 => Ok(()),
        signal if signal == Signal::SIGTERM as i32 => {
            Err(Error::new(Kind::Terminated, "terminated"))
        }
        _ => Err(Error::new(Kind::Interrupted, "interrupted")),
    }
}
