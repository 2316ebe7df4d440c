//! The one error type: what a person reads when something is wrong.
//!
//! A message names the file and key (or package, or op), what was expected and what was
//! found, in lower case without a final period. Hints say the next command, each on a
//! line of its own.

use std::fmt;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

/// Result with Lockstep's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as far as a script needs to know: each kind is an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A file system call failed, or a bug: exit code 1.
    Io,
    /// The command line or `workspace.toml` is wrong: exit code 2.
    Pins,
    /// The machine lacks something, for example user namespaces: exit code 3.
    Machine,
    /// `workspace.lock` is missing, stale or damaged: exit code 4.
    Lock,
    /// Bytes are not what the lock says: exit code 5.
    Digest,
    /// A mirror or index did not serve what the lock names, or a registry refused: exit code 6.
    Fetch,
    /// Bazel or another tool failed; its log is named: exit code 7.
    Tool,
    /// A built file breaks a rule of the ABI gate, or a cluster file one of `lint`: exit code 8.
    Abi,
    /// What came out differs from the committed ledger: exit code 9.
    Ledger,
    /// An archive or another foreign file is hostile or damaged: exit code 10.
    Archive,
    /// Two builds of one workspace differ from each other: exit code 11.
    Unreproducible,
    /// SIGINT: exit code 130.
    Interrupted,
    /// SIGTERM: exit code 143.
    Terminated,
}

impl Kind {
    /// The documented process exit code of this kind.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Io => 1,
            Kind::Pins => 2,
            Kind::Machine => 3,
            Kind::Lock => 4,
            Kind::Digest => 5,
            Kind::Fetch => 6,
            Kind::Tool => 7,
            Kind::Abi => 8,
            Kind::Ledger => 9,
            Kind::Archive => 10,
            Kind::Unreproducible => 11,
            Kind::Interrupted => 130,
            Kind::Terminated => 143,
        }
    }
}

impl Kind {
    /// The kind that a process of ours means by its exit code; any other code is a bug of its.
    pub fn of_exit_code(code: i32) -> Self {
        use Kind::{
            Abi, Archive, Digest, Fetch, Interrupted, Io, Ledger, Lock, Machine, Pins, Terminated,
            Tool, Unreproducible,
        };
        let all = [
            Pins,
            Machine,
            Lock,
            Digest,
            Fetch,
            Tool,
            Abi,
            Ledger,
            Archive,
            Unreproducible,
            Interrupted,
            Terminated,
        ];
        all.into_iter().find(|kind| i32::from(kind.exit_code()) == code).unwrap_or(Io)
    }
}

/// An error with its hints.
#[derive(Debug)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: Kind,
    message: String,
    hints: Vec<String>,
}

impl Error {
    /// An error of `kind`; `message` is one or more lines, lower case, no final period.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { inner: Box::new(Inner { kind, message: message.into(), hints: Vec::new() }) }
    }

    /// An I/O error on `path`: `cannot {verb} {path}: {cause}`.
    pub fn io(verb: &str, path: &Path, cause: &std::io::Error) -> Self {
        let error = Error::new(Kind::Io, format!("cannot {verb} `{}`: {cause}", path.display()));
        match cause.raw_os_error() {
            Some(libc::EMFILE) => error.hint("raise the limit of open files: `ulimit -n 1024`"),
            _ => error,
        }
    }

    /// Adds the next command, or another hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.inner.hints.push(hint.into());
        self
    }

    /// Puts a line before the message, for the caller's view of the same error.
    #[must_use]
    pub fn context(mut self, line: impl fmt::Display) -> Self {
        self.inner.message = format!("{line}: {}", self.inner.message);
        self
    }

    /// The kind, for callers that act on it.
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// The message without its hints.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The hints, in the order in which they were added.
    pub fn hints(&self) -> &[String] {
        &self.inner.hints
    }
}

/// `error: …` and its `hint: …` lines, as printed and as snapshot.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.inner.message)?;
        for hint in &self.inner.hints {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<&Error> for ExitCode {
    fn from(error: &Error) -> ExitCode {
        ExitCode::from(error.kind().exit_code())
    }
}

/// Whether errors may be coloured: stderr is a terminal, and NO_COLOR does not forbid it.
pub fn color() -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !forbidden && std::io::stderr().is_terminal()
}

/// Shorthand for attaching a path to an [`std::io::Error`].
pub trait IoContext<T> {
    /// `cannot {verb} {path}: {cause}`.
    fn at(self, verb: &str, path: &Path) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, verb: &str, path: &Path) -> Result<T> {
        self.map_err(|cause| Error::io(verb, path, &cause))
    }
}
