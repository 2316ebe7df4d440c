//! Running commands inside a root: a [`Run`] is plain data, an [`Engine`] carries it out.

mod container;
mod follow;
pub mod log;
pub mod native;
pub mod outcome;
pub mod render;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{Error, Kind, Result};

use container::Product;
pub use container::environment as client;
pub use log::Log;
pub use native::Native;
pub use outcome::{End, Outcome, Proc};

/// Everything about one run in a root; nothing is inherited from the host.
///
/// Fixed by the engine, whatever the host has: user and group id 1000 (no capabilities),
/// host name `lockstep`, no network but an own loopback, umask 022, an own `/proc`, `/dev`,
/// tmpfs `/tmp` and `/run`, closed file descriptors, default signal handlers.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Run {
    /// The root file system, mounted read-only at `/`.
    pub root: PathBuf,
    /// Mounts on top of it, in order; each target exists in the root or in an earlier mount.
    pub mounts: Vec<Mount>,
    /// Program (absolute inside the root) and its arguments.
    pub argv: Vec<String>,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Working directory inside the root.
    pub cwd: String,
}

/// A mount of a [`Run`].
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mount {
    /// A host folder or file, read-only.
    ReadOnly {
        /// On the host.
        source: PathBuf,
        /// Inside the root.
        target: String,
    },
    /// A host folder that the run may write.
    ReadWrite {
        /// On the host.
        source: PathBuf,
        /// Inside the root.
        target: String,
    },
    /// Several host folders seen as one, read-only; earlier ones win.
    Overlay {
        /// On the host, top first.
        sources: Vec<PathBuf>,
        /// Inside the root.
        target: String,
    },
}

impl Run {
    /// Refuses what no engine could carry out.
    fn check(&self) -> Result<()> {
        let absolute = |what: &str, path: &str| match path.starts_with('/') {
            true => Ok(()),
            false => Err(bad(format!("{what} `{path}` is not an absolute path"))),
        };
        let program = self.argv.first().ok_or_else(|| bad("a run without a program"))?;
        absolute("program", program)?;
        absolute("working directory", &self.cwd)?;
        for mount in &self.mounts {
            absolute("mount target", mount.target())?;
            if mount.sources().is_empty() {
                return Err(bad(format!("the overlay for `{}` has no folder", mount.target())));
            }
        }
        if let Some(name) = self.env.keys().find(|name| name.is_empty() || name.contains('=')) {
            return Err(bad(format!("`{name}` is no name for an environment variable")));
        }
        let paths = self.mounts.iter().flat_map(Mount::sources).chain([&self.root]);
        for path in paths {
            let text = path.to_str();
            text.ok_or_else(|| bad(format!("path `{}` is not UTF-8", path.display())))?;
        }
        Ok(())
    }
}

fn bad(message: impl Into<String>) -> Error {
    Error::new(Kind::Io, message)
}

impl Mount {
    /// The host's side of it.
    pub fn sources(&self) -> &[PathBuf] {
        match self {
            Mount::ReadOnly { source, .. } | Mount::ReadWrite { source, .. } => {
                std::slice::from_ref(source)
            }
            Mount::Overlay { sources, .. } => sources,
        }
    }

    /// Where it is seen inside the root.
    pub fn target(&self) -> &str {
        match self {
            Mount::ReadOnly { target, .. }
            | Mount::ReadWrite { target, .. }
            | Mount::Overlay { target, .. } => target,
        }
    }
}

/// Where a run's streams go.
#[derive(Debug)]
pub enum Output<'a> {
    /// The caller's own terminal, for a person to work in. SIGINT is the command's alone.
    Inherit,
    /// Both streams, merged in the order they were written, into a log; standard input is
    /// empty, and the command has no terminal.
    Log(Log<'a>),
}

