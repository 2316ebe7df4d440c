//! The engines `docker` and `podman`: containers, made by the client that is installed.
//!
//! Everything is asked of the client in one way for both ([`client`]). A run's file system
//! is a base of little more than folders ([`layout`], [`base`]) with the store's folders
//! bound into it; [`plan`] is the command line, a pure value of the run and of [`host`];
//! [`life`] carries it out, and a [`guard`] removes the container however its caller ends.
//!
//! Beside what [`Run`] says: a signal that ends the command is known by its exit code only
//! (128 + n); under `docker`, which maps no ids, the command has the caller's own; podman
//! adds the variable `HOSTNAME=lockstep`; `/run` is open to all; there is a `/sys`, as the
//! engine makes it. Their seccomp filters stay on: Bazel's own sandbox is then the
//! `processwrapper-sandbox`.

mod base;
mod client;
mod guard;
mod host;
mod layout;
mod life;
mod plan;
mod version;

use std::fmt;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::render::command_line;
use super::{Outcome, Output, Run};
use crate::error::Result;
use crate::progress;
use base::{Base, Place};
use client::ask;
pub use client::environment;
use host::Host;
use layout::Layout;
use life::Container;
use plan::{Plan, Work};

/// Whose containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Product {
    /// Docker Engine, and what speaks its language.
    Docker,
    /// Podman.
    Podman,
}

impl Product {
    fn program(self) -> &'static str {
        match self {
            Product::Docker => "docker",
            Product::Podman => "podman",
        }
    }

    /// Debian's package.
    fn package(self) -> &'static str {
        match self {
            Product::Docker => "docker.io",
            Product::Podman => "podman",
        }
    }

    /// The program's path.
    fn find(self) -> Option<PathBuf> {
        let folders = std::env::var_os("PATH")?;
        let mut places = std::env::split_paths(&folders).map(|place| place.join(self.program()));
        places.find(|place| place.is_file())
    }

    /// See [`super::Engine::run`].
    pub(super) fn run(self, run: &Run, output: Output<'_>) -> Result<Outcome> {
        run.check()?;
        let rootless = self.ready()?;
        let host = Host::here(rootless);
        let layout = Layout::of(run)?;
        let name = host.caller.name(COUNT.fetch_add(1, Ordering::Relaxed));
        let base = Base::of(self, &layout, &name)?;
        let work = match output {
            Output::Log(_) => Work::Logged,
            Output::Inherit if std::io::stdin().is_terminal() => Work::Terminal,
            Output::Inherit => Work::Piped,
        };
        let (product, layout, host) = (self, &layout, &host);
        let plan = Plan { product, run, layout, base: base.place(), host, name: &name, work };
        Container::create(&plan, &base)?.carry_out(output)
    }

    /// See [`super::Engine::render`].
    pub(super) fn render(self, run: &Run) -> Result<String> {
        run.check()?;
        let host = Host::here(self.ready().unwrap_or(self == Product::Podman && !is_root()));
        let layout = Layout::of(run)?;
        let name = host.caller.name(0);
        let base = Base::of(self, &layout, &name)?;
        let (product, layout, host, base) = (self, &layout, &host, base.place());
        let work = Work::Logged;
        let plan = Plan { product, run, layout, base, host, name: &name, work };
        let lines = [plan.create(), plan.start(), plan::remove(self, &[&name])];
        let lines = lines.map(|line| command_line(self.program(), &line));
        let base = match base {
            Place::Image(name) => format!("image {name}"),
            Place::Folder(folder) => format!("folder {}", folder.display()),
        };
        Ok(format!("# {base}: the root without what is mounted\n{}", lines.join("")))
    }

    /// See [`super::available`].
    pub(super) fn available(self) -> Result<()> {
        self.ready().map(drop)
    }

    /// See [`super::forget`].
    pub(super) fn forget(self) -> Result<()> {
        match self {
            Product::Docker => self.ready().and_then(|_| base::forget()),
            Product::Podman => self.ready().map(drop),
        }
    }

    /// Makes sure, once in a process, that the engine answers and is new enough, and removes
    /// what dead callers left; whether it runs without root.
    fn ready(self) -> Result<bool> {
        static DOCKER: OnceLock<bool> = OnceLock::new();
        static PODMAN: OnceLock<bool> = OnceLock::new();
        let known = match self {
            Product::Docker => &DOCKER,
            Product::Podman => &PODMAN,
        };
        if let Some(rootless) = known.get() {
            return Ok(*rootless);
        }
        let rootless = match self {
            Product::Docker => version::docker()?,
            Product::Podman => version::podman()?,
        };
        self.remove_left();
        Ok(*known.get_or_init(|| rootless))
    }

    /// Removes containers that nobody waits for any more.
    fn remove_left(self) {
        base::remove_left();
        let filter = format!("name={}", host::PREFIX);
        let list = ["ps", "--all", "--filter", &filter, "--format", "{{.Names}}"];
        let Ok(answer) = ask(self, &list.map(str::to_owned), None) else { return };
        let left = host::left(answer.text.lines().map(str::trim));
        if !left.is_empty() {
            progress::say(&format!("{self}: removing {} containers left behind", left.len()));
            // Who cannot be removed now may be the next time.
            drop(ask(self, &plan::remove(self, &left), None));
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.program())
    }
}

/// Numbers this process's containers.
static COUNT: AtomicU32 = AtomicU32::new(0);

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
