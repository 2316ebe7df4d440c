//! Whether mirror and index answer, without taking anything from them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::http::{Ask, Http};
use super::url::Url;
use super::{Limits, mirrors};
use crate::error::Result;

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// One that was asked.
#[derive(Clone, Debug)]
pub struct Reached {
    /// `Debian mirror`, `Python index`.
    pub what: &'static str,
    /// Its `Date` (RFC 9110, section 5.6.7), or why there is no answer. A server may have none.
    pub answer: Result<Option<String>, String>,
}

/// Asks the mirrors and indexes of these flat pins and this environment.
pub fn reach(pins: &BTreeMap<String, String>, env: &BTreeMap<String, String>) -> Vec<Reached> {
    let suite = pins.get("debian.suite").map_or("stable", String::as_str);
    let package = pins.get("tensorflow.package").map_or("pip", String::as_str);
    let asked = [
        ("Debian mirror", mirrors::debian(pins, env), format!("dists/{suite}/Release")),
        ("Python index", mirrors::python(pins, env), format!("{package}/")),
    ];
    let mut reached = Vec::new();
    for (what, servers, path) in asked {
        match servers {
            Err(error) => reached.push(Reached { what, answer: Err(error.message().to_owned()) }),
            Ok(servers) => reached.extend(
                servers.iter().map(|url| Reached { what, answer: ask(&url.below(&path), env) }),
            ),
        }
    }
    reached
}

fn ask(url: &Url, env: &BTreeMap<String, String>) -> Result<Option<String>, String> {
    if url.scheme() == super::url::Scheme::File {
        return Ok(None); // a folder: whoever reads it says what is missing
    }
    let http = Http::new(&Limits::default(), env).map_err(|error| error.message().to_owned())?;
    let headers = url.authorization().map(|word| ("authorization", word)).into_iter().collect();
    let ask = Ask { method: "GET", url, headers, body: None, total: PATIENCE };
    let answer = http.ask(ask).map_err(|failure| failure.why)?;
    match answer.status() {
        200..=399 => Ok(answer.header("date").map(str::to_owned)),
        _ => Err(format!("it says {}", answer.said())),
    }
}
