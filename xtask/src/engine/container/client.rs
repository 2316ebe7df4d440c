//! The command-line client of a container engine: short questions to it, and what its
//! answers mean when they are no.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::os::unix::process::CommandExt as _;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::Product;
use crate::command::Env;
use crate::error::{Error, Kind, Result};
use crate::interrupt;

/// No answer takes that long: the import of an image is the longest.
const LIMIT: Duration = Duration::from_secs(120);
/// How often a wait looks up.
const TICK: Duration = Duration::from_millis(50);
/// What is read of an answer, in bytes.
const READ: u64 = 256 << 10;
/// The host's variables that say which engine to talk to, and how.
const VARIABLES: [&str; 15] = [
    "CONTAINERS_CONF",
    "CONTAINERS_REGISTRIES_CONF",
    "CONTAINERS_STORAGE_CONF",
    "DBUS_SESSION_BUS_ADDRESS",
    "DOCKER_API_VERSION",
    "DOCKER_CERT_PATH",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_HOST",
    "DOCKER_TLS_VERIFY",
    "STORAGE_DRIVER",
    "STORAGE_OPTS",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
];

/// What a client said.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// Whether it exited with 0.
    pub(super) yes: bool,
    /// Standard output.
    pub(super) text: String,
    /// Standard error.
    pub(super) words: String,
}

/// A client's process, in a group of its own so that a terminal's keys are ours, with the
/// environment that we write.
pub(super) fn command(product: Product, args: &[String]) -> duct::Expression {
    at_the_terminal(product, args).before_spawn(|command| {
        command.process_group(0);
        Ok(())
    })
}

/// The same in the terminal's foreground.
pub(super) fn at_the_terminal(product: Product, args: &[String]) -> duct::Expression {
    duct::cmd(product.program(), args).full_env(environment().pairs()).unchecked()
}

/// The environment of every client: what the host says of which engine to talk to, and how.
pub fn environment() -> Env {
    Env::host(&VARIABLES)
}

/// Asks and waits for the answer; a client that cannot be started, or that says nothing for
/// too long, is an error.
pub(super) fn ask(product: Product, args: &[String], input: Option<File>) -> Result<Answer> {
    let files = || Ok::<_, std::io::Error>((tempfile::tempfile()?, tempfile::tempfile()?));
    let (text, words) = files().map_err(|cause| cannot("make a temporary file", &cause))?;
    let streams = || Ok::<_, std::io::Error>((text.try_clone()?, words.try_clone()?));
    let (out, err) = streams().map_err(|cause| cannot("make a temporary file", &cause))?;
    let client = command(product, args).stdout_file(out).stderr_file(err);
    let client = match input {
        Some(input) => client.stdin_file(input),
        None => client.stdin_null(),
    };
    let started = client.start().map_err(|cause| not_started(product, &cause))?;
    let yes = wait(product, &started, args)?;
    Ok(Answer { yes, text: read(text)?, words: read(words)? })
}

