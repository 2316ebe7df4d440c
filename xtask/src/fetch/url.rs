//! URLs of mirrors and indexes (RFC 3986, as much as downloads need).
//!
//! A user name and password in a URL are used and never shown: neither [`std::fmt::Display`]
//! nor [`std::fmt::Debug`] has them, nor a query, where signed links keep theirs.

use std::fmt;

use crate::base64::STANDARD;

/// An absolute `http`, `https` or `file` URL.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Url {
    scheme: Scheme,
    /// Before the `@`, still percent-encoded.
    userinfo: Option<String>,
    /// Lower case, with the port if one was given; empty for a file.
    host: String,
    /// Begins with `/`.
    path: String,
    query: Option<String>,
}

/// How a URL's bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// In clear.
    Http,
    /// Through TLS.
    Https,
    /// From this machine's disk.
    File,
}

impl Url {
    /// Parses an absolute URL; the error says what is wrong with it, without repeating it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("a URL has no spaces or control characters".to_owned());
        }
        let (scheme, rest) =
            text.split_once("://").ok_or("expected `http://`, `https://` or `file://`")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "file" => Scheme::File,
            other => return Err(format!("expected http, https or file, found `{other}`")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo.to_owned()), host),
            None => (None, authority),
        };
        check_host(scheme, host)?;
        let (path, query) = split_query(tail);
        let path = if path.is_empty() { "/" } else { path };
        Ok(Url { scheme, userinfo, host: host.to_ascii_lowercase(), path: path.to_owned(), query })
    }

    /// The URL that `reference` means on the page at this one (RFC 3986, section 5.2). The
    /// password goes along within one host only.
    pub fn join(&self, reference: &str) -> Result<Self, String> {
        let reference = reference.trim();
        let first = reference.find([':', '/', '?', '#']);
        if first.is_some_and(|at| reference[at..].starts_with(':')) {
            return Url::parse(reference).map(|url| url.with_password_of(self));
        }
        if reference.starts_with("//") {
            let absolute = format!("{}:{reference}", self.scheme.name());
            return Url::parse(&absolute).map(|url| url.with_password_of(self));
        }
        if reference.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err("a URL has no spaces or control characters".to_owned());
        }
        let reference = reference.split('#').next().unwrap_or_default();
        let (path, query) = split_query(reference);
        let mut url = self.clone();
        if !path.is_empty() {
            let folder = &self.path[..=self.path.rfind('/').unwrap_or(0)];
            let joined =
                if path.starts_with('/') { path.to_owned() } else { format!("{folder}{path}") };
            url.path = without_dots(&joined);
        }
        if !path.is_empty() || query.is_some() {
            url.query = query;
        }
        Ok(url)
    }

    /// The URL of `path` below this one, as a folder: bytes that a URL cannot have are
    /// encoded.
    pub fn below(&self, path: &str) -> Self {
        let mut url = self.clone();
        url.query = None;
        url.path =
            format!("{}/{}", self.path.trim_end_matches('/'), encode(path, b"-._~/+:!,=@()"));
        url
    }

    /// This URL with one more pair in its query; both are encoded.
    pub(super) fn and(&self, name: &str, value: &str) -> Self {
        let pair = format!("{}={}", encode(name, b"-._~"), encode(value, b"-._~:/,"));
        let mut url = self.clone();
        url.query = Some(match url.query {
            Some(query) => format!("{query}&{pair}"),
            None => pair,
        });
        url
    }

    /// This URL without its query.
    pub(super) fn bare(&self) -> Self {
        Url { query: None, ..self.clone() }
    }

    /// Its query alone, which may hold secrets.
    pub(super) fn query(&self) -> &str {
        self.query.as_deref().unwrap_or_default()
    }

    /// Whether a secret for this URL's host may be sent to `other`.
    pub(super) fn trusts(&self, other: &Url) -> bool {
        (self.scheme, &self.host) == (other.scheme, &other.host)
    }

    /// How its bytes come.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Host and, if given, port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What an HTTP client asks for: the URL without user name and password.
    pub(super) fn request(&self) -> String {
        let query = self.query.as_ref().map_or(String::new(), |query| format!("?{query}"));
        format!("{}://{}{}{query}", self.scheme.name(), self.host, self.path)
    }

    /// This URL's path and query, asked of a proxy.
    pub(super) fn request_at(&self, proxy: &Url) -> String {
        let asked = Url { scheme: proxy.scheme, host: proxy.host.clone(), ..self.clone() };
        asked.request()
    }

    /// The value of an `Authorization` header (RFC 7617), if the URL has a user name.
    pub(super) fn authorization(&self) -> Option<String> {
        let userinfo = decode(self.userinfo.as_ref()?);
        let pair =
            if userinfo.contains(&b':') { userinfo } else { [userinfo, b":".to_vec()].concat() };
        Some(format!("Basic {}", base64(&pair)))
    }

    /// The decoded path of a `file` URL.
    pub(super) fn file_path(&self) -> Vec<u8> {
        decode(&self.path)
    }

    /// All of it, for a program that is to use it: not for messages.
    pub fn with_password(&self) -> String {
        let userinfo = self.userinfo.as_ref().map_or(String::new(), |text| format!("{text}@"));
        self.request().replacen("://", &format!("://{userinfo}"), 1)
    }

    /// The last part of the path, decoded.
    pub fn file_name(&self) -> String {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        String::from_utf8_lossy(&decode(name)).into_owned()
    }

    fn with_password_of(mut self, base: &Url) -> Self {
        if self.userinfo.is_none() && self.trusts(base) {
            self.userinfo.clone_from(&base.userinfo);
        }
        self
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = if self.query.is_some() { "?…" } else { "" };
        write!(f, "{}://{}{}{query}", self.scheme.name(), self.host, self.path)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::File => "file",
        }
    }
}

