//! What this machine has. In CI, what a test needs and is not there is installed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use xtask::command::{self, Env, cmd};

/// apt serves one at a time, and tests run as threads. Whether its lists are of today.
static APT: Mutex<bool> = Mutex::new(false);

/// Another apt may be at work, and a mirror may fail once. This machine is thrown away: no fsync
/// a file, and no manual pages, whose index would be made anew each time (dpkg(1)).
const OPTIONS: [&str; 4] = [
    "-oDPkg::Lock::Timeout=300",
    "-oAcquire::Retries=3",
    "-oDPkg::Options::=--force-unsafe-io",
    "-oDPkg::Options::=--path-exclude=/usr/share/man/*",
];

/// Programs, each with the package that has it. `false` when the test is to be skipped: it
/// said why. In CI all are there afterwards.
pub fn has(programs: &[(&str, &str)]) -> bool {
    let mut updated = APT.lock().unwrap_or_else(PoisonError::into_inner);
    let missing: Vec<&str> =
        programs.iter().filter(|(p, _)| !there(p)).map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return true;
    }
    if std::env::var_os("CI").is_none() {
        return skip(&format!("{missing:?} are not installed; with CI=true they would be"));
    }
    if !nix::unistd::geteuid().is_root() {
        return skip(&format!("{missing:?} are not installed, and only root can install them"));
    }
    let (sh, env) = (command::shell().unwrap(), Env::host(command::NETWORK));
    let env = env.with("DEBIAN_FRONTEND", "noninteractive");
    let run = |step| command::read(step, &env).unwrap_or_else(|error| panic!("{error}"));
    if !*updated {
        run(cmd!(sh, "apt-get update -qq {OPTIONS...}"));
        *updated = true;
    }
    run(cmd!(sh, "apt-get install -qq -y --no-install-recommends {OPTIONS...} {missing...}"));
    for (program, package) in programs {
        assert!(there(program), "the package {package} has no `{program}`");
    }
    true
}

/// Says why a test does not run.
pub fn skip(why: &str) -> bool {
    println!("skipped: {why}");
    false
}

/// Whether `PATH`, or where servers are, has `program`.
pub fn there(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&folders).collect();
    folders.extend(["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).to_owned()));
    folders.iter().any(|folder| folder.join(program).is_file())
}

/// A server of this machine, ended with the test.
pub struct Server(duct::Handle);

impl Server {
    /// Starts it; what it prints goes to the file `log`.
    pub fn start(program: duct::Expression, log: &Path) -> Self {
        Server(program.stderr_to_stdout().stdout_path(log).unchecked().start().unwrap())
    }

    /// Whether it ended by itself.
    pub fn ended(&self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = self.0.pids().first().and_then(|pid| i32::try_from(*pid).ok());
        if let Some(pid) = pid {
            let _ended = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM: dockerd ends its containerd and its mounts with itself.
        self.signal(nix::sys::signal::Signal::SIGTERM);
        let _ended = self.0.wait();
    }
}

/// Waits until `ready` answers: longer than a busy machine needs, since only what is broken
/// takes all of it.
pub fn wait(what: &str, ready: impl FnMut() -> bool) {
    wait_at_most(300, what, ready);
}

/// The same for what takes longer.
pub fn wait_at_most(seconds: u64, what: &str, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    let limit = Duration::from_secs(seconds);
    while !ready() {
        assert!(start.elapsed() < limit, "{what} is not ready after {seconds} s");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Serves `bytes` under any path until the process ends; returns the address.
pub fn serve(bytes: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = BufReader::new(stream.try_clone().unwrap());
            request.lines().find(|line| line.as_ref().map_or(true, String::is_empty));
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                bytes.len()
            );
            // The client may hang up early; that is its affair.
            if stream.write_all(head.as_bytes()).is_ok() {
                stream.write_all(&bytes).ok();
            }
        }
    });
    address
}
