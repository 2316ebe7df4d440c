//! HTTP: the one file that talks to the network.
//!
//! Redirects are followed here, few of them, and never from `https` to `http` or into the
//! machine's own files. Bodies come as they are: no encoding is asked for and none undone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Request as UreqRequest, Response as UreqResponse};
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::unversioned::transport::{Connector as _, DefaultConnector, TcpConnector};
use ureq::{Agent, Body, SendBody, config::Config};

use super::Limits;
use super::names::Names;
use super::proxy::{Proxies, Route, WholeUrl};
use super::url::{Scheme, Url};
use crate::error::{Error, IoContext as _, Kind, Result};

/// A redirect leads to a redirect at most so often.
pub(super) const REDIRECTS: usize = 5;

/// After the last byte of a body, a registry may hash all of it before it answers.
const SETTLING: Duration = Duration::from_secs(300);

/// Kept open for the next request.
const CONNECTIONS: usize = 16;

/// CA bundles of other tools, for a machine that sets up no own.
const BUNDLES: [&str; 3] = ["PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

/// A client; its connections are kept and shared.
pub(super) struct Http {
    direct: Agent,
    /// To proxies that are asked for whole URLs.
    forward: Agent,
    /// One for `http`, one for `https`, when they go through a tunnel.
    tunnels: BTreeMap<Scheme, Agent>,
    proxies: Proxies,
}

/// An answer that has a body to read: 200, or after a first byte was named 206 or 416.
pub(super) struct Response {
    pub status: u16,
    /// After redirects.
    pub url: Url,
    /// Bytes of the body, where the server says so.
    pub length: Option<u64>,
    /// First byte of the body within the file, of a 206.
    pub start: Option<u64>,
    pub content_type: String,
    pub body: Box<dyn Read + Send>,
}

/// A request.
pub(super) struct Ask<'a> {
    pub method: &'static str,
    pub url: &'a Url,
    pub headers: Vec<(&'static str, String)>,
    /// What is sent, and how many bytes it is.
    pub body: Option<(&'a mut dyn Read, u64)>,
    /// For all of it.
    pub total: Duration,
}

/// An answer of any status, a redirect too.
pub(super) struct Answer(UreqResponse<Body>);

impl Answer {
    pub fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    /// `401 Unauthorized`.
    pub fn said(&self) -> String {
        self.0.status().to_string()
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.0, name)
    }

    /// All headers of this name.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.headers().get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// Bytes of the body, where the server says so.
    pub fn length(&self) -> Option<u64> {
        self.header("content-length").and_then(|length| length.parse().ok())
    }

    pub fn body(self) -> impl Read + Send + use<> {
        self.0.into_body().into_reader()
    }

    /// Whether trying again may help.
    pub fn retry(&self) -> Retry {
        let after = self.header("retry-after");
        match (self.status(), after.map(str::parse)) {
            // A date would need a clock to be of use.
            (408 | 425 | 429 | 500 | 502..=504, Some(Ok(seconds))) => {
                Retry::After(Duration::from_secs(seconds))
            }
            (408 | 425 | 429 | 500 | 502..=504, _) => Retry::Soon,
            _ => Retry::No,
        }
    }
}

/// Whether a status is that of a redirect.
pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Why there is no answer, or only part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// For people; follows a URL and a colon.
    pub why: String,
    pub retry: Retry,
}

/// Whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    No,
    Soon,
    /// The server said when.
    After(Duration),
}

impl Failure {
    pub fn last(why: impl Into<String>) -> Self {
        Failure { why: why.into(), retry: Retry::No }
    }

    pub fn passing(why: impl Into<String>) -> Self {
        Failure { why: why.into(), retry: Retry::Soon }
    }
}