/// What runs a command inside a root, by the name that `--engine` takes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, serde::Serialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// Linux namespaces, embedded: nothing needs to be installed
    #[default]
    Native,
    /// A Docker Engine on this machine
    Docker,
    /// Podman on this machine
    Podman,
}

/// The environment variable that chooses the engine where the command line does not.
pub const VARIABLE: &str = "LOCKSTEP_ENGINE";

impl Engine {
    /// All engines, in the order of preference.
    pub const ALL: [Engine; 3] = [Engine::Native, Engine::Docker, Engine::Podman];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Native => "native",
            Engine::Docker => "docker",
            Engine::Podman => "podman",
        }
    }

    /// Carries `run` out and waits for its end; everything it started is dead by then.
    ///
    /// An error means that the command could not be started, its log not be written, or
    /// that it was interrupted or ran out of time; a command that fails is an [`Outcome`].
    pub fn run(self, run: &Run, output: Output<'_>) -> Result<Outcome> {
        match self {
            Engine::Native => Native::default().run(run, output),
            Engine::Docker => Product::Docker.run(run, output),
            Engine::Podman => Product::Podman.run(run, output),
        }
    }

    /// What [`Engine::run`] would do, as text for `--dry-run`.
    pub fn render(self, run: &Run) -> Result<String> {
        match self {
            Engine::Native => Ok(run.render()),
            Engine::Docker => Product::Docker.render(run),
            Engine::Podman => Product::Podman.render(run),
        }
    }
}

impl std::fmt::Display for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether `engine` can run anything on this machine now: nothing is left behind. The
/// error's message, one line, is the reason for a `skipped: …`; its kind is
/// [`Kind::Machine`], and its hints say what would help.
pub fn available(engine: Engine) -> Result<()> {
    match engine {
        Engine::Native => Native::default().available(),
        Engine::Docker => Product::Docker.available(),
        Engine::Podman => Product::Podman.available(),
    }
}

/// Removes what `engine` keeps between runs: the images of roots, which are made again when
/// they are needed.
pub fn forget(engine: Engine) -> Result<()> {
    match engine {
        Engine::Native => Ok(()),
        Engine::Docker => Product::Docker.forget(),
        Engine::Podman => Product::Podman.forget(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        Run {
            root: "/root".into(),
            mounts: Vec::new(),
            argv: vec!["/bin/true".into()],
            env: BTreeMap::new(),
            cwd: "/".into(),
        }
    }

    #[test]
    fn an_impossible_run_is_refused_by_name() {
        use std::os::unix::ffi::OsStringExt as _;
        let target = |target: &str| Mount::Overlay { sources: vec![], target: target.into() };
        let latin1 = PathBuf::from(std::ffi::OsString::from_vec(b"/caf\xe9".to_vec()));
        run().check().unwrap();
        for (run, message) in [
            (Run { argv: vec![], ..run() }, "a run without a program"),
            (Run { argv: vec!["ls".into()], ..run() }, "program `ls` is not an absolute path"),
            (
                Run { cwd: "work".into(), ..run() },
                "working directory `work` is not an absolute path",
            ),
            (
                Run { mounts: vec![target("opt")], ..run() },
                "mount target `opt` is not an absolute path",
            ),
            (Run { mounts: vec![target("/opt")], ..run() }, "the overlay for `/opt` has no folder"),
            (
                Run { env: [("A=B".into(), String::new())].into(), ..run() },
                "`A=B` is no name for an environment variable",
            ),
            (Run { root: latin1, ..run() }, "path `/caf\u{fffd}` is not UTF-8"),
        ] {
            assert_eq!(run.check().unwrap_err().message(), message);
        }
    }

    #[test]
    fn an_engine_has_the_name_that_the_command_line_takes() {
        for engine in Engine::ALL {
            assert_eq!(<Engine as clap::ValueEnum>::from_str(engine.name(), false), Ok(engine));
        }
        assert!(<Engine as clap::ValueEnum>::from_str("chroot", false).is_err());
    }
}
