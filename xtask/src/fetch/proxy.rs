//! Proxies, from the usual environment variables.
//!
//! `https` goes through a tunnel (CONNECT, or SOCKS). Plain `http` goes through an HTTP proxy
//! with the whole URL in the request line (RFC 9112, section 3.2.2), as caching proxies
//! expect; ureq knows tunnels only, so [`WholeUrl`] writes that line.

use std::collections::BTreeMap;

use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::url::{Scheme, Url};
use crate::error::{Error, Kind, Result};

/// How to reach a host.
#[derive(Clone)]
pub(super) enum Route {
    /// Straight.
    Direct,
    /// Through a tunnel.
    Tunnel(ureq::Proxy),
    /// By asking this proxy for the whole URL.
    Forward(Url),
}

/// The proxies of the environment.
pub(super) struct Proxies {
    http: Route,
    https: Route,
    /// Hosts that are reached straight.
    straight: Vec<String>,
}

impl Proxies {
    /// Reads `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy`, or their upper-case
    /// twins.
    pub fn from_env(env: &BTreeMap<String, String>) -> Result<Self> {
        let find = |name: &str| {
            let both = [name.to_owned(), name.to_uppercase()];
            both.into_iter().find_map(|name| {
                let value = env.get(&name).filter(|value| !value.trim().is_empty())?;
                Some((name, value.trim().to_owned()))
            })
        };
        let route = |name: &str, scheme| match find(name).or_else(|| find("all_proxy")) {
            Some((name, value)) => route(&name, &value, scheme),
            None => Ok(Route::Direct),
        };
        let straight = find("no_proxy").map(|(_, list)| list).unwrap_or_default();
        let separator = |c: char| c == ',' || c.is_whitespace();
        Ok(Proxies {
            http: route("http_proxy", Scheme::Http)?,
            https: route("https_proxy", Scheme::Https)?,
            straight: straight.split(separator).map(str::to_ascii_lowercase).collect(),
        })
    }

    /// How to reach the host of `url`.
    pub fn route(&self, url: &Url) -> Route {
        let host = url.host();
        if self.straight.iter().any(|entry| matches(entry, host)) {
            return Route::Direct;
        }
        self.of_scheme(url.scheme()).clone()
    }

    /// How to reach hosts that no exception is made for.
    pub fn of_scheme(&self, scheme: Scheme) -> &Route {
        match scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
            Scheme::File => &Route::Direct,
        }
    }
}

fn route(name: &str, value: &str, scheme: Scheme) -> Result<Route> {
    let whole = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    let wrong = || {
        Error::new(Kind::Fetch, format!("the environment's `{name}` is not the URL of a proxy"))
            .hint(format!("set `{name}` to http://HOST:PORT, or unset it"))
    };
    if scheme == Scheme::Http && whole.starts_with("http://") {
        return Url::parse(&whole).map(Route::Forward).map_err(|_| wrong());
    }
    ureq::Proxy::new(&whole).map(Route::Tunnel).map_err(|_| wrong())
}

/// Whether an entry of `no_proxy` means `host`: `*`, a host, a domain with all below it, each
/// perhaps with a port.
fn matches(entry: &str, host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
    let name = name.map_or(host, |(name, _)| name);
    let domain = entry.trim_start_matches('*').trim_start_matches('.');
    let is = |host: &str| {
        host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    };
    entry == "*" || !domain.is_empty() && (is(name) || is(host))
}

/// A connector for a proxy's own address: requests carry the whole URL, whose host is that
/// of their `Host` header.
#[derive(Debug)]
pub(super) struct WholeUrl;

impl<In: Transport> Connector<In> for WholeUrl {
    type Out = WholeUrlTransport<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        Ok(chained.map(WholeUrlTransport))
    }
}

/// See [`WholeUrl`].
#[derive(Debug)]
pub(super) struct WholeUrlTransport<T>(T);

