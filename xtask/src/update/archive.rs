//! Debian's archive as this machine's own apt knows it.

use std::path::{Path, PathBuf};

use crate::command::{self, Env, cmd};
use crate::error::{Error, Kind, Result};
use crate::pins::Pins;

/// Debian's own keys, from the package `debian-archive-keyring`.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where packages come from, and whose signature makes them believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Its URL, without a slash at the end.
    pub mirror: String,
    /// For example `bookworm`.
    pub suite: String,
    /// OpenPGP keys, as apt's `Signed-By`.
    pub keyring: PathBuf,
}

/// The archives to ask, in order: `LOCKSTEP_DEBIAN_MIRROR`, else the pin `debian.mirror`,
/// else every mirror with this suite among the machine's apt sources. Keys are those in
/// `LOCKSTEP_DEBIAN_KEYRING`, else Debian's own.
pub fn archives(pins: &Pins, env: impl Fn(&str) -> Option<String>) -> Result<Vec<Archive>> {
    let suite = pins.debian.suite.as_str();
    let named = env("LOCKSTEP_DEBIAN_MIRROR")
        .or_else(|| pins.debian.mirror.as_ref().map(ToString::to_string));
    let mirrors = match named {
        Some(mirror) => vec![mirror.trim_end_matches('/').to_owned()],
        None => mirrors(&machine_sources()?, suite),
    };
    if mirrors.is_empty() {
        return Err(Error::new(
            Kind::Machine,
            format!("no mirror of `{suite}` is among this machine's apt sources"),
        )
        .hint("set LOCKSTEP_DEBIAN_MIRROR, or pin `debian.mirror` in workspace.toml"));
    }
    let keyring = PathBuf::from(env("LOCKSTEP_DEBIAN_KEYRING").unwrap_or_else(|| KEYRING.into()));
    present(&keyring)?;
    let archive = |mirror| Archive { mirror, suite: suite.to_owned(), keyring: keyring.clone() };
    Ok(mirrors.into_iter().map(archive).collect())
}

/// What `apt-get update` would get: apt reads its own sources best.
fn machine_sources() -> Result<String> {
    let sh = command::shell()?;
    command::read(cmd!(sh, "apt-get update --print-uris"), &Env::host(&[])).map_err(no_apt)
}

/// Says what apt is for, when there is none.
pub(super) fn no_apt(error: Error) -> Error {
    if error.kind() != Kind::Machine {
        return error;
    }
    error
        .context("Debian packages are resolved by apt itself")
        .hint("run `cargo xtask update` on a machine or in a container of Debian or Ubuntu")
}

/// The mirrors whose `main` of `suite` is among these URIs.
fn mirrors(uris: &str, suite: &str) -> Vec<String> {
    let main = format!("/dists/{suite}/main/");
    let mut found = Vec::new();
    for uri in uris.lines().filter_map(|line| line.strip_prefix('\'')) {
        let Some((mirror, _)) = uri.split_once(&main) else { continue };
        if !found.iter().any(|known| known == mirror) {
            found.push(mirror.to_owned());
        }
    }
    found
}

fn present(keyring: &Path) -> Result<()> {
    if keyring.is_file() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Machine,
        format!("`{}` is missing: packages cannot be checked", keyring.display()),
    )
    .hint("run `apt-get install debian-archive-keyring`, or set LOCKSTEP_DEBIAN_KEYRING"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_those_with_main_of_the_suite() {
        let uris = "\
'http://mirror.example/debian/dists/bookworm/InRelease' mirror.example_debian_InRelease 0 
'http://mirror.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' x 0 
'http://mirror.example/debian/dists/bookworm/main/binary-all/Packages.xz' x 0 
'http://mirror.example/security/dists/bookworm-security/main/binary-amd64/Packages.xz' x 0 
'https://other.example/dists/bookworm/stable/binary-amd64/Packages.xz' x 0 
'https://second.example/d/dists/bookworm/main/binary-amd64/Packages.xz' x 0 
";
        assert_eq!(
            mirrors(uris, "bookworm"),
            ["http://mirror.example/debian", "https://second.example/d"]
        );
        assert_eq!(mirrors(uris, "trixie"), Vec::<String>::new());
    }
}
