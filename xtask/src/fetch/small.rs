//! A small file that no lock names: what other machines say.

use std::io::Read as _;
use std::time::Duration;

use super::http::Http;
use super::{Options, Url};
use crate::error::{Error, Kind, Result};

/// How long it may take as a whole.
const TOTAL: Duration = Duration::from_secs(60);

/// The bytes at `url`, at most `most`.
pub fn small(url: &str, most: u64, options: &Options) -> Result<Vec<u8>> {
    let url = Url::parse(url).map_err(|why| Error::new(Kind::Fetch, why))?;
    let failed = |why: String| Error::new(Kind::Fetch, format!("cannot fetch {url}: {why}"));
    if options.offline {
        return Err(failed("--offline forbids it".to_owned()));
    }
    let http = Http::new(&options.limits, &options.env)?;
    let answer = http.get(&url, 0, "*/*", TOTAL).map_err(|failure| failed(failure.why))?;
    let mut bytes = Vec::new();
    let read = answer.body.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|cause| failed(cause.to_string()))?;
    if bytes.len() as u64 > most {
        return Err(failed(format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}
