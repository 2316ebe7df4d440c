//! The last steps before the command: it becomes user 1000 with no capability left, with
//! nothing of the host's about it.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_no_new_privs;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;
use nix::unistd::{chdir, execve, setsid};

use super::launch::map_ids;
use super::sys;
use super::wire::{During as _, Failure, Request, Step};
use crate::engine::Run;

/// User and group id of every command.
const USER: u32 = 1000;
/// Open files: enough for a linker; closing them all one by one stays cheap.
const FILES: u64 = 65_536;
/// The usual stack: how deep a compiler can recurse is not the host's choice.
const STACK: u64 = 8 << 20;

/// Becomes the command; returns only when it cannot.
pub(super) fn exec(request: &Request) -> Failure {
    let Err(failure) = try_exec(request);
    failure
}

fn try_exec(request: &Request) -> Result<Infallible, Failure> {
    if !request.interactive {
        setsid().during(|| Step::other("start a session"))?;
    }
    drop_privileges().during(|| Step::other("drop privileges"))?;
    default_state().during(|| Step::other("set limits and signals to defaults"))?;
    chdir(request.run.cwd.as_str()).during(|| Step::Cwd)?;
    let (argv, env) = words(&request.run).during(|| Step::Program)?;
    sys::close_on_exec().during(|| Step::other("close descriptors"))?;
    let Err(error) = execve(&argv[0], &argv, &env);
    let missing = error == Errno::ENOENT && Path::new(&request.run.argv[0]).exists();
    Err(error).during(|| if missing { Step::Interpreter } else { Step::Program })
}

/// Enters a second user namespace, in which we are an ordinary user: the mounts belong to
/// the first, so nothing that the command does can change them.
fn drop_privileges() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWUSER)?;
    map_ids(USER, 0, 0)?;
    set_no_new_privs()?;
    // Not every kernel has keyrings, and quotas may forbid another: then the old one is
    // at least of a user namespace that the command is not in.
    drop(sys::new_session_keyring());
    Ok(())
}

/// Everything else that exec would pass on.
fn default_state() -> io::Result<()> {
    sys::plain_personality()?;
    sys::default_signals();
    SigSet::empty().thread_set_mask()?;
    // The first to go when memory is short is the build, not its caller.
    drop(fs::write("/proc/self/oom_score_adj", "500"));
    limits()
}

/// Soft limits as high as the hard ones, but for those that programs' behaviour depends on.
fn limits() -> io::Result<()> {
    use Resource::{
        RLIMIT_AS, RLIMIT_CORE, RLIMIT_CPU, RLIMIT_DATA, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_NPROC,
        RLIMIT_STACK,
    };
    for resource in [RLIMIT_AS, RLIMIT_CPU, RLIMIT_DATA, RLIMIT_FSIZE, RLIMIT_NPROC] {
        let (_, hard) = getrlimit(resource)?;
        setrlimit(resource, hard, hard)?;
    }
    for (resource, wanted) in [(RLIMIT_CORE, 0), (RLIMIT_NOFILE, FILES), (RLIMIT_STACK, STACK)] {
        let (_, hard) = getrlimit(resource)?;
        let limit = wanted.min(hard);
        let hard = if resource == RLIMIT_STACK { hard } else { limit };
        setrlimit(resource, limit, hard)?;
    }
    Ok(())
}

/// Arguments and environment as exec takes them.
fn words(run: &Run) -> io::Result<(Vec<CString>, Vec<CString>)> {
    let argv = run.argv.iter().map(|word| CString::new(word.as_str()));
    let env = run.env.iter().map(|(name, value)| CString::new(format!("{name}={value}")));
    Ok((argv.collect::<Result<_, _>>()?, env.collect::<Result<_, _>>()?))
}
