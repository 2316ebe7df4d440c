//! A registry of images, as a client sees it (OCI distribution specification v1.1): manifests
//! and blobs of one repository, asked for, sent, and never believed.

mod challenge;
mod credentials;
mod login;
mod upload;

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Mutex;

use self::credentials::Found;
pub use self::credentials::of_clouds;
use super::http::{Answer, Ask, Failure, Http, REDIRECTS, Retry, is_redirect, redirected};
use super::retry::{Trouble, again};
use super::url::Url;
use super::{Limits, Options};
use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::reference::Reference;

/// Manifests of one image, as OCI and docker call them.
pub const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// A list of manifests, as OCI calls it.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Most bytes of a manifest or config (distribution specification, "Pushing Manifests").
const MANIFEST: u64 = 4 << 20;
/// Most bytes of what a registry says about an error.
const WORDS: u64 = 64 << 10;

/// One repository of a registry.
pub struct Registry {
    http: Http,
    /// `https://HOST/v2/PATH`.
    root: Url,
    reference: Reference,
    limits: Limits,
    /// What is asked of the token server.
    scope: String,
    credentials: Found,
    plain: bool,
    /// The value of `Authorization`, once the registry has asked for one.
    word: Mutex<Option<String>>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Reading.
    Pull,
    /// Writing, too.
    Push,
}

/// A manifest that was found; its bytes are those of its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Of the bytes.
    pub digest: Sha256,
    /// As the registry calls it.
    pub media_type: String,
    /// The bytes.
    pub text: Vec<u8>,
}

