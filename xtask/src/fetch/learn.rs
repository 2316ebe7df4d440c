//! Files whose digest nobody knows yet: what TensorFlow's own build asks for, the first time.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use tempfile::NamedTempFile;

use super::http::{Http, Response, Retry, read_failed};
use super::mirrors;
use super::url::Url;
use super::{Limits, Options, index, pip};
use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::interrupt;
use crate::lock::Lock;
use crate::store::Store;

/// Most bytes of one file.
const LARGEST: u64 = 8 << 30;

/// Fetches what no lock names. Threads share it.
pub struct Learner {
    http: Http,
    limits: Limits,
    env: BTreeMap<String, String>,
    pins: BTreeMap<String, String>,
}

/// What became known of a file; it is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// Bytes.
    pub size: u64,
    /// Of the file.
    pub sha256: Sha256,
}

impl Learner {
    /// One that asks the mirrors of `lock` and this environment; never offline.
    pub fn new(lock: &Lock, options: &Options) -> Result<Self> {
        if options.offline {
            let message = "what TensorFlow's build asks for is gathered, and --offline is given";
            return Err(Error::new(Kind::Fetch, message));
        }
        let http = Http::new(&options.limits, &options.env)?;
        let (limits, env) = (options.limits.clone(), options.env.clone());
        Ok(Learner { http, limits, env, pins: lock.pins.clone() })
    }

    /// Brings the file at `url` into the store; `Err` of kind [`Kind::Fetch`] when nobody
    /// serves it.
    pub fn file(&self, url: &Url, store: &Store) -> Result<Learned> {
        let mut answer = self.get(url, "*/*", LARGEST)?;
        let failed = |cause: std::io::Error| Error::new(Kind::Io, format!("{url}: {cause}"));
        let mut file = NamedTempFile::new().map_err(failed)?;
        receive(&mut answer, LARGEST, &mut file).map_err(|error| error.context(url))?;
        let (sha256, size) = store.admit(file.path(), &url.to_string())?;
        Ok(Learned { size, sha256 })
    }

    /// Names, places and digests of the files of `project` (normalised) on the first index
    /// that has it.
    pub fn page(&self, project: &str) -> Result<Vec<(String, Url, Option<Sha256>)>> {
        let mut last = Error::new(Kind::Fetch, format!("no index has `{project}`"));
        for index in mirrors::python(&self.pins, &self.env)? {
            let page = pip::page(&index, project);
            match self.get(&page, index::ACCEPT, self.limits.page).and_then(|a| self.links(a)) {
                Ok(links) => return Ok(links),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn links(&self, answer: Response) -> Result<Vec<(String, Url, Option<Sha256>)>> {
        let (url, kind) = (answer.url.clone(), answer.content_type.clone());
        let mut body = Vec::new();
        let read = answer.body.take(self.limits.page).read_to_end(&mut body);
        read.map_err(|cause| Error::new(Kind::Fetch, format!("{url}: {cause}")))?;
        let links = index::all(&url, &kind, &body)
            .map_err(|why| Error::new(Kind::Fetch, format!("{url}: {why}")))?;
        Ok(links.into_iter().map(|(name, link)| (name, link.url, link.sha256)).collect())
    }

    fn get(&self, url: &Url, accept: &str, most: u64) -> Result<Response> {
        let mut attempt = 0;
        loop {
            interrupt::check()?;
            match self.http.get(url, 0, accept, self.limits.total(most)) {
                Ok(answer) => return Ok(answer),
                Err(failure)
                    if failure.retry == Retry::No || attempt + 1 >= self.limits.attempts =>
                {
                    return Err(Error::new(Kind::Fetch, format!("{url}: {}", failure.why)));
                }
                Err(_) => std::thread::sleep(self.limits.backoff * 2u32.pow(attempt)),
            }
            attempt += 1;
        }
    }
}

/// Writes the body, of at most `most` bytes, to `file`.
fn receive(answer: &mut Response, most: u64, file: &mut NamedTempFile) -> Result<()> {
    let failed = |why: String| Err(Error::new(Kind::Fetch, why));
    let mut buffer = vec![0; 128 << 10];
    let mut size = 0;
    loop {
        interrupt::check()?;
        let count = match answer.body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(cause) => return failed(read_failed(&cause).why),
        };
        size += count as u64;
        if size > most {
            return failed(format!("it has more than {most} bytes"));
        }
        file.write_all(&buffer[..count]).at("write", file.path())?;
    }
    match answer.length {
        Some(length) if length != size => failed(format!("ended after {size} bytes")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_file_is_not_kept() {
        let mut answer = Response {
            status: 200,
            url: Url::parse("https://files.example/x").unwrap(),
            length: None,
            start: None,
            content_type: String::new(),
            body: Box::new(std::io::repeat(7)),
        };
        let mut file = NamedTempFile::new().unwrap();
        let error = receive(&mut answer, 1 << 20, &mut file).unwrap_err();
        insta::assert_snapshot!(error, @"error: it has more than 1048576 bytes");
        assert_eq!(file.path().metadata().unwrap().len(), 1 << 20);
    }
}
