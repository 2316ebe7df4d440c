//! The machine's apt sources (sources.list(5)): which Debian mirrors it uses.
//!
//! Both formats are read, one-line and deb822. What is no plain mirror (cdrom, mirror lists,
//! tor, variables in the URI) is passed over.

use std::path::Path;

use super::url::{Scheme, Url};

/// One suite of one mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub mirror: Url,
    pub suite: String,
}

/// The sources in `text`, the file at `path` or nowhere: `.sources` files are deb822, all
/// others one-line.
pub(super) fn parse(path: &Path, text: &str) -> Vec<Source> {
    match path.extension().is_some_and(|extension| extension == "sources") {
        true => stanzas(text).iter().flat_map(of_stanza).collect(),
        false => text.lines().flat_map(of_line).collect(),
    }
}

/// The mirrors to ask for packages of `suite`: first those that carry it, then those that
/// carry its relatives (`bookworm-security`); where there are none, all: one pool often
/// serves several suites.
pub(super) fn mirrors(sources: &[Source], suite: &str) -> Vec<Url> {
    let carries = |exact: bool| {
        move |source: &&Source| {
            let relative = source.suite.strip_prefix(suite).and_then(|rest| rest.chars().next());
            if exact {
                source.suite == suite
            } else {
                relative == Some('-') || relative == Some('/')
            }
        }
    };
    let mut found: Vec<&Source> = sources.iter().filter(carries(true)).collect();
    found.extend(sources.iter().filter(carries(false)));
    if found.is_empty() {
        found.extend(sources);
    }
    let mut mirrors: Vec<Url> = Vec::new();
    for source in found {
        if !mirrors.contains(&source.mirror) {
            mirrors.push(source.mirror.clone());
        }
    }
    mirrors
}

/// `deb [ option=value … ] uri suite component…`
fn of_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb").filter(|rest| rest.starts_with([' ', '\t']))?.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace();
    source(words.next()?, words.next()?)
}

fn source(uri: &str, suite: &str) -> Option<Source> {
    let uri = uri.strip_prefix("file:").filter(|path| !path.starts_with("//")).map_or_else(
        || uri.to_owned(),
        |path| format!("file://{path}"), // apt writes file:/path too
    );
    let mirror = Url::parse(&uri).ok().filter(|_| !uri.contains("$("))?;
    (mirror.scheme() != Scheme::File || uri.starts_with("file:///"))
        .then(|| Source { mirror, suite: suite.to_owned() })
}

/// A deb822 stanza: fields in order, names in lower case, folded lines joined.
type Stanza = Vec<(String, String)>;

fn stanzas(text: &str) -> Vec<Stanza> {
    let mut stanzas = vec![Stanza::new()];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let last = stanzas.len() - 1;
        if line.trim().is_empty() {
            stanzas.push(Stanza::new());
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = stanzas[last].last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            stanzas[last].push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    stanzas
}

fn of_stanza(stanza: &Stanza) -> Vec<Source> {
    let words = |name: &str| {
        let value = stanza.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value);
        value.split_whitespace()
    };
    let disabled = words("enabled")
        .any(|word| matches!(word, "no" | "false" | "without" | "off" | "disable" | "0"));
    if disabled || !words("types").any(|word| word == "deb") {
        return Vec::new();
    }
    let pairs = words("uris").flat_map(|uri| words("suites").map(move |suite| (uri, suite)));
    pairs.filter_map(|(uri, suite)| source(uri, suite)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str, text: &str) -> Vec<String> {
        let sources = parse(Path::new(path), text);
        sources.iter().map(|source| format!("{} {}", source.mirror, source.suite)).collect()
    }

    #[test]
    fn one_line_sources() {
        let text = "\
# deb http://commented.example/debian bookworm main
deb http://mirror.example/debian bookworm main contrib # all of it
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] https://me:pass@corp.example/debian/ bookworm-updates main
  deb\tfile:/srv/debian\tbookworm\tmain
deb cdrom:[Debian GNU/Linux 12]/ bookworm main
deb mirror+file:/etc/apt/mirrors.txt bookworm main
deb http://mirror.example/$(ARCH) bookworm main
deb [arch=amd64 http://unclosed.example/ bookworm main
deb http://no-suite.example/
debx http://x.example/ bookworm main
";
        assert_eq!(
            shown("sources.list", text),
            [
                "http://mirror.example/debian bookworm",
                "https://corp.example/debian/ bookworm-updates",
                "file:///srv/debian bookworm",
            ]
        );
    }

    #[test]
    fn deb822_sources() {
        let text = "\
Types: deb deb-src
# http://old.example/
URIs: http://mirror.example/debian
 http://second.example/debian
suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 URIs: http://in-a-key.example/

Types: deb
URIs: http://off.example/
Suites: bookworm
Enabled: no

Types: deb-src
URIs: http://sources.example/
Suites: bookworm
";
        assert_eq!(
            shown("debian.sources", text),
            [
                "http://mirror.example/debian bookworm",
                "http://mirror.example/debian bookworm-updates",
                "http://second.example/debian bookworm",
                "http://second.example/debian bookworm-updates",
            ]
        );
    }

    #[test]
    fn the_suite_itself_comes_first_and_another_suites_pool_is_better_than_none() {
        let text = "\
deb http://security.example/ bookworm-security main
deb http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm-updates main
deb http://backports.example/ bookworms main
deb http://node.example/ nodistro main
";
        let sources = parse(Path::new("sources.list"), text);
        let mirrors =
            |suite| mirrors(&sources, suite).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            mirrors("bookworm"),
            ["http://mirror.example/debian", "http://security.example/"]
        );
        assert_eq!(mirrors("trixie").len(), 4);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text: String) {
            parse(Path::new("a.list"), &text);
            parse(Path::new("a.sources"), &text);
        }
    }
}
