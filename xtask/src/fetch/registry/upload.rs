//! Writing to a registry (OCI distribution specification v1.1, "Push").

use std::io::{Cursor, Read};
use std::ops::Range;

use super::{Registry, Request};
use crate::digest::Sha256;
use crate::error::Result;
use crate::fetch::http::{Answer, Failure};
use crate::fetch::retry::{Attempt, Trouble, again};
use crate::fetch::url::{Scheme, Url};
use crate::interrupt;

/// A blob that is to be sent.
struct Blob<'a> {
    what: String,
    digest: Sha256,
    size: u64,
    open: super::Body<'a>,
}

/// An upload that has begun.
#[derive(Clone)]
struct Upload {
    /// Where it goes on.
    place: Url,
    /// Bytes that the registry has.
    sent: u64,
    /// Bytes of a chunk.
    chunk: u64,
}

impl Registry {
    /// Sends a blob, a big one in chunks ("Pushing a blob in chunks"); `open` gives its bytes.
    /// After a cut the registry is asked how many it has, and the rest follows; one that does
    /// not know gets all of it again.
    pub fn upload(&self, digest: &Sha256, size: u64, open: super::Body<'_>) -> Result<()> {
        let what = format!("send the blob sha256:{digest}");
        let (blob, mut begun) = (Blob { what, digest: *digest, size, open }, None);
        again(&self.limits, &interrupt::check, &mut || self.go_on(&blob, &mut begun))
            .map_err(|trouble| self.trouble(&blob.what, trouble))
    }

    /// One attempt. What it brought is in `begun` for the next one.
    fn go_on(&self, blob: &Blob<'_>, begun: &mut Option<Upload>) -> Result<(), Attempt> {
        let known = match &*begun {
            Some(upload) => self.status(upload, blob)?,
            None => None,
        };
        let resumes = begun.take().is_some();
        let mut upload = match known {
            Some(upload) => upload,
            // The cut may have come after the last byte.
            None if resumes && self.has(&blob.digest, blob.size).map_err(Trouble::from)? => {
                return Ok(());
            }
            None => self.start(blob)?,
        };
        let before = upload.sent;
        self.send(blob, &mut upload).map_err(|trouble| {
            let brought = upload.sent - before;
            *begun = Some(upload).filter(|upload| upload.sent > 0);
            Attempt::from((trouble, brought))
        })
    }

    fn start(&self, blob: &Blob<'_>) -> Result<Upload, Trouble> {
        let answer = self.begin(self.root.below("blobs/uploads/"))?;
        let least = answer.header("oci-chunk-min-length").and_then(|text| text.parse().ok());
        let chunk = self.limits.chunk.max(least.unwrap_or(0)).max(1);
        Ok(Upload { place: self.place(&blob.what, answer)?, sent: 0, chunk })
    }

    /// The upload as the registry knows it; none when it does not, or says what cannot be.
    fn status(&self, upload: &Upload, blob: &Blob<'_>) -> Result<Option<Upload>, Trouble> {
        let answer = self.attempt(&Request::get(upload.place.clone(), Vec::new()))?;
        let sent = received(&answer).filter(|sent| answer.status() == 204 && *sent < blob.size);
        let Some(sent) = sent else { return Ok(None) };
        let place = match answer.header("location") {
            Some(_) => self.follows(&answer)?,
            None => upload.place.clone(),
        };
        Ok(Some(Upload { place, sent, ..*upload }))
    }

    /// Sends what the registry does not have yet.
    fn send(&self, blob: &Blob<'_>, upload: &mut Upload) -> Result<(), Trouble> {
        while blob.size - upload.sent > upload.chunk {
            let part = upload.sent..upload.sent + upload.chunk;
            let answer = self.piece("PATCH", upload.place.clone(), blob, part.clone())?;
            if received(&answer).is_some_and(|count| count != part.end) {
                return Err(Failure::passing("the registry took another part than was sent").into());
            }
            upload.place = self.place(&blob.what, answer)?;
            upload.sent = part.end;
        }
        let place = upload.place.and("digest", &blob.digest.named());
        let answer = self.piece("PUT", place, blob, upload.sent..blob.size)?;
        self.taken(&blob.what, answer, &blob.digest).map(drop)
    }

