//! One download: whatever the mirrors do, only the right bytes come into the store.

use std::fmt::Write as _;
use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};

use super::http::{Failure, Http, Response, read_failed};
use super::mirrors::Mirrors;
use super::plan::{Download, Origin};
use super::retry::{Attempt, Trouble, again};
use super::url::Url;
use super::{Limits, index, pip};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::progress::Progress;
use crate::store::{Partial, Store};

/// All that a download needs; workers share it.
pub(super) struct Downloader<'a> {
    pub http: &'a Http,
    pub mirrors: &'a Mirrors,
    pub store: &'a Store,
    pub limits: &'a Limits,
    pub progress: &'a Progress,
    /// Another worker failed: there is no use in going on.
    pub stop: &'a AtomicBool,
}

/// A URL, or an index page, that did not do, for people.
type Tried = Vec<(String, String)>;

impl Downloader<'_> {
    /// Brings `item` into the store, from the first mirror that has it.
    pub fn fetch(&self, item: &Download) -> Result<()> {
        let Some(mut partial) = self.store.partial(&item.sha256, item.size, &item.what)? else {
            self.progress.skip(item.size);
            return Ok(());
        };
        self.progress.skip(partial.length());
        let mut tried = Tried::new();
        let found = match &item.origin {
            Origin::Url(url) => self.first(&mut tried, [url.clone()], item, &mut partial),
            Origin::Pool(path) => {
                let urls = self.mirrors.debian.iter().map(|mirror| mirror.below(path));
                self.first(&mut tried, urls, item, &mut partial)
            }
            Origin::Index { project, file } => {
                let mut found = false;
                for index in &self.mirrors.python {
                    let page = pip::page(index, project);
                    let Some(url) = self.look_up(&mut tried, &page, file, item)? else { continue };
                    found = self.first(&mut tried, [url], item, &mut partial)?;
                    if found {
                        break;
                    }
                }
                Ok(found)
            }
        }?;
        if found { partial.commit().map(drop) } else { Err(failed(item, &tried)) }
    }

    /// Whether one of `urls` served all of it.
    fn first(
        &self,
        tried: &mut Tried,
        urls: impl IntoIterator<Item = Url>,
        item: &Download,
        partial: &mut Partial,
    ) -> Result<bool> {
        for url in urls {
            match self.serve(&url, item, partial) {
                Ok(()) => return Ok(true),
                Err(Trouble::Local(error)) => return Err(error),
                Err(Trouble::Remote(failure)) => tried.push((url.to_string(), failure.why)),
            }
        }
        Ok(false)
    }

    /// The URL of `file` as the page of an index has it.
    fn look_up(
        &self,
        tried: &mut Tried,
        page: &Url,
        file: &str,
        item: &Download,
    ) -> Result<Option<Url>> {
        let mut look = || -> Result<Url, Trouble> {
            let answer =
                self.http.get(page, 0, index::ACCEPT, self.limits.total(self.limits.page))?;
            let (url, kind) = (answer.url.clone(), answer.content_type.clone());
            let body = self.read_page(answer)?;
            let link = index::find(&url, &kind, &body, file).map_err(Failure::last)?;
            match link.sha256 {
                Some(found) if found != item.sha256 => Err(Failure::last(format!(
                    "it lists `{file}` with another digest: expected sha256 {}, found {found}",
                    item.sha256
                ))
                .into()),
                _ => Ok(link.url),
            }
        };
        match self.again(&mut look) {
            Ok(url) => Ok(Some(url)),
            Err(Trouble::Local(error)) => Err(error),
            Err(Trouble::Remote(failure)) => {
                tried.push((page.to_string(), failure.why));
                Ok(None)
            }
        }
    }

    /// Bytes of the file at `url`, as its server says.
    pub fn size(&self, url: &Url) -> Result<u64> {
        let mut ask = || -> Result<u64, Trouble> {
            let answer = self.http.get(url, 0, "*/*", self.limits.total(0))?;
            Ok(answer.length.ok_or_else(|| Failure::last("its server does not say its size"))?)
        };
        self.again(&mut ask).map_err(|trouble| match trouble {
            Trouble::Local(error) => error,
            Trouble::Remote(failure) => {
                Error::new(Kind::Fetch, format!("cannot ask for {url}: {}", failure.why))
            }
        })
    }

    fn read_page(&self, answer: Response) -> Result<Vec<u8>, Trouble> {
        let mut body = Vec::new();
        answer
            .body
            .take(self.limits.page + 1)
            .read_to_end(&mut body)
            .map_err(|e| read_failed(&e))?;
        self.check()?;
        if body.len() as u64 > self.limits.page {
            return Err(Failure::last(format!(
                "the page is longer than {} bytes",
                self.limits.page
            ))
            .into());
        }
        Ok(body)
    }

    /// Fills `partial` from `url`. Bytes of an earlier run or another mirror are gone on
    /// with; where the whole then has the wrong digest, it starts over, once.
    fn serve(&self, url: &Url, item: &Download, partial: &mut Partial) -> Result<(), Trouble> {
        let mut resumed = partial.length() > 0;
        let mut started_over = false;
        loop {
            self.again(&mut || {
                let before = partial.length();
                let outcome = self.attempt(url, item, partial);
                resumed |= before > 0 && partial.length() > before;
                outcome.map_err(|trouble| (trouble, partial.length().saturating_sub(before)))
            })?;
            let Some(found) = partial.mismatch() else { return Ok(()) };
            self.start_over(partial)?;
            if !resumed || started_over {
                let why = format!("expected sha256 {}, found {found}", item.sha256);
                return Err(Failure::last(why).into());
            }
            (started_over, resumed) = (true, false);
        }
    }

    fn attempt(&self, url: &Url, item: &Download, partial: &mut Partial) -> Result<(), Trouble> {
        let missing = item.size - partial.length();
        if missing == 0 {
            return Ok(()); // killed between the last byte and the rename
        }
        let total = self.limits.total(missing);
        let mut answer = self.http.get(url, partial.length(), "*/*", total)?;
        self.place(&answer, item, partial)?;
        self.receive(&mut answer, item, partial)
    }

    /// Makes `partial` end where the body of `answer` begins.
    fn place(
        &self,
        answer: &Response,
        item: &Download,
        partial: &mut Partial,
    ) -> Result<(), Trouble> {
        let from = partial.length();
        match (answer.status, answer.start) {
            (200, _) => self.start_over(partial)?,
            (206, Some(start)) if start == from => {}
            _ => {
                self.start_over(partial)?;
                let why =
                    format!("HTTP status {}, which does not go on at byte {from}", answer.status);
                return Err(Failure::passing(why).into());
            }
        }
        let expected = item.size - partial.length();
        match answer.length {
            Some(length) if length != expected => {
                self.start_over(partial)?;
                Err(Failure::last(format!(
                    "expected {expected} bytes, found {length} ({})",
                    answer.content_type
                ))
                .into())
            }
            _ => Ok(()),
        }
    }

    fn receive(
        &self,
        answer: &mut Response,
        item: &Download,
        partial: &mut Partial,
    ) -> Result<(), Trouble> {
        let mut buffer = vec![0; 128 << 10];
        loop {
            self.check()?;
            let count = match answer.body.read(&mut buffer) {
                Ok(0) if partial.is_full() => return Ok(()),
                Ok(0) => {
                    let why = format!("ended after {} of {} bytes", partial.length(), item.size);
                    return Err(Failure::passing(why).into());
                }
                Ok(count) => count,
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(cause) => {
                    let Failure { why, retry } = read_failed(&cause);
                    let why =
                        format!("stopped after {} of {} bytes: {why}", partial.length(), item.size);
                    return Err(Failure { why, retry }.into());
                }
            };
            if partial.length() + count as u64 > item.size {
                self.start_over(partial)?;
                let why =
                    format!("expected {} bytes, found more ({})", item.size, answer.content_type);
                return Err(Failure::last(why).into());
            }
            partial.write(&buffer[..count])?;
            self.progress.add(count as u64);
        }
    }

    fn start_over(&self, partial: &mut Partial) -> Result<()> {
        self.progress.take_back(partial.length());
        partial.restart()
    }
}