/// One thing asked of a registry.
struct Request<'a> {
    method: &'static str,
    url: Url,
    headers: Vec<(&'static str, String)>,
    /// Gives what is sent, each time it is sent; which bytes of it.
    body: Option<(Body<'a>, Range<u64>)>,
    /// Bytes that may come back: they take their time.
    answer: u64,
}

/// Gives bytes to send, from this one on.
pub type Body<'a> = &'a dyn Fn(u64) -> Result<Box<dyn Read + 'a>>;

impl Registry {
    /// The repository of `reference`. Without TLS only on this machine, or when `plain` asks
    /// for it. Nothing is sent yet.
    pub fn open(
        reference: &Reference,
        purpose: Purpose,
        plain: bool,
        options: &Options,
    ) -> Result<Self> {
        let Reference { host, path, .. } = reference;
        let plain = plain || reference.is_loopback();
        let root = format!("{}://{host}/v2/{path}", if plain { "http" } else { "https" });
        let root = Url::parse(&root)
            .map_err(|why| Error::new(Kind::Pins, format!("`{reference}`: {why}")))?;
        let actions = if purpose == Purpose::Push { "pull,push" } else { "pull" };
        Ok(Registry {
            http: Http::new(&options.limits, &options.env)?,
            root,
            reference: reference.clone(),
            limits: options.limits.clone(),
            scope: format!("repository:{path}:{actions}"),
            credentials: credentials::find(&options.env, host, path)?,
            plain,
            word: Mutex::default(),
        })
    }

    /// The manifest that is called `name`, a tag or a digest; none when there is none.
    pub fn manifest(&self, name: &str, accept: &[&str]) -> Result<Option<Manifest>> {
        let what = format!("read the manifest `{name}`");
        let accept = ("accept", accept.join(", "));
        let request = Request::get(self.root.below(&format!("manifests/{name}")), vec![accept]);
        let answer = self.call(&what, &request)?;
        match answer.status() {
            200 => {}
            404 => return Ok(None),
            _ => return Err(self.refused(&what, answer)),
        }
        let media_type = answer.header("content-type").unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        let text = self.whole(&what, answer)?;
        let digest = Sha256::of(&text);
        match name.strip_prefix("sha256:") {
            Some(hex) if hex != digest.to_string() => {
                let why = format!("expected sha256 {hex}, found {digest}");
                Err(self.lied(&what, &why))
            }
            _ => Ok(Some(Manifest { digest, media_type, text })),
        }
    }

    /// Whether the blob is there.
    pub fn has(&self, digest: &Sha256, size: u64) -> Result<bool> {
        let what = format!("look for the blob sha256:{digest}");
        let url = self.root.below(&format!("blobs/sha256:{digest}"));
        let answer = self.call(&what, &Request { method: "HEAD", ..Request::get(url, vec![]) })?;
        match (answer.status(), answer.length()) {
            (200, Some(length)) if length != size => {
                let why = format!("expected {size} bytes, the registry says {length}");
                Err(self.lied(&what, &why))
            }
            (200, _) => Ok(true),
            (404, _) => Ok(false),
            _ => Err(self.refused(&what, answer)),
        }
    }

    /// The bytes of a blob as they come: whoever reads them hashes them. Reading fails where
    /// they end early, and never gives more than `size` and one.
    pub fn blob(&self, digest: &Sha256, size: u64) -> Result<Stream> {
        let what = format!("read the blob sha256:{digest}");
        let url = self.root.below(&format!("blobs/sha256:{digest}"));
        let request = Request { answer: size, ..Request::get(url, vec![]) };
        let answer = self.call(&what, &request)?;
        match (answer.status(), answer.length()) {
            (200, Some(length)) if length != size => {
                let why = format!("expected {size} bytes, the registry says {length}");
                Err(self.lied(&what, &why))
            }
            (200, _) => Ok(Stream { body: Box::new(answer.body()), read: 0, size }),
            _ => Err(self.refused(&what, answer)),
        }
    }

    /// The whole of a small blob, verified.
    pub fn small(&self, digest: &Sha256, size: u64) -> Result<Vec<u8>> {
        let what = format!("read the blob sha256:{digest}");
        let mut text = Vec::new();
        if size > MANIFEST {
            return Err(self.error(&what, &format!("{size} bytes are too many for a config")));
        }
        let read = self.blob(digest, size)?.read_to_end(&mut text);
        read.map_err(|cause| self.error(&what, &cause.to_string()))?;
        match Sha256::of(&text) {
            found if found == *digest => Ok(text),
            found => Err(self.lied(&what, &format!("expected sha256 {digest}, found {found}"))),
        }
    }

    /// Whether the registry itself lists what refers to the manifest.
    pub fn keeps_referrers(&self, subject: &Sha256) -> Result<bool> {
        let url = self.root.below(&format!("referrers/sha256:{subject}"));
        let request = Request::get(url, vec![("accept", INDEX.to_owned())]);
        let answer = self.call("list referrers", &request)?;
        let kind = answer.header("content-type").unwrap_or_default();
        Ok(answer.status() == 200 && kind.starts_with(INDEX))
    }

    /// What this is the repository of.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }
}

/// A blob on its way.
pub struct Stream {
    body: Box<dyn Read + Send>,
    read: u64,
    size: u64,
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.size.saturating_add(1).saturating_sub(self.read).min(buffer.len() as u64);
        let stopped = |why: &dyn std::fmt::Display| {
            let why =
                format!("the registry stopped after {} of {} bytes{why}", self.read, self.size);
            io::Error::new(io::ErrorKind::ConnectionAborted, why)
        };
        let count = self.body.read(&mut buffer[..most as usize]);
        let count = count.map_err(|cause| match cause.kind() {
            io::ErrorKind::Interrupted => cause,
            _ => stopped(&format!(": {cause}")),
        })?;
        if count == 0 && most > 0 && self.read < self.size {
            return Err(stopped(&""));
        }
        self.read += count as u64;
        Ok(count)
    }
}

impl Request<'_> {
    fn get(url: Url, headers: Vec<(&'static str, String)>) -> Self {
        Request { method: "GET", url, headers, body: None, answer: MANIFEST }
    }
}

/// How everything is asked.
impl Registry {
    /// Asks until there is an answer that will not change; what it means is the caller's.
    fn call(&self, what: &str, request: &Request<'_>) -> Result<Answer> {
        again(&self.limits, &interrupt::check, &mut || self.attempt(request))
            .map_err(|trouble| self.trouble(what, trouble))
    }

    fn trouble(&self, what: &str, trouble: Trouble) -> Error {
        match trouble {
            Trouble::Local(error) => error,
            Trouble::Remote(failure) if failure.why.contains("certificate") => {
                self.error(what, &failure.why).hint("name your CA bundle in SSL_CERT_FILE")
            }
            Trouble::Remote(failure) => self.error(what, &failure.why),
        }
    }

    /// Asks once, and once more with a token when one is asked for.
    fn attempt(&self, request: &Request<'_>) -> Result<Answer, Trouble> {
        let mut answer = self.follow(request)?;
        if answer.status() == 401 && self.login(&answer)? {
            answer = self.follow(request)?;
        }
        match answer.retry() {
            Retry::No => Ok(answer),
            retry => {
                let why = format!("HTTP status {}{}", answer.said(), words(answer));
                Err(Failure { why, retry }.into())
            }
        }
    }

