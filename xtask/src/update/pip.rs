//! pip, with the index that this machine uses and nothing else of its configuration.

use crate::command::{self, Env, NETWORK, Shell, cmd};
use crate::error::{Error, Kind, Result};
use crate::fetch::{self, mirrors, pip};
use crate::pins::Pins;

/// How to run pip.
pub struct Pip {
    /// The interpreter that runs it.
    pub python: String,
    /// What it sees.
    pub env: Env,
    /// Runs it.
    pub shell: Shell,
}

/// Settings that say how to reach the index; all others (`find-links`, `constraint`,
/// `no-binary`, …) would change what is chosen.
const KEPT: &[&str] =
    &["cert", "client-cert", "proxy", "trusted-host", "timeout", "retries", "keyring-provider"];

impl Pip {
    /// The pip of the pinned Python, set to the machine's index.
    pub fn find(pins: &Pins, options: &fetch::Options) -> Result<Pip> {
        let shell = command::shell()?;
        let python = interpreter(&shell, pins.python.version.as_str())?;
        let config = pip::config(&options.env)?;
        let indexes = mirrors::python(&pins.flat(), &options.env)?;
        let indexes: Vec<String> = indexes.iter().map(|index| index.with_password()).collect();
        let (first, others) = indexes.split_first().ok_or_else(no_index)?;
        let own = Env::host(NETWORK)
            .with("PIP_CONFIG_FILE", "/dev/null") // no configuration but this
            .with("PIP_DISABLE_PIP_VERSION_CHECK", "1")
            .with("PIP_NO_CACHE_DIR", "1") // what the index says now
            .with("PIP_NO_INPUT", "1")
            .with("PIP_INDEX_URL", first)
            .with("PIP_EXTRA_INDEX_URL", others.join(" "));
        let kept = KEPT.iter().filter_map(|key| Some((key, pip::setting(&config, key)?)));
        let env = kept.fold(own, |env, (key, value)| env.with(&variable(key), value));
        Ok(Pip { python, env, shell })
    }
}

/// `PIP_CLIENT_CERT` of `client-cert`.
fn variable(key: &str) -> String {
    format!("PIP_{}", key.to_uppercase().replace('-', "_"))
}

/// pip evaluates markers for the Python that runs it, so that must be of the pinned series.
fn interpreter(shell: &Shell, pinned: &str) -> Result<String> {
    let mut found = Vec::new();
    for python in [format!("python{pinned}"), "python3".to_owned()] {
        let asked = command::read(cmd!(shell, "{python} -m pip --version"), &Env::host(&[]));
        let Ok(answer) = asked else { continue };
        let answer = answer.trim_end();
        if answer.ends_with(&format!("(python {pinned})")) {
            return Ok(python);
        }
        found.push(answer.to_owned());
    }
    let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
    let message =
        format!("wheels are resolved by the pip of Python {pinned}: this machine has {found}");
    Err(Error::new(Kind::Machine, message)
        .hint(format!("run it where `python{pinned} -m pip` runs, a virtual environment will do")))
}

fn no_index() -> Error {
    Error::new(Kind::Machine, "pip does not say which index it uses")
        .hint("set LOCKSTEP_PYTHON_INDEX, or pin `python.index` in workspace.toml")
}
