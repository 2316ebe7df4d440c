//! Who removes a container when its caller is gone, however it went.
//!
//! A container is the engine's child, not ours: it outlives a caller that is killed. So each
//! has a guard, a shell that does nothing until the pipe from us is closed, by our hand or
//! by our death, and then removes the container. What is killed together with its guard is
//! removed at the next start ([`super::host::left`]).

use std::io::PipeWriter;
use std::os::unix::process::CommandExt as _;
use std::sync::Mutex;

use super::Product;
use super::base::Place;
use super::client::{environment, not_started};
use super::plan;
use crate::error::{Error, Kind, Result};

/// Signals that end us are not for it. `$0` is a folder that goes too, or nothing.
const SCRIPT: &str = "trap '' HUP INT QUIT TERM; read -r _; \"$@\" >/dev/null 2>&1; code=$?; \
                      rm -rf -- \"$0\"; exit $code";

/// A guard at its post; dropped, it removes the container and is done.
pub(super) struct Guard {
    lifeline: Mutex<Option<PipeWriter>>,
    handle: duct::Handle,
}

impl Guard {
    /// Posts a guard for the container `name` at `place`; neither need be there yet.
    pub(super) fn post(product: Product, name: &str, place: &Place) -> Result<Guard> {
        let cannot = |cause: &std::io::Error| {
            Error::new(
                Kind::Machine,
                format!("cannot start `sh`, which guards a container: {cause}"),
            )
        };
        let (lifeline, ours) = std::io::pipe().map_err(|cause| cannot(&cause))?;
        let program = product.find().ok_or_else(|| {
            not_started(product, &std::io::Error::from(std::io::ErrorKind::NotFound))
        })?;
        let folder = match place {
            Place::Folder(folder) => folder.into(),
            Place::Image(_) => std::ffi::OsString::new(),
        };
        let mut args = vec!["-c".into(), SCRIPT.into(), folder, program.into()];
        args.extend(plan::remove(product, &[name]).into_iter().map(Into::into));
        let args: Vec<std::ffi::OsString> = args;
        let handle = duct::cmd("/bin/sh", args)
            .full_env(environment().pairs())
            .stdin_file(lifeline)
            .stdout_null()
            .stderr_null()
            .dir("/")
            .before_spawn(|command| {
                command.process_group(0);
                Ok(())
            })
            .unchecked()
            .start()
            .map_err(|cause| cannot(&cause))?;
        Ok(Guard { lifeline: Mutex::new(Some(ours)), handle })
    }

    /// Has the container removed now, and waits until it is; whether it was.
    pub(super) fn remove(&self) -> bool {
        if let Ok(mut lifeline) = self.lifeline.lock() {
            drop(lifeline.take());
        }
        self.handle.wait().is_ok_and(|output| output.status.success())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.remove();
    }
}
