//! Host names, each looked up once a run: name servers drop queries that come in bursts, and
//! a dropped query costs five seconds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// One host's addresses, once they are known.
type Known = Arc<Mutex<Option<ResolvedSocketAddrs>>>;

/// A resolver that remembers; clones share what they know.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Arc<Mutex<BTreeMap<String, Known>>>);

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = format!("{:?} {:?}", uri.scheme(), uri.authority());
        let known = self
            .0
            .lock()
            .map_or_else(|_| Known::default(), |mut hosts| hosts.entry(host).or_default().clone());
        // Who asks for the same host meanwhile waits here; other hosts are not held up.
        let Ok(mut known) = known.lock() else { return Err(ureq::Error::HostNotFound) };
        if known.is_none() {
            *known = Some(DefaultResolver::default().resolve(uri, config, timeout)?);
        }
        known.clone().ok_or(ureq::Error::HostNotFound)
    }
}
