//! The Python index as this machine's own pip knows it.

use std::collections::BTreeMap;

use crate::command::{self, Env, NETWORK, Shell, cmd};
use crate::error::{Error, Kind, Result};
use crate::pins::Pins;

/// pip with the machine's index and nothing else of its configuration.
pub struct Pip {
    /// The interpreter that runs it.
    pub python: String,
    /// What it sees.
    pub env: Env,
    /// Runs it.
    pub shell: Shell,
}

/// Settings that say where the index is and how to reach it; all others (`find-links`,
/// `constraint`, `no-binary`, …) would change what is chosen.
const KEPT: &[&str] = &[
    "index-url",
    "extra-index-url",
    "cert",
    "client-cert",
    "proxy",
    "trusted-host",
    "timeout",
    "retries",
    "keyring-provider",
];

impl Pip {
    /// Finds the pip of the pinned Python (else of any Python) and its index:
    /// `LOCKSTEP_PYTHON_INDEX`, else the pin `python.index`, else pip's own setting, else
    /// pip's default.
    pub fn find(pins: &Pins, env: impl Fn(&str) -> Option<String>) -> Result<Pip> {
        let shell = command::shell()?;
        let host = pip_environment();
        let python = interpreter(&shell, &host, pins.python.version.as_str())?;
        let list = command::read(cmd!(shell, "{python} -m pip config list"), &host)?;
        let mut settings = settings(&list);
        let named = env("LOCKSTEP_PYTHON_INDEX")
            .or_else(|| pins.python.index.as_ref().map(ToString::to_string));
        if let Some(index) = named {
            settings.insert("index-url".to_owned(), index);
            settings.remove("extra-index-url");
        }
        let index = match settings.get("index-url") {
            Some(index) => index.clone(),
            None => {
                let help = command::read(cmd!(shell, "{python} -m pip install --help"), &host)?;
                default_index(&help).ok_or_else(no_index)?
            }
        };
        settings.insert("index-url".to_owned(), index);
        let env = settings.iter().fold(
            // An empty file: no configuration but what stands here.
            Env::host(NETWORK).with("PIP_CONFIG_FILE", "/dev/null"),
            |env, (key, value)| env.with(&variable(key), value),
        );
        let env = env.with("PIP_DISABLE_PIP_VERSION_CHECK", "1").with("PIP_NO_INPUT", "1");
        Ok(Pip { python, env, shell })
    }
}

/// The host's own pip variables, to ask pip what they come to.
fn pip_environment() -> Env {
    let own = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let own: Vec<String> =
        own.filter(|name| name.starts_with("PIP_") || name.starts_with("XDG_CONFIG")).collect();
    let names: Vec<&str> = own.iter().map(String::as_str).chain(NETWORK.iter().copied()).collect();
    Env::host(&names).with("COLUMNS", "500")
}

/// `PIP_INDEX_URL` of `index-url`.
fn variable(key: &str) -> String {
    format!("PIP_{}", key.to_uppercase().replace('-', "_"))
}

/// pip evaluates markers for the Python that runs it, so that must be of the pinned series.
fn interpreter(shell: &Shell, env: &Env, pinned: &str) -> Result<String> {
    let exact = format!("python{pinned}");
    let mut found = Vec::new();
    for python in [exact.as_str(), "python3"] {
        let Ok(version) = command::read(cmd!(shell, "{python} -m pip --version"), env) else {
            continue;
        };
        if version.trim_end().ends_with(&format!("(python {pinned})")) {
            return Ok(python.to_owned());
        }
        found.push(version.trim_end().to_owned());
    }
    let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    Err(Error::new(
        Kind::Machine,
        format!("wheels are resolved by the pip of Python {pinned}, which this machine lacks; found {found}"),
    )
    .hint(format!("install it (Debian: `apt-get install python3-pip`), or make a virtual environment of Python {pinned}")))
}

/// What `pip config list` says, the strongest last: global, `install`, environment.
fn settings(list: &str) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for section in ["global.", "install.", ":env:."] {
        for line in list.lines() {
            let Some((key, value)) = line.strip_prefix(section).and_then(|l| l.split_once('='))
            else {
                continue;
            };
            if KEPT.contains(&key) {
                settings.insert(key.to_owned(), unquoted(value));
            }
        }
    }
    settings
}

/// A Python string literal as `repr` writes it, of the plain sort.
fn unquoted(literal: &str) -> String {
    let inner = ['\'', '"'].iter().find_map(|q| literal.strip_prefix(*q)?.strip_suffix(*q));
    inner.unwrap_or(literal).replace("\\n", "\n").replace("\\\\", "\\")
}

/// The default that pip's help names behind `--index-url`.
fn default_index(help: &str) -> Option<String> {
    let (_, after) = help.split_once("--index-url")?;
    let (_, after) = after.split_once("(default")?;
    let (url, _) = after.split_once(')')?;
    Some(url.split_whitespace().collect())
}

fn no_index() -> Error {
    Error::new(Kind::Machine, "pip does not say which index it uses")
        .hint("set LOCKSTEP_PYTHON_INDEX, or pin `python.index` in workspace.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_wins_and_foreign_settings_are_dropped() {
        let list = "\
:env:.cert='/etc/ca.pem'
:env:.find-links='/opt/wheels'
global.cert='/other.pem'
global.index-url='https://mirror.example/simple'
install.index-url=\"https://second.example/simple\"
download.index-url='https://third.example/simple'
";
        let found = settings(list);
        let pairs: Vec<(&str, &str)> =
            found.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            pairs,
            [("cert", "/etc/ca.pem"), ("index-url", "https://second.example/simple")]
        );
    }

    #[test]
    fn the_default_index_is_read_from_the_help() {
        let help = "  -i, --index-url <url>  Base URL of the Python Package Index (default\n      https://mirror.example/simple). This should\n";
        assert_eq!(default_index(help).as_deref(), Some("https://mirror.example/simple"));
        assert_eq!(default_index("  --no-index"), None);
    }
}