    /// Redirects are followed by who only reads; a token goes to nobody but the registry.
    fn follow(&self, request: &Request<'_>) -> Result<Answer, Trouble> {
        let reads = matches!(request.method, "GET" | "HEAD");
        let mut url = request.url.clone();
        for _ in 0..=REDIRECTS {
            let mut headers = request.headers.clone();
            if self.root.trusts(&url) {
                let word = self.word.lock().unwrap_or_else(|broken| broken.into_inner());
                headers.extend(word.iter().map(|word| ("authorization", word.clone())));
            }
            let mut stream = match &request.body {
                Some((open, part)) => {
                    let length = part.end - part.start;
                    Some((open(part.start)?.take(length), length))
                }
                None => None,
            };
            let body = stream.as_mut().map(|(stream, size)| (stream as &mut dyn Read, *size));
            let sent = body.as_ref().map_or(0, |(_, size)| *size);
            let total = self.limits.total(sent + request.answer);
            let answer =
                self.http.ask(Ask { method: request.method, url: &url, headers, body, total })?;
            if !(reads && is_redirect(answer.status())) {
                return Ok(answer);
            }
            url = redirected(&url, answer.header("location").unwrap_or_default())?;
        }
        Err(Failure::last(format!("more than {REDIRECTS} redirects, the last to {url}")).into())
    }

    fn whole(&self, what: &str, answer: Answer) -> Result<Vec<u8>> {
        let mut text = Vec::new();
        let read = answer.body().take(MANIFEST + 1).read_to_end(&mut text);
        read.map_err(|cause| self.error(what, &format!("the registry stopped: {cause}")))?;
        match text.len() as u64 > MANIFEST {
            true => Err(self.error(what, &format!("it is longer than {MANIFEST} bytes"))),
            false => Ok(text),
        }
    }
}

/// What a person reads.
impl Registry {
    fn error(&self, what: &str, why: &str) -> Error {
        let name = self.reference.repository();
        Error::new(Kind::Fetch, format!("{name}: cannot {what}: {why}"))
    }

    /// The registry gave or took other bytes than it says.
    fn lied(&self, what: &str, why: &str) -> Error {
        let name = self.reference.repository();
        Error::new(Kind::Digest, format!("{name}: cannot {what}: {why}"))
            .hint("nothing of it was used; ask who runs the registry, or what stands between")
    }

    /// An answer that is a no.
    fn refused(&self, what: &str, answer: Answer) -> Error {
        let (status, said) = (answer.status(), answer.said());
        let error = self.error(what, &format!("HTTP status {said}{}", words(answer)));
        let host = &self.reference.host;
        match status {
            401 | 403 if self.credentials.credentials.is_none() => {
                let looked = self.credentials.looked.iter().map(|path| path.display().to_string());
                let looked = looked.collect::<Vec<_>>().join(", ");
                error
                    .hint(format!("no credentials for {host} are in {looked}"))
                    .hint(format!("run `docker login {host}` or `podman login {host}`"))
            }
            401 | 403 => {
                let file = self.credentials.looked.last().map(|path| path.display().to_string());
                let not = if status == 401 { "are not accepted" } else { "may not do that" };
                error
                    .hint(format!(
                        "the credentials for {host} in {} {not}",
                        file.unwrap_or_default()
                    ))
                    .hint(format!("run `docker login {host}` or `podman login {host}`"))
            }
            404 => error.hint(format!("does {host} have the repository {}?", self.reference.path)),
            413 => error.hint("something between here and the registry limits what may be sent"),
            _ => error,
        }
    }
}

/// What the registry says of an error, for people (distribution specification, "Error
/// Codes").
fn words(answer: Answer) -> String {
    const MOST: usize = 300;
    let mut text = Vec::new();
    let _whatever_came = answer.body().take(WORDS).read_to_end(&mut text);
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(&text) else {
        return String::new();
    };
    let errors = value["errors"].as_array().map_or(&[][..], Vec::as_slice);
    let one = |error: &serde_json::Value| {
        let said =
            [&error["code"], &error["message"]].map(|part| part.as_str().unwrap_or_default());
        said.join(": ").escape_debug().take(MOST).collect::<String>()
    };
    let all = errors.iter().take(3).map(one).collect::<Vec<_>>().join("; ");
    if all.is_empty() { all } else { format!(" ({all})") }
}

#[cfg(test)]
mod tests;