/// Retries.
impl Downloader<'_> {
    fn again<T, E: Into<Attempt>>(
        &self,
        attempt: &mut impl FnMut() -> Result<T, E>,
    ) -> Result<T, Trouble> {
        again(self.limits, &|| self.check(), attempt)
    }

    fn check(&self) -> Result<()> {
        interrupt::check()?;
        match self.stop.load(Ordering::Relaxed) {
            true => Err(Error::new(Kind::Interrupted, "stopped, because another download failed")),
            false => Ok(()),
        }
    }
}

/// The error that names the file, and for each URL what was expected and what was found.
fn failed(item: &Download, tried: &Tried) -> Error {
    let mut message = format!("cannot fetch {}", item.what);
    if tried.is_empty() {
        message += ": nobody to ask";
    }
    for (url, why) in tried {
        let _infallible = write!(message, "\n  {url}: {why}");
    }
    let any = |word: &str| tried.iter().any(|(_, why)| why.contains(word));
    let kind = if any("expected sha256") { Kind::Digest } else { Kind::Fetch };
    let error = Error::new(kind, message);
    if any("certificate") {
        return error.hint("name your CA bundle in SSL_CERT_FILE");
    }
    let gone = any("HTTP status 404") || any("HTTP status 410") || any("is not among");
    let error = if gone {
        error.hint("what is no longer served is replaced by `cargo xtask update`")
    } else {
        error.hint("run the same command again: what came so far is kept")
    };
    match item.origin {
        Origin::Url(_) => error,
        Origin::Pool(_) => error.hint("LOCKSTEP_DEBIAN_MIRROR names another mirror"),
        Origin::Index { .. } => error.hint("LOCKSTEP_PYTHON_INDEX names another index"),
    }
}
