//! What an image is called in a registry: `registry.example/team/ops:1@sha256:…` (OCI
//! distribution specification v1.1, "Pulling manifests"; the host as docker writes it).
//!
//! The host is always written out: no registry is anybody's default here.

use std::fmt;
use std::str::FromStr;

use crate::digest::Sha256;

/// The name of an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// Host and, if given, port.
    pub host: String,
    /// Of the repository: `team/ops`.
    pub path: String,
    /// What may move.
    pub tag: Option<String>,
    /// What may not.
    pub digest: Option<Sha256>,
}

impl Reference {
    /// The image's repository alone: `registry.example/team/ops`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.host, self.path)
    }

    /// The one name of an image of this repository that never means another.
    pub fn exact(&self, digest: &Sha256) -> String {
        format!("{}@sha256:{digest}", self.repository())
    }

    /// Whether the registry is on this machine: nobody else hears what is said in clear.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

/// Whether a host, perhaps with a port, is this machine.
pub fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let octets: Vec<&str> = name.split('.').collect();
    let v4 = octets.len() == 4 && octets[0] == "127";
    name == "localhost"
        || name == "[::1]"
        || v4 && octets.iter().all(|octet| octet.parse::<u8>().is_ok())
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown = || format!("`{}`", text.escape_debug());
        let (rest, digest) = match text.split_once('@') {
            None => (text, None),
            Some((rest, digest)) => {
                let wrong = || format!("expected `@sha256:` and 64 hex digits, found {}", shown());
                (rest, Some(Sha256::from_name(digest).ok_or_else(wrong)?))
            }
        };
        let whole = || format!("expected HOST/NAME, NAME in lower case, found {}", shown());
        let (host, rest) = rest.split_once('/').ok_or_else(whole)?;
        let (path, tag) = match rest.split_once(':') {
            None => (rest, None),
            Some((path, tag)) if is_tag(tag) => (path, Some(tag.to_owned())),
            Some(_) => return Err(format!("expected a tag behind `:`, found {}", shown())),
        };
        if !is_host(host) {
            return Err(format!(
                "expected the registry's host before the first `/`, found {}: no registry is assumed",
                shown()
            ));
        }
        if path.len() > 255 || !path.split('/').all(is_component) {
            return Err(whole());
        }
        Ok(Reference { host: host.to_owned(), path: path.to_owned(), tag, digest })
    }
}

/// All of it.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)?;
        self.tag.iter().try_for_each(|tag| write!(f, ":{tag}"))?;
        self.digest.iter().try_for_each(|digest| write!(f, "@sha256:{digest}"))
    }
}

/// What docker takes for a host and not for a part of the path.
fn is_host(text: &str) -> bool {
    let named = text == "localhost" || text.contains(['.', ':']);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    named && text.bytes().all(plain) && !text.starts_with([':', '.', '-'])
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = text.split(letter).filter(|between| !between.is_empty());
    let known = |between: &str| {
        [".", "_", "__"].contains(&between) || between.bytes().all(|byte| byte == b'-')
    };
    text.starts_with(letter) && text.ends_with(letter) && separators.into_iter().all(known)
}

/// `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`
fn is_tag(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(letter)
        && text.bytes().all(|byte| letter(byte) || b".-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn what_is_read_is_written_again() {
        for text in [
            "registry.example/ops",
            "localhost/a/b-c/d__e.f:V1.0-x",
            "127.0.0.1:5000/ops:latest",
            "[::1]:5000/ops",
        ] {
            for text in [text.to_owned(), format!("{text}{DIGEST}")] {
                assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
            }
        }
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            "ops",
            "ops:1",
            "team/ops",
            "/ops",
            "registry.example/",
            "registry.example/Ops",
            "registry.example/a//b",
            "registry.example/a/../b",
            "registry.example/a___b",
            "registry.example/-a",
            "registry.example/a:",
            "registry.example/a:-",
            "registry.example/a@sha256:12",
            "registry.example/a@md5:12",
            "re gistry.example/a",
            "https://registry.example/a",
            "registry.example/a\r\nx",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        insta::assert_snapshot!("team/ops".parse::<Reference>().unwrap_err(), @"expected the registry's host before the first `/`, found `team/ops`: no registry is assumed");
        insta::assert_snapshot!("ops".parse::<Reference>().unwrap_err(), @"expected HOST/NAME, NAME in lower case, found `ops`");
    }

    #[test]
    fn this_machine_is_known() {
        let is = |host: &str| format!("{host}/x").parse::<Reference>().unwrap().is_loopback();
        for host in ["localhost", "localhost:1", "127.0.0.1:5000", "127.1.2.3", "[::1]:5"] {
            assert!(is(host), "{host}");
        }
        for host in ["127.0.0.1.example", "localhost.example", "10.0.0.1", "128.0.0.1:5000"] {
            assert!(!is(host), "{host}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text: String) {
            if let Ok(reference) = text.parse::<Reference>() {
                assert_eq!(reference.to_string(), text);
            }
        }
    }
}