impl Http {
    /// A client for this environment's proxies and CA bundles.
    pub fn new(limits: &Limits, env: &BTreeMap<String, String>) -> Result<Self> {
        let proxies = Proxies::from_env(env)?;
        let tls = TlsConfig::builder().root_certs(root_certs(env)?).build();
        let config = |proxy: Option<ureq::Proxy>| -> Config {
            Agent::config_builder()
                .proxy(proxy)
                .tls_config(tls.clone())
                .timeout_resolve(Some(limits.connect))
                .timeout_connect(Some(limits.connect))
                .timeout_per_read(Some(limits.idle))
                .timeout_per_write(Some(limits.idle))
                .http_status_as_error(false)
                .max_idle_connections(CONNECTIONS)
                .max_idle_connections_per_host(CONNECTIONS)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .accept_encoding("identity")
                .user_agent(concat!("lockstep/", env!("CARGO_PKG_VERSION")))
                .build()
        };
        let names = Names::default();
        let agent =
            |proxy| Agent::with_parts(config(proxy), DefaultConnector::default(), names.clone());
        let whole_url = ().chain(TcpConnector::default()).chain(WholeUrl);
        let tunnel = |scheme| match proxies.of_scheme(scheme) {
            Route::Tunnel(proxy) => Some((scheme, agent(Some(proxy.clone())))),
            Route::Direct | Route::Forward(_) => None,
        };
        Ok(Http {
            tunnels: [Scheme::Http, Scheme::Https].into_iter().filter_map(tunnel).collect(),
            direct: agent(None),
            forward: Agent::with_parts(config(None), whole_url, names.clone()),
            proxies,
        })
    }

    /// Ends all that is under way, in other threads too; the client is of no use any more.
    pub fn stop(&self) {
        let agents = [&self.direct, &self.forward].into_iter().chain(self.tunnels.values());
        agents.for_each(|agent| agent.clone().shutdown());
    }

    /// Gets `url` from byte `from` on, all of it within `total`.
    pub fn get(
        &self,
        url: &Url,
        from: u64,
        accept: &str,
        total: Duration,
    ) -> Result<Response, Failure> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            if url.scheme() == Scheme::File {
                return open(url, from);
            }
            let mut headers = vec![("accept", accept.to_owned())];
            headers.extend(url.authorization().map(|word| ("authorization", word)));
            if from > 0 {
                headers.push(("range", format!("bytes={from}-")));
            }
            let answer = self.ask(Ask { method: "GET", url: &url, headers, body: None, total })?;
            if !is_redirect(answer.status()) {
                return accepted(url, from, answer);
            }
            url = redirected(&url, answer.header("location").unwrap_or_default())?;
        }
        Err(Failure::last(format!("more than {REDIRECTS} redirects, the last to {url}")))
    }

    /// Sends one request, and takes whatever is answered.
    pub fn ask(&self, ask: Ask<'_>) -> Result<Answer, Failure> {
        let Ask { method, url, headers, body, total } = ask;
        let route = self.proxies.route(url);
        let (agent, asked) = match &route {
            Route::Direct => (&self.direct, url.request()),
            Route::Tunnel(_) => {
                (self.tunnels.get(&url.scheme()).unwrap_or(&self.direct), url.request())
            }
            Route::Forward(proxy) => (&self.forward, url.request_at(proxy)),
        };
        let mut request = UreqRequest::builder().method(method).uri(asked);
        if let Route::Forward(proxy) = &route {
            request = request.header("host", url.host());
            if let Some(word) = proxy.authorization() {
                request = request.header("proxy-authorization", word);
            }
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let wrong = |error: ureq::http::Error| Failure::last(format!("no request: {error}"));
        let answer = match body {
            None => {
                let request = request.body(()).map_err(wrong)?;
                agent.run(agent.configure_request(request).timeout_global(Some(total)).build())
            }
            Some((bytes, length)) => {
                let request = request.header("content-length", length);
                let request = request.body(SendBody::from_reader(bytes)).map_err(wrong)?;
                let timed = agent.configure_request(request).timeout_global(Some(total));
                agent.run(timed.timeout_per_read(Some(SETTLING)).build())
            }
        };
        answer.map(Answer).map_err(|error| failed(&error))
    }
}

