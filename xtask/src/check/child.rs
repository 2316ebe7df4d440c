//! The process of one build: this very program, as a person starts it, under conditions that
//! are set between fork and exec.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use nix::pty::{Winsize, openpty};
use nix::sched::{CloneFlags, CpuSet, sched_setaffinity, unshare};
use nix::sys::personality::{self, Persona};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, getegid, geteuid, sethostname};

use crate::error::{Error, IoContext as _, Kind, Result};

/// A process to start. All that it gets from this one is here.
pub struct Child {
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where it starts.
    pub cwd: PathBuf,
    /// Both its streams.
    pub log: PathBuf,
    /// The rest.
    pub state: State,
}

/// What a process has besides words.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Its mask.
    pub umask: u32,
    /// Another host name.
    pub host: Option<String>,
    /// Another user and group id.
    pub user: Option<u32>,
    /// Whether namespaces of its own may be had for both.
    pub namespaces: bool,
    /// The one processor that it may use.
    pub cpu: Option<usize>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Whether it and all that it starts are at the same addresses each time.
    pub fixed: bool,
}

/// A started process. Killed when dropped before its end.
pub struct Started {
    handle: duct::Handle,
    copying: Option<std::thread::JoinHandle<io::Result<()>>>,
}

impl Child {
    /// Starts it.
    pub fn start(&self) -> Result<Started> {
        let log = File::create(&self.log).at("create", &self.log)?;
        let cannot = |cause: io::Error| Error::io("start", Path::new(&self.argv[0]), &cause);
        let (output, copying) = match self.state.terminal {
            false => (OwnedFd::from(log), None),
            true => {
                let size = Winsize { ws_row: 11, ws_col: 37, ws_xpixel: 0, ws_ypixel: 0 };
                let pty = openpty(&size, None).map_err(|cause| cannot(cause.into()))?;
                let copying = std::thread::spawn(move || copy(&mut File::from(pty.master), log));
                (pty.slave, Some(copying))
            }
        };
        let prepared = Prepared::of(&self.state);
        let handle = duct::cmd(&self.argv[0], &self.argv[1..])
            .full_env(self.env.iter().cloned())
            .dir(&self.cwd)
            .stdin_null()
            .stderr_to_stdout()
            .stdout_file(output)
            .before_spawn(move |command| {
                let prepared = prepared.clone();
                // SAFETY: runs between fork and exec, and makes only system calls on values
                // that were made before.
                unsafe { command.pre_exec(move || prepared.enter()) };
                Ok(())
            })
            .unchecked()
            .start()
            .map_err(cannot)?;
        Ok(Started { handle, copying })
    }
}

impl Started {
    /// Its exit code, once it has ended; 128 + n for signal n.
    pub fn ended(&mut self) -> Result<Option<i32>> {
        use std::os::unix::process::ExitStatusExt as _;
        let lost = |cause: io::Error| Error::new(Kind::Io, format!("lost a build: {cause}"));
        let Some(output) = self.handle.try_wait().map_err(lost)? else { return Ok(None) };
        let status = output.status;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        if let Some(copying) = self.copying.take() {
            let _the_log_is_for_people = copying.join();
        }
        Ok(Some(code))
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.handle.kill());
        drop(self.handle.wait());
    }
}

/// Copies what a terminal shows, until nobody writes to it any more (then reading is EIO).
fn copy(terminal: &mut File, mut log: File) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    while let Ok(length @ 1..) = terminal.read(&mut buffer) {
        log.write_all(&buffer[..length])?;
    }
    Ok(())
}

/// A [`State`] as system calls take it.
#[derive(Clone)]
struct Prepared {
    umask: Mode,
    host: Option<String>,
    maps: Option<[String; 2]>,
    uts: bool,
    cpu: Option<CpuSet>,
    fixed: bool,
}

impl Prepared {
    fn of(state: &State) -> Self {
        let (user, group) = (geteuid().as_raw(), getegid().as_raw());
        let namespaces = state.namespaces && (state.host.is_some() || state.user.is_some());
        let map = |inside: Option<u32>, id: u32| format!("{} {id} 1", inside.unwrap_or(id));
        let mut cpus = CpuSet::new();
        let cpu = state.cpu.filter(|cpu| cpus.set(*cpu).is_ok()).map(|_| cpus);
        Prepared {
            umask: Mode::from_bits_truncate(state.umask),
            host: state.host.clone(),
            maps: namespaces.then(|| [map(state.user, user), map(state.user, group)]),
            uts: state.host.is_some() && (namespaces || user == 0),
            cpu,
            fixed: state.fixed,
        }
    }

    fn enter(&self) -> io::Result<()> {
        set_pdeathsig(Signal::SIGKILL)?;
        if self.fixed {
            personality::set(personality::get()? | Persona::ADDR_NO_RANDOMIZE)?;
        }
        if let Some(cpus) = &self.cpu {
            sched_setaffinity(Pid::from_raw(0), cpus)?;
        }
        if let Some([users, groups]) = &self.maps {
            unshare(CloneFlags::CLONE_NEWUSER)?;
            fs::write("/proc/self/setgroups", "deny")?;
            fs::write("/proc/self/uid_map", users)?;
            fs::write("/proc/self/gid_map", groups)?;
        }
        if let Some(host) = self.host.as_ref().filter(|_| self.uts) {
            unshare(CloneFlags::CLONE_NEWUTS)?;
            sethostname(host)?;
        }
        umask(self.umask);
        Ok(())
    }
}

/// The processors that this process may use.
pub fn cpus() -> Vec<usize> {
    let allowed = nix::sched::sched_getaffinity(Pid::from_raw(0));
    let allowed = allowed.unwrap_or_default();
    (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).collect()
}
