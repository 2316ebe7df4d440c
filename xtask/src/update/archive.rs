//! Debian's archive: where it is, and whose signature makes it believed.

use std::path::PathBuf;

use crate::error::{Error, Kind, Result};
use crate::fetch::{self, Url, mirrors};
use crate::pins::Pins;

/// Debian's own keys, from the package `debian-archive-keyring`.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where packages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// Its URL.
    pub mirror: Url,
    /// For example `stable`.
    pub suite: String,
    /// OpenPGP keys, as apt's `Signed-By`.
    pub keyring: PathBuf,
}

/// The archives to ask, in order. Their keys are those in `LOCKSTEP_DEBIAN_KEYRING`, else
/// Debian's own.
pub fn archives(pins: &Pins, options: &fetch::Options) -> Result<Vec<Archive>> {
    let keyring = options.env.get("LOCKSTEP_DEBIAN_KEYRING").map_or(KEYRING, String::as_str);
    let keyring = PathBuf::from(keyring);
    if !keyring.is_file() {
        let message = format!("`{}` is missing: packages cannot be checked", keyring.display());
        return Err(Error::new(Kind::Machine, message)
            .hint("run `apt-get install debian-archive-keyring`, or set LOCKSTEP_DEBIAN_KEYRING"));
    }
    let suite = pins.debian.suite.as_str();
    let archive = |mirror| Archive { mirror, suite: suite.to_owned(), keyring: keyring.clone() };
    Ok(mirrors::debian(&pins.flat(), &options.env)?.into_iter().map(archive).collect())
}