/// Waits until it ends; kills it and all it started when it must not go on.
fn wait(product: Product, started: &duct::Handle, args: &[String]) -> Result<bool> {
    let end = Instant::now() + LIMIT;
    let kill = || {
        for pid in started.pids() {
            let _ = killpg(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
        drop(started.wait());
    };
    loop {
        match started.wait_timeout(TICK) {
            Ok(Some(output)) => return Ok(output.status.success()),
            Ok(None) => {}
            Err(cause) => return Err(cannot("wait for the engine's client", &cause)),
        }
        if let Err(interrupted) = interrupt::check() {
            kill();
            return Err(interrupted);
        }
        if Instant::now() >= end {
            kill();
            let verb = args.first().map_or("", String::as_str);
            let message =
                format!("`{product} {verb}` said nothing for {} s and was killed", LIMIT.as_secs());
            return Err(Error::new(Kind::Machine, message)
                .hint(format!("does `{product} info` answer? restart the engine")));
        }
    }
}

fn read(mut file: File) -> Result<String> {
    let mut bytes = Vec::new();
    let all = file.rewind().and_then(|()| file.take(READ).read_to_end(&mut bytes));
    all.map_err(|cause| cannot("read the engine's answer", &cause))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A client that could not be started.
pub(super) fn not_started(product: Product, cause: &std::io::Error) -> Error {
    let message = match cause.kind() {
        std::io::ErrorKind::NotFound => format!("this machine has no `{product}`"),
        _ => format!("cannot start `{product}`: {cause}"),
    };
    Error::new(Kind::Machine, message).hint(format!(
        "install it (Debian: `apt-get install {}`), or use `--engine native`",
        product.package()
    ))
}

/// What an answer that is no means, in words: what the engine said is the cause.
pub(super) fn refusal(product: Product, verb: &str, words: &str) -> Error {
    let said = said(words);
    let has = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    let socket = has(&["docker.sock", "docker daemon", "Docker daemon", "connect"]);
    if socket && has(&["permission denied"]) {
        return machine(format!("no permission to talk to the engine `{product}`: {said}"))
            .hint("use a user of the group `docker`, or root; or `--engine native`");
    }
    if has(&["Cannot connect to the Docker daemon", "failed to connect to the docker API"])
        || has(&["error during connect", "Is the docker daemon running"])
    {
        return machine(format!("the engine `{product}` does not answer: {said}"))
            .hint("start it (`systemctl start docker`), or name another in DOCKER_HOST");
    }
    if has(&["is too new. Maximum supported", "is too old. Minimum supported"]) {
        return machine(format!("client and engine of `{product}` do not fit: {said}"))
            .hint("install both of one version, or use `--engine native`");
    }
    if has(&["no space left on device"]) {
        return machine(format!("the engine `{product}` has no room on its disk: {said}"))
            .hint(format!("`{product} system df` says what takes it"));
    }
    if has(&["rlimit type"]) {
        return machine(format!("the engine `{product}` may not set the limits of a run: {said}"))
            .hint("it has lower limits itself: start it with higher ones");
    }
    if has(&["docker-init", "catatonit"]) && has(&["executable file not found", "no such file"]) {
        return machine(format!("the engine `{product}` has no init for its containers: {said}"))
            .hint("install it (Debian: `apt-get install tini catatonit`)");
    }
    machine(format!("`{product} {verb}` failed: {said}"))
        .hint(format!("`{product} info` tells what the engine is; or use `--engine native`"))
}

fn machine(message: String) -> Error {
    Error::new(Kind::Machine, message)
}

/// The last words, on one line, at most 1000 characters.
fn said(words: &str) -> String {
    let lines: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines[lines.len().saturating_sub(4)..].join("; ");
    match last.char_indices().rev().nth(999) {
        Some((at, _)) => format!("…{}", &last[at..]),
        None if last.is_empty() => "it said nothing".to_owned(),
        None => last,
    }
}

fn cannot(what: &str, cause: &std::io::Error) -> Error {
    Error::new(Kind::Io, format!("cannot {what}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_no_is_told_with_its_cause_and_what_helps() {
        let told = |words: &str| refusal(Product::Docker, "create", words).to_string();
        let texts = [
            told(
                "Got permission denied while trying to connect to the Docker daemon socket at \
                 unix:///var/run/docker.sock",
            ),
            told(
                "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker \
                 daemon running?\n",
            ),
            told(
                "Error response from daemon: client version 1.52 is too new. Maximum supported API \
                 version is 1.41",
            ),
            told("write /x: no space left on device"),
            told("error setting rlimit type 7: operation not permitted"),
            told("exec: \"docker-init\": executable file not found in $PATH"),
            told("\n one\ntwo\nthree\nfour\nfive\n"),
            told(""),
        ];
        insta::assert_snapshot!(texts.join("\n"));
        assert!(told(&"é".repeat(100_000)).chars().count() < 1200);
    }
}
