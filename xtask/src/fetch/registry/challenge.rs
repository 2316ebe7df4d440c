//! `WWW-Authenticate`: what a registry asks of who comes without a token (RFC 9110, section
//! 11.6.1; the distribution project's token authentication).

/// What a registry wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// User name and password, each time.
    Basic,
    /// A token of this server.
    Bearer { realm: String, service: Option<String> },
}

/// The first challenge in `headers` that we can meet; a token's before a password's.
pub(super) fn read<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Challenge> {
    let found: Vec<Challenge> = headers.filter_map(one).collect();
    let bearer = |challenge: &&Challenge| **challenge != Challenge::Basic;
    let at = found.iter().position(|one| bearer(&one)).unwrap_or(0);
    found.into_iter().nth(at)
}

fn one(header: &str) -> Option<Challenge> {
    let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return Some(Challenge::Basic);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (mut realm, mut service) = (None, None);
    let mut rest = rest;
    while let Some((name, value, after)) = pair(rest) {
        match &*name.to_ascii_lowercase() {
            "realm" => realm = Some(value),
            "service" => service = Some(value),
            _ => {}
        }
        rest = after;
    }
    Some(Challenge::Bearer { realm: realm?, service })
}

/// `name="value"` or `name=value`, and what follows the comma.
fn pair(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = text.trim_start_matches([' ', ',']).split_once('=')?;
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(',').unwrap_or(rest.len());
        return Some((name.trim(), rest[..end].trim().to_owned(), &rest[end..]));
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((name.trim(), value, &quoted[at + 1..])),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Option<Challenge> {
        let service = service.map(str::to_owned);
        Some(Challenge::Bearer { realm: realm.to_owned(), service })
    }

    #[test]
    fn challenges_are_read() {
        let read = |text: &str| super::read([text].into_iter());
        assert_eq!(
            read(
                r#"Bearer realm="https://auth.example/token?a=b,c",service="r",scope="repository:a:pull,push""#
            ),
            bearer("https://auth.example/token?a=b,c", Some("r"))
        );
        assert_eq!(read(r#"bearer  service=r , realm="a\"b""#), bearer("a\"b", Some("r")));
        assert_eq!(read("Bearer realm=x"), bearer("x", None));
        assert_eq!(read("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(read("basic"), Some(Challenge::Basic));
        for none in ["", "Bearer", "Bearer realm=\"x", "Negotiate", "Bearer =, ,=\""] {
            assert_eq!(read(none), None, "{none}");
        }
        let both = ["Basic realm=x", "Bearer realm=y"];
        assert_eq!(super::read(both.into_iter()), bearer("y", None));
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read(text: String) {
            read([&*text, &format!("Bearer {text}")].into_iter());
        }
    }
}