/// The answers that have a file in them, and those of which another try may make one. Who asks
/// for a whole file takes no part of one.
fn accepted(url: Url, from: u64, answer: Answer) -> Result<Response, Failure> {
    if !matches!((answer.status(), from), (200, _) | (206 | 416, 1..)) {
        let why = format!("HTTP status {}", answer.said());
        return Err(Failure { why, retry: answer.retry() });
    }
    let range = answer.header("content-range").and_then(|range| range.strip_prefix("bytes "));
    Ok(Response {
        status: answer.status(),
        length: answer.length(),
        start: range.and_then(|range| range.split('-').next()?.parse().ok()),
        content_type: answer.header("content-type").unwrap_or("no content type").to_owned(),
        url,
        body: Box::new(answer.body()),
    })
}

fn header<'a>(answer: &'a UreqResponse<Body>, name: &str) -> Option<&'a str> {
    answer.headers().get(name)?.to_str().ok()
}

/// Where a redirect leads, if it may.
pub(super) fn redirected(from: &Url, location: &str) -> Result<Url, Failure> {
    let to =
        from.join(location).map_err(|why| Failure::last(format!("a redirect to no URL: {why}")))?;
    match refused(from, &to) {
        Some(why) => Err(Failure::last(format!("a redirect {why} is refused"))),
        None => Ok(to),
    }
}

/// Why what a server says may not lead from one place to another, if it may not.
pub(super) fn refused(from: &Url, to: &Url) -> Option<String> {
    match (from.scheme(), to.scheme()) {
        (Scheme::Http | Scheme::Https, Scheme::File) => {
            Some("to a file of this machine".to_owned())
        }
        (Scheme::Https, Scheme::Http) => Some(format!("from https to {to}")),
        _ => None,
    }
}

/// A mirror may be a folder of this machine.
fn open(url: Url, from: u64) -> Result<Response, Failure> {
    let path = PathBuf::from(std::ffi::OsString::from_vec(url.file_path()));
    let failed = |cause: std::io::Error| Failure::last(cause.to_string());
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    file.seek(SeekFrom::Start(from)).map_err(failed)?;
    Ok(Response {
        status: if from > 0 { 206 } else { 200 },
        url,
        length: Some(length.saturating_sub(from)),
        start: Some(from),
        content_type: "a file".to_owned(),
        body: Box::new(file),
    })
}

fn failed(error: &ureq::Error) -> Failure {
    match error {
        ureq::Error::Timeout(_) => Failure::passing(format!("no answer in time ({error})")),
        ureq::Error::Io(cause) => read_failed(cause),
        ureq::Error::HostNotFound => Failure::passing("the host is not known"),
        ureq::Error::ConnectionFailed | ureq::Error::BodyStalled => {
            Failure::passing(error.to_string())
        }
        ureq::Error::Protocol(_) => Failure::passing(format!("no HTTP: {error}")),
        other => Failure::last(other.to_string()),
    }
}

/// Why reading from the network stopped.
pub(super) fn read_failed(cause: &std::io::Error) -> Failure {
    if let Some(inner) = cause.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        return failed(inner);
    }
    match cause.kind() {
        // What TLS refuses, it refuses the next time too.
        std::io::ErrorKind::InvalidData => Failure::last(cause.to_string()),
        _ => Failure::passing(cause.to_string()),
    }
}

/// The machine's own roots, which know SSL_CERT_FILE and SSL_CERT_DIR; another tool's bundle
/// only where these are not set.
fn root_certs(env: &BTreeMap<String, String>) -> Result<RootCerts> {
    let set = |name: &&str| env.get(*name).is_some_and(|value| !value.is_empty());
    if ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(set) {
        return Ok(RootCerts::PlatformVerifier);
    }
    let Some(name) = BUNDLES.iter().find(|name| set(name)) else {
        return Ok(RootCerts::PlatformVerifier);
    };
    let path = PathBuf::from(&env[*name]);
    let pem = std::fs::read(&path).at("read", &path).map_err(|error| error.context(name))?;
    let certificates: Vec<_> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        let message = format!("{name}: `{}` has no certificate in it", path.display());
        return Err(Error::new(Kind::Fetch, message));
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}
