//! How a build's engine is found: what its client is told by the environment, and by files in
//! a home that a varied build does not have.

use std::ffi::OsString;
use std::path::Path;

use crate::command::Env;
use crate::engine;

/// Where clients look below the home, when these variables do not say it: docker's contexts
/// and credentials, podman's configuration and storage.
const AT_HOME: [(&str, &str); 3] = [
    ("DOCKER_CONFIG", ".docker"),
    ("XDG_CONFIG_HOME", ".config"),
    ("XDG_DATA_HOME", ".local/share"),
];

/// The variables of the machine that `get` reads, and with `moved`, the home's folders too.
pub fn environment(get: impl Fn(&str) -> Option<OsString>, moved: bool) -> Env {
    let env = engine::client();
    let Some(home) = get("HOME").filter(|_| moved) else { return env };
    let unset = AT_HOME.iter().filter(|(name, _)| get(name).is_none());
    unset.fold(env, |env, (name, folder)| env.with(name, Path::new(&home).join(folder)))
}
