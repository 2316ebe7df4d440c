//! Short steps of the host, whose text is their documentation, in an environment that we write.
//!
//! What is watched while it runs is started with duct by who watches it; what runs *inside a
//! root* is a [`crate::engine::Run`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;

use xshell::Cmd;
pub use xshell::{Shell, cmd};

use crate::error::{Error, Kind, Result};
use crate::interrupt;

/// The host's variables that a step with a network may see: proxies and CA bundles.
pub const NETWORK: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
];

/// The whole environment of a step: a list that we write, never one that we inherit.
#[derive(Clone, Debug)]
pub struct Env(BTreeMap<OsString, OsString>);

impl Env {
    /// Untranslated messages in UTF-8, and of the host's variables `PATH`, `HOME`, `TMPDIR`
    /// and those that are named.
    pub fn host(names: &[&str]) -> Env {
        let named = ["PATH", "HOME", "TMPDIR"].iter().chain(names);
        let host = named.filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
        Env(host.collect()).with("LC_ALL", "C.UTF-8")
    }

    /// Adds or replaces a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Env {
        self.0.insert(name.into(), value.into());
        self
    }

    /// All variables, for a process that is not one of [`cmd!`]'s.
    pub fn pairs(&self) -> BTreeMap<OsString, OsString> {
        self.0.clone()
    }
}

/// A shell for [`cmd!`].
pub fn shell() -> Result<Shell> {
    Shell::new().map_err(|cause| Error::new(Kind::Io, cause.to_string()))
}

/// Runs a short step in `env`; returns what it printed.
pub fn read(step: Cmd<'_>, env: &Env) -> Result<String> {
    let shown = step.to_string();
    let program = shown.split(' ').next().unwrap_or_default().to_owned();
    let step = step.env_clear().envs(&env.0).quiet().ignore_status();
    let output = step.output().map_err(|cause| cannot_start(&program, &cause))?;
    if !output.status.success() {
        let words = [output.stdout, output.stderr].concat();
        return Err(failed(&program, output.status, &String::from_utf8_lossy(&words)));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| Error::new(Kind::Tool, format!("`{program}` printed text that is not UTF-8")))
}

/// Runs a program that may ask its user something. What it prints goes to standard error: it
/// is not our answer.
pub fn attended(program: &str, arguments: &[String], env: &Env) -> Result<()> {
    let _its_own = interrupt::leave_to_child();
    let step = duct::cmd(program, arguments).full_env(env.pairs()).stdout_to_stderr();
    let output = step.unchecked().run().map_err(|cause| match cause.kind() {
        std::io::ErrorKind::NotFound => lacks(program),
        _ => Error::new(Kind::Machine, format!("cannot start `{program}`: {cause}")),
    })?;
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(program, output.status, "")),
    }
}

/// Whether this machine has `program`.
pub fn has(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// This machine has no such program.
pub fn lacks(program: &str) -> Error {
    Error::new(Kind::Machine, format!("this machine has no `{program}`"))
}

fn cannot_start(program: &str, cause: &xshell::Error) -> Error {
    let cause = cause.to_string();
    if cause.starts_with("command not found") {
        return lacks(program);
    }
    Error::new(Kind::Machine, format!("cannot start `{program}`: {cause}"))
}

/// The program's last words are the cause; its arguments may hold a secret.
fn failed(program: &str, status: std::process::ExitStatus, words: &str) -> Error {
    const MOST: usize = 20;
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with exit code {code}"),
        (None, signal) => format!("was killed by signal {}", signal.unwrap_or_default()),
    };
    let lines: Vec<&str> = words.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines[lines.len().saturating_sub(MOST)..].join("\n  ");
    let colon = if last.is_empty() { "" } else { ":\n  " };
    Error::new(Kind::Tool, format!("`{program}` {how}{colon}{last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_sees_the_written_environment_only() {
        let sh = shell().unwrap();
        let env = Env::host(&[]).with("LOCKSTEP", "1");
        let printed = read(cmd!(sh, "env"), &env).unwrap();
        let names: Vec<&str> = printed.lines().filter_map(|l| Some(l.split_once('=')?.0)).collect();
        let allowed = ["HOME", "LC_ALL", "LOCKSTEP", "PATH", "PWD", "SHLVL", "TMPDIR", "_"];
        assert!(names.contains(&"LOCKSTEP"));
        assert!(names.iter().all(|name| allowed.contains(name)), "{names:?}");
    }

    #[test]
    fn a_failing_or_missing_program_is_named() {
        let (sh, env) = (shell().unwrap(), Env::host(&[]));
        let words = "echo too bad >&2; exit 3";
        insta::assert_snapshot!(read(cmd!(sh, "sh -c {words}"), &env).unwrap_err(), @r#"
        error: `sh` failed with exit code 3:
          too bad
        "#);
        let killed = "kill -9 $$";
        insta::assert_snapshot!(read(cmd!(sh, "sh -c {killed}"), &env).unwrap_err(), @"error: `sh` was killed by signal 9");
        insta::assert_snapshot!(read(cmd!(sh, "no-such-program --x"), &env).unwrap_err(), @"error: this machine has no `no-such-program`");
    }
}
