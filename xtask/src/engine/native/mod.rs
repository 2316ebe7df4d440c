//! The engine `native`: Linux namespaces, embedded; nothing needs to be installed, and an
//! ordinary user may do it.
//!
//! It shuts a build off from the network, the host's files, users, processes and settings,
//! so that its outputs cannot depend on them. Run by root it is no wall against hostile
//! code: the command has no capability, but on the host it is still user 0, to whom the
//! files of `/proc/sys` belong. (Covering them would also forbid the fresh `/proc` that
//! Bazel's own sandbox mounts.) Run by an ordinary user, it can do what that user can.
//!
//! The caller may have many threads, and a process of many threads cannot enter a user
//! namespace, so [`launch`] starts over in a new process of our own binary. From there:
//! [`init`] is the first process of the run, [`mounts`] makes its root, [`command`] gives
//! up the last privilege; [`bridge`] is a network of runs, [`network`] its devices;
//! [`launcher`] is all this as the caller sees it, [`wire`] how they
//! talk, [`refusal`] what a person reads when the kernel says no.

pub mod bridge;
mod command;
mod init;
mod launch;
mod launcher;
mod mounts;
mod network;
mod refusal;
mod sys;
mod wire;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, IsTerminal as _, PipeReader, PipeWriter, Seek as _, Write as _};
use std::iter;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{Pid, getpgrp, tcsetpgrp};

use super::follow::{Ends, Streams};
use super::log::{Log, Writer};
use super::outcome::oom_kills;
use super::{Outcome, Output, Run};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::interrupt;
use bridge::Port;
use launcher::Launcher;
use wire::{Report, Request};

/// The hidden first argument with which our own binary starts as the launcher.
const LAUNCH: &str = "launch-a-lockstep-run";

/// Linux namespaces, embedded.
#[derive(Clone, Debug)]
pub struct Native {
    program: PathBuf,
    port: Option<Port>,
    groups: Vec<PathBuf>,
}

impl Default for Native {
    /// With this very binary as the launcher, even when its file was replaced since.
    fn default() -> Self {
        Native::with("/proc/self/exe")
    }
}

/// Does the launcher's work when this process was started for it; `main` calls it before
/// anything else.
pub fn launched() -> Option<ExitCode> {
    let mut args = std::env::args().skip(1);
    let what = args.next().filter(|what| [LAUNCH, bridge::HOLD].contains(&&**what))?;
    let mut descriptor = || args.next()?.parse::<RawFd>().ok();
    if let (Some(request), Some(status)) = (descriptor(), descriptor()) {
        // SAFETY: `main` has started no thread, and the caller made these descriptors for us.
        match &*what {
            LAUNCH => unsafe { launch::launch(request, status) },
            _ => unsafe { bridge::hold(request, status) },
        }
    }
    Some(ExitCode::SUCCESS)
}

impl Native {
    /// With another binary as the launcher: one whose `main` calls [`launched`].
    pub fn with(program: impl Into<PathBuf>) -> Self {
        Native { program: program.into(), port: None, groups: Vec::new() }
    }

    /// The same, on a bridge: its runs are at `address` and their host name is `host`.
    pub fn on(&self, bridge: &bridge::Bridge, address: Ipv4Addr, host: &str) -> Self {
        Native { port: Some(bridge.port(address, host)), ..self.clone() }
    }

    /// The same, in control groups: these are the files through which a process enters
    /// (cgroups(7)).
    pub fn within(&self, groups: Vec<PathBuf>) -> Self {
        Native { groups, ..self.clone() }
    }

    /// See [`super::Engine::run`].
    pub fn run(&self, run: &Run, output: Output<'_>) -> Result<Outcome> {
        run.check()?;
        let kills = oom_kills();
        let mut launcher = match output {
            Output::Inherit => self.interactive(run)?,
            Output::Log(log) => self.logged(run, log)?,
        };
        verdict(run, &launcher.reports()?, oom_kills() - kills)
    }

    /// See [`super::available`]: makes all of an empty root, in which no program is found.
    pub(super) fn available(&self) -> Result<()> {
        let root = tempfile::tempdir().map_err(|cause| cannot("make an empty root", &cause))?;
        for folder in ["dev", "proc", "tmp", "run"] {
            let path = root.path().join(folder);
            fs::create_dir(&path).at("create", &path)?;
        }
        let run = Run {
            root: root.path().to_owned(),
            mounts: Vec::new(),
            argv: vec!["/no-program".to_owned()],
            env: BTreeMap::new(),
            cwd: "/".to_owned(),
        };
        match self.run(&run, Output::Log(Log::at(&root.path().join("log")))) {
            Err(error) if error.kind() == Kind::Machine => Err(error),
            _ => Ok(()),
        }
    }