    fn piece(
        &self,
        method: &'static str,
        url: Url,
        blob: &Blob<'_>,
        part: Range<u64>,
    ) -> Result<Answer, Trouble> {
        let mut headers = vec![("content-type", "application/octet-stream".to_owned())];
        if part != (0..blob.size) {
            let range = format!("{}-{}", part.start, part.end.saturating_sub(1));
            headers.push(("content-range", range));
        }
        let body = Some((blob.open, part));
        let answer = self.attempt(&Request { method, url, headers, body, answer: 0 })?;
        match answer.status() {
            416 => Err(Failure::passing("the registry has other bytes than it said").into()),
            _ => Ok(answer),
        }
    }

    /// Has the registry take a blob of its own repository `from`. `false` when it will not.
    pub fn mount(&self, digest: &Sha256, from: &str) -> Result<bool> {
        let what = format!("take the blob sha256:{digest} from {from}");
        let url = self.root.below("blobs/uploads/");
        let url = url.and("mount", &digest.named()).and("from", from);
        let begun = again(&self.limits, &interrupt::check, &mut || self.begin(url.clone()));
        let answer = begun.map_err(|trouble| self.trouble(&what, trouble))?;
        if answer.status() == 201 {
            return self
                .taken(&what, answer, digest)
                .map(|_| true)
                .map_err(|trouble| self.trouble(&what, trouble));
        }
        // An upload that began instead is not wanted, and ends by itself where it stays.
        if let Ok(place) = self.place(&what, answer) {
            let _unless_refused =
                self.call(&what, &Request { method: "DELETE", ..Request::get(place, Vec::new()) });
        }
        Ok(false)
    }

    /// Sends a manifest under `name`, a tag or its digest. Whether the registry keeps
    /// referrers itself ("Pushing Manifests with Subject").
    pub fn put_manifest(&self, name: &str, media_type: &str, text: &[u8]) -> Result<bool> {
        let what = format!("send the manifest `{name}`");
        let url = self.root.below(&format!("manifests/{name}"));
        let headers = vec![("content-type", media_type.to_owned())];
        let open = |_| Ok(Box::new(Cursor::new(text)) as Box<dyn Read + '_>);
        let body = Some((&open as super::Body<'_>, 0..text.len() as u64));
        let answer = self.call(&what, &Request { method: "PUT", url, headers, body, answer: 0 })?;
        let answer = self.taken(&what, answer, &Sha256::of(text));
        let answer = answer.map_err(|trouble| self.trouble(&what, trouble))?;
        Ok(answer.header("oci-subject").is_some())
    }

    fn begin(&self, url: Url) -> Result<Answer, Trouble> {
        let nothing = |_| Ok(Box::new(std::io::empty()) as Box<dyn Read>);
        let body = Some((&nothing as super::Body<'_>, 0..0));
        self.attempt(&Request { method: "POST", url, headers: Vec::new(), body, answer: 0 })
    }

    /// Where an upload that has begun goes on.
    fn place(&self, what: &str, answer: Answer) -> Result<Url, Trouble> {
        if answer.status() != 202 {
            return Err(self.refused(what, answer).into());
        }
        self.follows(&answer)
    }

    fn follows(&self, answer: &Answer) -> Result<Url, Trouble> {
        let place = answer.header("location").unwrap_or_default();
        let to = self.root.join(place).map_err(|why| {
            Failure::last(format!("the registry names no place to send to: {why}"))
        })?;
        match (self.root.scheme(), to.scheme()) {
            (Scheme::Https, Scheme::Https) | (Scheme::Http, Scheme::Http | Scheme::Https) => Ok(to),
            _ => Err(Failure::last(format!("the registry wants it sent to {to}, in clear")).into()),
        }
    }

    /// Whether what was sent was taken, and as what.
    fn taken(&self, what: &str, answer: Answer, digest: &Sha256) -> Result<Answer, Trouble> {
        if !matches!(answer.status(), 200..=204) {
            return Err(self.refused(what, answer).into());
        }
        match answer.header("docker-content-digest") {
            Some(found) if found != digest.named() => {
                let found = found.escape_debug();
                let why = format!("expected sha256:{digest}, the registry took it as {found}");
                Err(self.lied(what, &why).into())
            }
            _ => Ok(answer),
        }
    }
}

/// Bytes that the registry says it has of an upload: `0-N`, which for none is `0-0` too.
fn received(answer: &Answer) -> Option<u64> {
    let last: u64 =
        answer.header("range")?.trim_start_matches("bytes=").strip_prefix("0-")?.parse().ok()?;
    Some(if last == 0 { 0 } else { last.saturating_add(1) })
}