fn check_host(scheme: Scheme, host: &str) -> Result<(), String> {
    match scheme {
        Scheme::File if host.is_empty() || host == "localhost" => Ok(()),
        Scheme::File => Err(format!("a file URL names no other machine, found `{host}`")),
        _ if host.is_empty() || host.starts_with(':') => Err("it names no host".to_owned()),
        _ => Ok(()),
    }
}

fn split_query(tail: &str) -> (&str, Option<String>) {
    match tail.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (tail, None),
    }
}

/// `/a/./b/../c` is `/a/c`; `..` stops at the top.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut parts = path.split('/').skip(1).peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(part),
        }
        if last && matches!(part, "." | "..") {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

fn decode(text: &str) -> Vec<u8> {
    let hex = |b: u8| (b as char).to_digit(16).map(|digit| digit as u8);
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair =
            bytes.get(at + 1).copied().and_then(hex).zip(bytes.get(at + 2).copied().and_then(hex));
        match (bytes[at], pair) {
            (b'%', Some((high, low))) => {
                out.push(high << 4 | low);
                at += 3;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Percent-encodes all but letters, digits and `plain`.
fn encode(text: &str, plain: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            true => out.push(byte as char),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// RFC 4648, section 4, padded.
pub(super) fn base64(bytes: &[u8]) -> String {
    let mut text = STANDARD.encode(bytes);
    text.extend(std::iter::repeat_n('=', text.len().next_multiple_of(4) - text.len()));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_password_is_used_and_never_shown() {
        let url_of = url;
        let url = url("https://me:s%40c:ret@Mirror.Example:8443/simple/?token=s%40c");
        for shown in [url.to_string(), format!("{url:?}")] {
            assert_eq!(shown, "https://mirror.example:8443/simple/?…");
        }
        assert_eq!(url.request(), "https://mirror.example:8443/simple/?token=s%40c");
        assert_eq!(url.authorization().unwrap(), format!("Basic {}", base64(b"me:s@c:ret")));
        assert_eq!(
            url_of("http://token@mirror.example").authorization().unwrap(),
            "Basic dG9rZW46"
        );
    }

    #[test]
    fn a_password_stays_with_its_host() {
        let base = url("https://me:pass@mirror.example/simple/x/");
        for same in ["../y", "/z", "//mirror.example/z", "https://mirror.example/z"] {
            assert!(base.join(same).unwrap().authorization().is_some(), "{same}");
        }
        for other in
            ["//other.example/z", "https://mirror.example:444/z", "http://mirror.example/z"]
        {
            assert!(base.join(other).unwrap().authorization().is_none(), "{other}");
        }
    }

    #[test]
    fn references_are_joined() {
        let base = url("https://mirror.example/simple/numpy/?q=1");
        for (reference, whole) in [
            ("../../packages/a.whl#sha256=0", "/packages/a.whl"),
            ("a.whl", "/simple/numpy/a.whl"),
            ("./a.whl", "/simple/numpy/a.whl"),
            ("../../../../a", "/a"),
            ("/a/b/..", "/a/"),
            ("", "/simple/numpy/?…"),
            ("?x", "/simple/numpy/?…"),
            ("./x:y.whl", "/simple/numpy/x:y.whl"),
        ] {
            let joined = base.join(reference).unwrap().to_string();
            assert_eq!(joined, format!("https://mirror.example{whole}"), "{reference}");
        }
        assert_eq!(base.join("file:///etc/passwd").unwrap().scheme(), Scheme::File);
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in [
            "",
            "mirror.example",
            "ftp://a",
            "https://",
            "https:///a",
            "http://:80/",
            "http://a b/",
            "http://a/\r\nX: y",
            "file://host/a",
            "javascript:alert(1)",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
        assert!(url("http://mirror.example/").join("a\nb").is_err());
        assert!(url("http://mirror.example/").join("javascript:alert(1)").is_err());
        assert!(url("http://mirror.example/").join("x:y.whl").is_err());
    }

    #[test]
    fn a_pool_path_is_encoded() {
        let mirror = url("http://mirror.example/debian/");
        assert_eq!(
            mirror.below("pool/main/g/g++/a_1%3a2 é.deb").request(),
            "http://mirror.example/debian/pool/main/g/g++/a_1%253a2%20%C3%A9.deb"
        );
        assert_eq!(mirror.below("a b").file_name(), "a b");
        assert_eq!(url("file:///a%20b").file_path(), b"/a b");
    }

    #[test]
    fn a_query_grows_by_encoded_pairs() {
        let scope =
            url("https://mirror.example/token?a=b").and("scope", "repository:a/b:pull,push");
        assert_eq!(
            scope.and("x", "1&2 +").request(),
            "https://mirror.example/token?a=b&scope=repository:a/b:pull,push&x=1%262%20%2B"
        );
    }

    #[test]
    fn base64_pads() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn anything_is_parsed_and_joined_or_refused(base: String, reference: String) {
            if let Ok(url) = Url::parse(&base) {
                url.join(&reference).ok();
            }
            url("http://mirror.example/a/b?c").join(&reference).ok();
            url("http://mirror.example/a/b?c").below(&reference);
        }
    }
}
