//! What the gateway gives out: while it is *recorded*, whatever the network has, each file
//! noted; afterwards what was recorded and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use crate::error::{Error, Kind, Result};
use crate::fetch::{Learned, Learner, Url};
use crate::lock::External;
use crate::root::wheel::normalised;
use crate::store::Store;

/// The files of the vault, and what became of requests for them.
pub struct Shelf {
    store: Store,
    /// Present when it records.
    learner: Option<Learner>,
    /// By what follows `/url/` or by `index/PROJECT/FILE`.
    vault: Mutex<BTreeMap<String, External>>,
    /// Where an index has its files.
    places: Mutex<BTreeMap<String, Url>>,
    /// Asked for and not to be had.
    missing: Mutex<BTreeSet<String>>,
    trouble: Mutex<Option<Error>>,
}

/// What a request is answered with.
pub enum Answer {
    /// A page of the index.
    Page(String),
    /// A file of the store.
    File(External),
    /// Nobody has it.
    Missing,
}

impl Shelf {
    /// One that records.
    pub fn recording(store: &Store, learner: Learner) -> Self {
        Shelf { learner: Some(learner), ..Shelf::replaying(store, &[]) }
    }

    /// One that has `vault`.
    pub fn replaying(store: &Store, vault: &[External]) -> Self {
        let vault = vault.iter().map(|e| (key(&e.from).to_owned(), e.clone())).collect();
        Shelf {
            store: store.clone(),
            learner: None,
            vault: Mutex::new(vault),
            places: Mutex::default(),
            missing: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    /// What was given out or could be, sorted.
    pub fn externals(&self) -> Vec<External> {
        let mut externals: Vec<External> = held(&self.vault).values().cloned().collect();
        externals.sort_by(|a, b| a.from.cmp(&b.from));
        externals
    }

    /// The first thing that went wrong on our side: a damaged file, a full disk.
    pub fn trouble(&self) -> Option<Error> {
        held(&self.trouble).take()
    }

    /// What was asked for and not to be had. A build may ask in several places for one file,
    /// so this is only a cause when it failed.
    pub fn missing(&self) -> Vec<String> {
        held(&self.missing).iter().cloned().collect()
    }

    /// What a request for `path` is answered with.
    pub fn answer(&self, path: &str) -> Answer {
        let answer = self.find(path).unwrap_or_else(|error| {
            held(&self.trouble).get_or_insert(error);
            Answer::Missing
        });
        if matches!(answer, Answer::Missing) {
            let shown = path.strip_prefix("/url/").unwrap_or(path.trim_start_matches('/'));
            held(&self.missing).insert(shown.to_owned());
        }
        answer
    }

    /// The file of `external`, hashed; `None`, noted as trouble, when it is not what it was.
    pub fn verified(&self, external: &External) -> Option<PathBuf> {
        let verified =
            self.store.verified(&external.sha256, &format!("external {}", external.from));
        match verified {
            Ok(path) => Some(path),
            Err(error) => {
                held(&self.trouble).get_or_insert(error);
                None
            }
        }
    }

    fn find(&self, path: &str) -> Result<Answer> {
        if let Some(url) = path.strip_prefix("/url/") {
            return self.url(url);
        }
        match path.strip_prefix("/index/").and_then(|rest| rest.split_once('/')) {
            Some((project, "")) => self.page(&normalised(project)),
            Some((project, file)) => self.file(&normalised(project), file),
            None => Ok(Answer::Missing),
        }
    }

    fn known(&self, key: &str) -> Option<Answer> {
        held(&self.vault).get(key).cloned().map(Answer::File)
    }

    fn url(&self, url: &str) -> Result<Answer> {
        if let Some(known) = self.known(url) {
            return Ok(known);
        }
        let Some(learner) = &self.learner else { return Ok(Answer::Missing) };
        let from = address(url);
        let Ok(parsed) = Url::parse(&from) else { return Ok(Answer::Missing) };
        match learner.file(&parsed, &self.store) {
            Ok(learned) => Ok(Answer::File(self.note(url, from, learned))),
            Err(error) if error.kind() == Kind::Fetch => Ok(Answer::Missing),
            Err(error) => Err(error),
        }
    }

    fn page(&self, project: &str) -> Result<Answer> {
        let mut rows = BTreeMap::new();
        match &self.learner {
            None => {
                let prefix = format!("index/{project}/");
                for external in held(&self.vault).values() {
                    if let Some(file) = external.from.strip_prefix(&prefix) {
                        rows.insert(file.to_owned(), Some(external.sha256));
                    }
                }
            }
            Some(learner) => match learner.page(project) {
                Ok(links) => {
                    for (name, url, sha256) in links {
                        held(&self.places).insert(format!("index/{project}/{name}"), url);
                        rows.insert(name, sha256);
                    }
                }
                Err(error) if error.kind() == Kind::Fetch => {}
                Err(error) => return Err(error),
            },
        }
        if rows.is_empty() {
            return Ok(Answer::Missing);
        }
        let mut text = String::from("<!DOCTYPE html>\n");
        for (name, sha256) in rows {
            let fragment = sha256.map(|digest| format!("#sha256={digest}")).unwrap_or_default();
            let _ = writeln!(text, "<a href=\"/index/{project}/{name}{fragment}\">{name}</a>");
        }
        Ok(Answer::Page(text))
    }

    fn file(&self, project: &str, file: &str) -> Result<Answer> {
        let from = format!("index/{project}/{file}");
        if let Some(known) = self.known(&from) {
            return Ok(known);
        }
        let Some(learner) = &self.learner else { return Ok(Answer::Missing) };
        let place = held(&self.places).get(&from).cloned();
        let Some(url) = place else { return Ok(Answer::Missing) };
        match learner.file(&url, &self.store) {
            Ok(learned) => Ok(Answer::File(self.note(&from.clone(), from, learned))),
            Err(error) if error.kind() == Kind::Fetch => Ok(Answer::Missing),
            Err(error) => Err(error),
        }
    }

    fn note(&self, key: &str, from: String, learned: Learned) -> External {
        let external = External { from, size: learned.size, sha256: learned.sha256 };
        held(&self.vault).insert(key.to_owned(), external.clone());
        external
    }
}

/// Where `HOST/PATH` is asked for. What comes becomes the truth of the lock: nobody but this
/// machine's own servers, which have no certificate, is believed without one.
fn address(url: &str) -> String {
    let host = url.split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let own = ["127.0.0.1", "localhost", "[::1]"].contains(&name.map_or(host, |(name, _)| name));
    format!("{}://{url}", if own { "http" } else { "https" })
}

/// The key of what is from there: a URL without its scheme, which Bazel does not tell.
fn key(from: &str) -> &str {
    from.split_once("://").map_or(from, |(_, rest)| rest)
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|broken| broken.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_believed_without_a_certificate() {
        for (url, expected) in [
            ("files.example/a.tar.gz", "https://files.example/a.tar.gz"),
            ("files.example:80/a", "https://files.example:80/a"),
            ("localhost.example:80/a", "https://localhost.example:80/a"),
            ("127.0.0.1:8000/a", "http://127.0.0.1:8000/a"),
            ("localhost:8000/a", "http://localhost:8000/a"),
            ("localhost/a", "http://localhost/a"),
            ("[::1]:8000/a", "http://[::1]:8000/a"),
        ] {
            assert_eq!(address(url), expected);
        }
    }
}
