//! Downloads: the only step with a network.
//!
//! [`plan()`] says what is needed, the store what is there, [`Mirrors`](mirrors::Mirrors) who
//! may serve the rest. Whoever serves it, only bytes with the lock's digest are published.

mod apt;
pub mod base;
mod download;
#[cfg(test)]
mod example;
mod http;
mod index;
mod learn;
pub mod mirrors;
mod names;
pub mod pip;
mod plan;
mod proxy;
pub mod reach;
pub mod registry;
mod retry;
mod run;
#[cfg(test)]
pub(crate) mod server;
mod small;
#[cfg(test)]
mod tests;
mod url;

use std::collections::BTreeMap;
use std::time::Duration;

pub use learn::{Learned, Learner};
pub use plan::{Download, Origin, Selection, Wheels, plan};
pub use small::small;
pub use url::{Scheme, Url};

use crate::error::{Error, Kind, Result};
use crate::lock::Lock;
use crate::progress;
use crate::store::{Store, check_room};

/// How to fetch.
#[derive(Clone)]
pub struct Options {
    /// Touch no network: what is missing is an error.
    pub offline: bool,
    /// Downloads at once.
    pub jobs: usize,
    /// What mirrors may take.
    pub limits: Limits,
    /// The environment: mirrors, proxies, CA bundles.
    pub env: BTreeMap<String, String>,
}

impl Options {
    /// The usual way, in this process's environment.
    pub fn from_env(offline: bool) -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let env = std::env::vars_os().filter_map(text).collect();
        Options { offline, jobs: 16, limits: Limits::default(), env }
    }
}

/// What mirrors may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Attempts at one URL that bring nothing.
    pub attempts: u32,
    /// An attempt that brings so many bytes brings something.
    pub piece: u64,
    /// Before the second attempt; doubled before each further one.
    pub backoff: Duration,
    /// The longest wait that a server may ask for.
    pub patience: Duration,
    /// For a connection to be made.
    pub connect: Duration,
    /// Between two pieces of data.
    pub idle: Duration,
    /// Bytes a second over a whole attempt; a mirror that drips is given up.
    pub slowest: u64,
    /// Bytes of an index page.
    pub page: u64,
    /// Bytes that are sent at once: what a registry certainly has before the next ones go.
    pub chunk: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            attempts: 5,
            piece: 1 << 20,
            backoff: Duration::from_millis(500),
            patience: Duration::from_secs(60),
            connect: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            slowest: 4 << 10,
            page: 64 << 20,
            chunk: 32 << 20,
        }
    }
}

impl Limits {
    /// For an answer of so many bytes.
    fn total(&self, bytes: u64) -> Duration {
        self.connect + self.idle + Duration::from_secs(bytes / self.slowest.max(1))
    }
}

/// Has all of `selection` in the store. Quick when it is there already: its bytes are hashed
/// when they are used.
pub fn ensure(lock: &Lock, store: &Store, selection: &Selection, options: &Options) -> Result<()> {
    let downloads = plan(lock, selection)?;
    let missing = missing(store, &downloads)?;
    if missing.is_empty() {
        return Ok(());
    }
    if options.offline {
        return Err(offline(&missing));
    }
    let _alone = store.hold("fetch", "another command's downloads")?;
    let missing = self::missing(store, &downloads)?; // the other command may have brought all
    if missing.is_empty() {
        return Ok(());
    }
    check_room(store.root(), missing.iter().map(|download| download.size).sum())?;
    let mirrors = mirrors::Mirrors::find(lock, &missing, &options.env)?;
    run::run(&missing, &mirrors, store, options)
}

/// Has all of `selection` in the store, then makes something of it. What `make` finds damaged it
/// sets aside: that is fetched again, and made of once more.
pub fn with<T>(
    lock: &Lock,
    store: &Store,
    selection: &Selection,
    options: &Options,
    make: impl Fn() -> Result<T>,
) -> Result<T> {
    ensure(lock, store, selection, options)?;
    match make() {
        Err(damage) if damage.kind() == Kind::Digest && !options.offline => {
            if missing(store, &plan(lock, selection)?)?.is_empty() {
                return Err(damage); // of something else
            }
            progress::say(&format!("note: {}; it is fetched again", damage.message()));
            ensure(lock, store, selection, options)?;
            make()
        }
        made => made,
    }
}

/// Bytes of the files at `urls`, which no lock knows yet, as their servers say.
pub fn sizes(urls: &[Url], store: &Store, options: &Options) -> Result<Vec<u64>> {
    if options.offline && !urls.is_empty() {
        return Err(Error::new(Kind::Fetch, "sizes are asked of servers, and --offline is given"));
    }
    run::sizes(urls, store, options)
}

fn missing<'a>(store: &Store, downloads: &'a [Download]) -> Result<Vec<&'a Download>> {
    let mut missing = Vec::new();
    for download in downloads {
        if !store.has(&download.sha256, download.size)? {
            missing.push(download);
        }
    }
    Ok(missing)
}

fn offline(missing: &[&Download]) -> Error {
    const SHOWN: usize = 5;
    let mut names: Vec<&str> = missing.iter().take(SHOWN).map(|d| d.what.as_str()).collect();
    let more = format!("and {} more", missing.len().saturating_sub(SHOWN));
    if missing.len() > SHOWN {
        names.push(&more);
    }
    let message = format!("not in the store, and --offline is given: {}", names.join(", "));
    Error::new(Kind::Fetch, message).hint("run `cargo xtask fetch` while the network is there")
}