impl<T: Transport> Transport for WholeUrlTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.0.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let Some(request) = with_whole_url(&self.0.buffers().output()[..amount]) else {
            return self.0.transmit_output(amount, timeout);
        };
        let room = self.0.buffers().output().len();
        for piece in request.chunks(room) {
            self.0.buffers().output()[..piece.len()].copy_from_slice(piece);
            self.0.transmit_output(piece.len(), timeout)?;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.0.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.0.is_open()
    }
}

/// `GET /path` of `host: h` as `GET http://h/path`; `None` for what is no request's head.
fn with_whole_url(head: &[u8]) -> Option<Vec<u8>> {
    let end = head.windows(4).position(|end| end == b"\r\n\r\n")?;
    let (text, body) = head.split_at(end);
    let text = std::str::from_utf8(text).ok()?;
    let (method, rest) = text.split_once(" /")?;
    let is_head = ["GET", "HEAD", "PATCH", "POST", "PUT"].contains(&method)
        && rest.lines().next()?.ends_with(" HTTP/1.1");
    let host = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    })?;
    is_head.then(|| [format!("{method} http://{host}/{rest}").as_bytes(), body].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(env: &[(&str, &str)], url: &str) -> String {
        let env = env.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        match Proxies::from_env(&env).map(|proxies| proxies.route(&Url::parse(url).unwrap())) {
            Ok(Route::Direct) => "direct".to_owned(),
            Ok(Route::Tunnel(proxy)) => format!("tunnel {}:{}", proxy.host(), proxy.port()),
            Ok(Route::Forward(proxy)) => format!("forward {proxy}"),
            Err(error) => error.message().to_owned(),
        }
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let env = [
            ("http_proxy", "me:pass@cache.example:3142"),
            ("HTTPS_PROXY", "http://me:pass@proxy.example:8080"),
            ("no_proxy", "localhost, .corp.example,alone.example:80"),
        ];
        assert_eq!(shown(&env, "http://mirror.example/"), "forward http://cache.example:3142/");
        assert_eq!(shown(&env, "https://mirror.example/"), "tunnel proxy.example:8080");
        for straight in [
            "http://localhost:80/",
            "https://a.corp.example/",
            "https://corp.example/",
            "http://alone.example:80/",
        ] {
            assert_eq!(shown(&env, straight), "direct", "{straight}");
        }
        for other in ["http://alone.example:81/", "http://xcorp.example/"] {
            assert_eq!(shown(&env, other), "forward http://cache.example:3142/", "{other}");
        }
        assert_eq!(
            shown(&[("ALL_PROXY", "socks5h://s.example")], "http://mirror.example/"),
            "tunnel s.example:1080"
        );
        assert_eq!(
            shown(&[("http_proxy", ""), ("no_proxy", "*")], "http://mirror.example/"),
            "direct"
        );
        assert_eq!(
            shown(
                &[("all_proxy", "http://p.example"), ("no_proxy", "*")],
                "http://mirror.example/"
            ),
            "direct"
        );
    }

    #[test]
    fn a_wrong_proxy_is_named_without_its_password() {
        let wrong =
            shown(&[("https_proxy", "gopher://me:pass@proxy.example")], "https://mirror.example/");
        assert_eq!(wrong, "the environment's `https_proxy` is not the URL of a proxy");
    }

    #[test]
    fn a_request_head_gets_the_whole_url() {
        let head = b"GET /a?b HTTP/1.1\r\nhost: mirror.example:80\r\nuser-agent: x\r\n\r\n";
        let whole = with_whole_url(head).unwrap();
        assert!(whole.starts_with(
            b"GET http://mirror.example:80/a?b HTTP/1.1\r\nhost: mirror.example:80\r\n"
        ));
        let head = b"PUT /a HTTP/1.1\r\nhost: h:80\r\n\r\nPUT /\xff\r\n";
        let whole = with_whole_url(head).unwrap();
        assert_eq!(whole, b"PUT http://h:80/a HTTP/1.1\r\nhost: h:80\r\n\r\nPUT /\xff\r\n");
        for other in [&b"body"[..], b"GET /", b"PUT /a\r\nhost: h\r\n\r\n"] {
            assert_eq!(with_whole_url(other), None);
        }
    }
}
