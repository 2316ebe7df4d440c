//! What the caller and the launcher tell each other, as JSON: a [`Request`] in a memory
//! file one way, [`Report`]s, a line each, through a pipe the other way.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::bridge::Port;
use crate::engine::{End, Proc, Run};

/// All that the launcher is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// What to do.
    pub(super) run: Run,
    /// The caller's process id: when it is not the parent any more, there is nobody to run for.
    pub(super) caller: i32,
    /// Whether the command works in the caller's terminal.
    pub(super) interactive: bool,
    /// Its place on a bridge; without one it has no network but a loopback.
    pub(super) port: Option<Port>,
}

/// What the launcher and the first process of the run tell the caller.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Report {
    /// The root is made; the command is started next.
    Ready(Proc),
    /// The command was not started.
    Failed(Failure),
    /// The command ended.
    Ended(End),
    /// The bridge is there.
    Bridged,
}

/// A step on the way to the command that the kernel refused.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    /// Which.
    pub(super) step: Step,
    /// Its error number.
    pub(super) errno: i32,
}

/// A step on the way to the command.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Step {
    /// Read the request.
    Request,
    /// A new user namespace.
    UserNamespace,
    /// The other namespaces.
    Namespaces,
    /// Map the caller's ids into the user namespace.
    Identity,
    /// Take a host folder or file along.
    Source(PathBuf),
    /// Make an overlay for this target.
    Overlay(String),
    /// Mount at this place in the root.
    Target(String),
    /// Enter the working directory.
    Cwd,
    /// Start the program.
    Program,
    /// Start a program that is there, but whose interpreter is not.
    Interpreter,
    /// Anything else, in words: `bring the loopback up`.
    Other(String),
}

impl Step {
    /// A step in words.
    pub(super) fn other(words: &str) -> Self {
        Step::Other(words.to_owned())
    }
}

/// Says which step an error belongs to.
pub(super) trait During<T> {
    /// The error as a [`Failure`] of `step`.
    fn during(self, step: impl FnOnce() -> Step) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, step: impl FnOnce() -> Step) -> Result<T, Failure> {
        self.map_err(|error| {
            let errno = error.into().raw_os_error().unwrap_or(libc::EIO);
            Failure { step: step(), errno }
        })
    }
}

impl Report {
    /// Sends it. Where nobody listens any more there is nobody to tell.
    pub(super) fn send(&self, mut pipe: &File) {
        if let Ok(mut line) = serde_json::to_vec(self) {
            line.push(b'\n');
            drop(pipe.write_all(&line));
        }
    }
}