    fn interactive(&self, run: &Run) -> Result<Launcher> {
        let _guard = interrupt::leave_to_child();
        let launcher = self.launch(run, None)?;
        launcher.wait()?;
        take_terminal_back();
        Ok(launcher)
    }

    fn logged(&self, run: &Run, log: Log<'_>) -> Result<Launcher> {
        let end = log.limit.map(|limit| Instant::now() + limit);
        let stop = log.stop;
        let mut log = Writer::create(log)?;
        let (output, input) = io::pipe().map_err(|cause| cannot("make a pipe", &cause))?;
        let launcher = self.launch(run, Some(input))?;
        let ends = Ends { end, stop };
        let followed = Streams::new([output]).follow(run, &mut log, ends, &launcher);
        launcher.wait()?;
        followed.map(|()| launcher)
    }

    /// Starts the launcher, with both its streams into `output` or with the caller's.
    fn launch(&self, run: &Run, output: Option<PipeWriter>) -> Result<Launcher> {
        let interactive = output.is_none();
        let (caller, port) = (Pid::this().as_raw(), self.port.clone());
        let request = Request { run: run.clone(), caller, interactive, port };
        let (handle, reports) = self.start(LAUNCH, &request, output)?;
        Ok(Launcher { handle, reports })
    }

    /// Starts our own binary as `what`, with its `request`; with its reports.
    fn start(
        &self,
        what: &str,
        request: &impl serde::Serialize,
        output: Option<PipeWriter>,
    ) -> Result<(duct::Handle, PipeReader)> {
        let request = in_memory(request)?;
        let (reports, status) = io::pipe().map_err(|cause| cannot("make a pipe", &cause))?;
        let passed = [request.as_raw_fd(), status.as_raw_fd()];
        let args = [what.to_owned(), passed[0].to_string(), passed[1].to_string()];
        let groups = self.groups.clone();
        let mut expression = duct::cmd(&self.program, args);
        if let Some(output) = output {
            expression = expression.stdin_null().stderr_to_stdout().stdout_file(output);
        }
        let handle = expression
            .full_env(iter::empty::<(&str, &str)>())
            .before_spawn(move |command| {
                command.arg0("lockstep");
                let open = |group| File::options().write(true).open(group);
                let groups = groups.iter().map(open).collect::<io::Result<Vec<_>>>()?;
                let enter = move || groups.iter().try_for_each(|mut group| group.write_all(b"0"));
                // SAFETY: runs between fork and exec, and makes only system calls.
                unsafe {
                    command.pre_exec(enter);
                    command.pre_exec(move || passed.iter().try_for_each(|&fd| pass(fd)));
                }
                Ok(())
            })
            .unchecked()
            .start()
            .map_err(|cause| Error::io("start the engine's launcher", &self.program, &cause))?;
        Ok((handle, reports))
    }
}

/// The request as a file that only its descriptor names, read from the start.
fn in_memory(request: &impl serde::Serialize) -> Result<File> {
    let fill = || {
        let mut file = File::from(memfd_create(c"request", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&serde_json::to_vec(request)?)?;
        file.rewind()?;
        Ok(file)
    };
    fill().map_err(|cause: io::Error| cannot("write the engine's request", &cause))
}

/// Lets a child have the descriptor.
fn pass(fd: RawFd) -> io::Result<()> {
    // SAFETY: the descriptor is open in the caller until the child is started.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
    Ok(())
}

/// A shell with job control makes itself the terminal's foreground and may leave nobody
/// there.
fn take_terminal_back() {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        let stop = SigSet::from(Signal::SIGTTOU);
        let was = stop.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        let _ = tcsetpgrp(&stdin, getpgrp());
        let _ = was.and_then(|mask| mask.thread_set_mask());
    }
}

/// What came of it, by the reports of a run that is over.
fn verdict(run: &Run, reports: &[Report], oom_kills: u64) -> Result<Outcome> {
    let mut proc = None;
    let mut end = None;
    for report in reports {
        match report {
            Report::Ready(which) => proc = Some(*which),
            Report::Failed(failure) => return Err(refusal::explain(run, failure)),
            Report::Ended(how) => end = Some(*how),
            Report::Bridged => {} // a holder's
        }
    }
    if let (Some(proc), Some(end)) = (proc, end) {
        return Ok(Outcome { end, proc, oom_kills });
    }
    let memory = if oom_kills > 0 { " for want of memory" } else { "" };
    let message = format!("the engine was killed{memory} before `{}` ended", run.argv[0]);
    Err(Error::new(Kind::Machine, message).hint("run it again; `dmesg` may know more"))
}

fn cannot(what: &str, cause: &io::Error) -> Error {
    Error::new(Kind::Io, format!("cannot {what}: {cause}"))
}
