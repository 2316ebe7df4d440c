//! Running commands inside a root: a [`Run`] is plain data, an [`Engine`] carries it out.

pub mod log;
pub mod native;
pub mod outcome;
pub mod render;

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{Error, Kind, Result};

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

/// What runs a command inside a root.
#[derive(Clone, Debug)]
pub enum Engine {
    /// Linux namespaces, embedded.
    Native(Native),
}

impl Engine {
    /// The engine that `--engine NAME` names.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "native" => Ok(Engine::Native(Native::default())),
            "docker" | "podman" => Err(Error::new(
                Kind::Pins,
                format!("engine `{name}` is not there yet: it comes with `cargo xtask check`"),
            )
            .hint("use `--engine native`")),
            other => Err(Error::new(
                Kind::Pins,
                format!("no engine `{other}`: expected `native`, `docker` or `podman`"),
            )),
        }
    }

    /// Carries `run` out and waits for its end; everything it started is dead by then.
    ///
    /// An error means that the command could not be started, its log not be written, or
    /// that it was interrupted or ran out of time; a command that fails is an [`Outcome`].
    pub fn run(&self, run: &Run, output: Output<'_>) -> Result<Outcome> {
        run.check()?;
        match self {
            Engine::Native(native) => native.run(run, output),
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Engine::Native(Native::default())
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
    fn engines_that_are_not_there_are_named() {
        assert!(matches!(Engine::named("native"), Ok(Engine::Native(_))));
        insta::assert_snapshot!(Engine::named("docker").unwrap_err(), @r"
        error: engine `docker` is not there yet: it comes with `cargo xtask check`
        hint: use `--engine native`
        ");
        insta::assert_snapshot!(Engine::named("chroot").unwrap_err(), @"error: no engine `chroot`: expected `native`, `docker` or `podman`");
    }
}
