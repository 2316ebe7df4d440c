//! Pages of a Python index: PEP 691 (JSON) and PEP 503 (HTML).

use serde::Deserialize;

use super::http::refused;
use super::url::{Scheme, Url};
use crate::digest::Sha256;

/// What to ask an index for, JSON first.
pub(super) const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, \
    application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// A file on a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub url: Url,
    /// As the index says it; the lock decides.
    pub sha256: Option<Sha256>,
}

/// All files on the page at `url`, by name; a link that is no URL, or leads where no redirect
/// may, is left out.
pub(super) fn all(
    url: &Url,
    content_type: &str,
    body: &[u8],
) -> Result<Vec<(String, Link)>, String> {
    let (base, links) = match content_type.contains("json") {
        true => of_json(body)?,
        false => of_html(&String::from_utf8_lossy(body)),
    };
    let base = url.join(&base).map_err(|why| format!("the page's base is wrong: {why}"))?;
    let link = |raw: Raw| {
        let to = base.join(&raw.href).ok().filter(|to| refused(url, to).is_none())?;
        Some((raw.name, Link { url: to, sha256: raw.sha256 }))
    };
    Ok(links.into_iter().filter_map(link).collect())
}

/// The file `name` on the page at `url`; the error says what the page is instead.
pub(super) fn find(url: &Url, content_type: &str, body: &[u8], name: &str) -> Result<Link, String> {
    let links = match content_type.contains("json") {
        true => of_json(body)?,
        false => of_html(&String::from_utf8_lossy(body)),
    };
    let (base, links) = links;
    let base = url.join(&base).map_err(|why| format!("the page's base is wrong: {why}"))?;
    let count = links.len();
    let Some(link) = links.into_iter().find(|link| link.name == name) else {
        let kind = content_type.split(';').next().unwrap_or_default();
        return Err(format!("`{name}` is not among the {count} files of the page ({kind})"));
    };
    let to =
        base.join(&link.href).map_err(|why| format!("the link of `{name}` is wrong: {why}"))?;
    // Over http the lock's digest still says what it is.
    match refused(url, &to).filter(|_| to.scheme() == Scheme::File) {
        Some(why) => Err(format!("the link of `{name}` is wrong: it leads {why}")),
        None => Ok(Link { url: to, sha256: link.sha256 }),
    }
}

/// A link as written.
struct Raw {
    name: String,
    href: String,
    sha256: Option<Sha256>,
}

#[derive(Deserialize)]
struct Page {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: Hashes,
}

#[derive(Default, Deserialize)]
struct Hashes {
    sha256: Option<String>,
}

fn of_json(body: &[u8]) -> Result<(String, Vec<Raw>), String> {
    let page: Page = serde_json::from_slice(body)
        .map_err(|cause| format!("the page is no index page (PEP 691): {cause}"))?;
    let links = page.files.into_iter().map(|file| Raw {
        name: file.filename,
        href: file.url,
        sha256: file.hashes.sha256.and_then(|text| text.parse().ok()),
    });
    Ok((String::new(), links.collect()))
}

fn of_html(body: &str) -> (String, Vec<Raw>) {
    let mut base = String::new();
    let mut links = Vec::new();
    let mut rest = body;
    while let Some(tag) = next_tag(&mut rest) {
        let Some(href) = tag.href else { continue };
        if tag.name.eq_ignore_ascii_case("base") && base.is_empty() {
            base = href;
        } else if tag.name.eq_ignore_ascii_case("a") {
            let (path, fragment) = href.split_once('#').unwrap_or((&href, ""));
            let text = rest.split('<').next().unwrap_or_default();
            let sha256 = fragment.strip_prefix("sha256=").and_then(|hex| hex.parse().ok());
            let name = unescaped(text.trim());
            links.push(Raw { name, href: path.to_owned(), sha256 });
        }
    }
    (base, links)
}

struct Tag<'a> {
    name: &'a str,
    href: Option<String>,
}

/// The next start tag; `rest` is then what follows it. Comments and all else are passed over.
fn next_tag<'a>(rest: &mut &'a str) -> Option<Tag<'a>> {
    loop {
        let start = rest.find('<')?;
        *rest = &rest[start + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            *rest = comment.split_once("-->")?.1;
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        if end == 0 {
            continue;
        }
        let name = &rest[..end];
        *rest = &rest[end..];
        let mut href = None;
        while let Some((attribute, value)) = next_attribute(rest) {
            if attribute.eq_ignore_ascii_case("href") && href.is_none() {
                href = Some(unescaped(value));
            }
        }
        return Some(Tag { name, href });
    }
}

/// The next attribute and its value; `None` after the last, with the `>` passed over.
fn next_attribute<'a>(rest: &mut &'a str) -> Option<(&'a str, &'a str)> {
    let space = |c: char| c.is_ascii_whitespace() || c == '/';
    *rest = rest.trim_start_matches(space);
    if let Some(after) = rest.strip_prefix('>') {
        *rest = after;
        return None;
    }
    let end = rest.find(|c: char| c == '=' || c == '>' || space(c))?.max(1);
    let (name, after) = rest.split_at_checked(end)?;
    *rest = after.trim_start();
    let Some(value) = rest.strip_prefix('=') else { return Some((name, "")) };
    let value = value.trim_start();
    let quoted =
        ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.split_once(quote));
    let (value, after) = match quoted {
        Some(pair) => pair,
        None => value.split_at(
            value.find(|c: char| c == '>' || c.is_ascii_whitespace()).unwrap_or(value.len()),
        ),
    };
    *rest = after;
    Some((name, value))
}

/// Most bytes of a character reference; no known one has more.
const REFERENCE: usize = 32;

/// The character references that stand in names and links.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let end = after.bytes().take(REFERENCE).position(|byte| byte == b';');
        let reference = end.and_then(|end| Some((character(&after[..end])?, &after[end + 1..])));
        match reference {
            Some((character, tail)) => {
                out.push(character);
                rest = tail;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out + rest
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTML: &str = "text/html; charset=utf-8";
    const JSON: &str = "application/vnd.pypi.simple.v1+json";

    fn page() -> Url {
        Url::parse("https://me:pass@mirror.example/simple/numpy/").unwrap()
    }

    fn digest() -> Sha256 {
        Sha256::of(b"x")
    }

    #[test]
    fn json() {
        let body = format!(
            r#"{{"meta":{{"api-version":"1.1"}},"name":"numpy","files":[
            {{"filename":"a.tar.gz","url":"a.tar.gz","hashes":{{}},"requires-python":null}},
            {{"filename":"a.whl","url":"../../p/a.whl","hashes":{{"sha256":"{}","md5":"0"}},"size":5,"yanked":"why"}},
            {{"filename":"b.whl","url":"https://files.example/b.whl"}}]}}"#,
            digest()
        );
        let find = |name| find(&page(), JSON, body.as_bytes(), name);
        let link = find("a.whl").unwrap();
        assert_eq!(link.url.to_string(), "https://mirror.example/p/a.whl");
        assert_eq!(link.sha256, Some(digest()));
        assert!(link.url.authorization().is_some(), "the index's own host");
        let other = find("b.whl").unwrap();
        assert_eq!((other.sha256, other.url.authorization()), (None, None));
        assert_eq!(
            find("c.whl").unwrap_err(),
            "`c.whl` is not among the 3 files of the page (application/vnd.pypi.simple.v1+json)"
        );
    }

    #[test]
    fn html_as_indexes_write_it() {
        let body = format!(
            "<!DOCTYPE html><html><head><meta name='x' content=\"1.0\"><!-- <a href='c'>a.whl</a> -->\
             <title>Links</title></head><body><h1>Links</h1>\
             <a href=\"../../p/a%2B1.whl?x=1&amp;y=2#sha256={}\" data-requires-python=\"&gt;=3.9\" >a+1.whl</a><br/>\n\
             <A rel=internal HREF=b.whl>\n b.whl </A><a>no link</a><a href='c&#43;.whl' download>c&#x2b;.whl</a>",
            digest()
        );
        let find = |name| find(&page(), HTML, body.as_bytes(), name);
        let link = find("a+1.whl").unwrap();
        assert_eq!(link.url.request(), "https://mirror.example/p/a%2B1.whl?x=1&y=2");
        assert_eq!(link.sha256, Some(digest()));
        assert_eq!(
            find("b.whl").unwrap().url.to_string(),
            "https://mirror.example/simple/numpy/b.whl"
        );
        assert_eq!(
            find("c+.whl").unwrap().url.to_string(),
            "https://mirror.example/simple/numpy/c+.whl"
        );
        assert_eq!(
            find("a.whl").unwrap_err(),
            "`a.whl` is not among the 3 files of the page (text/html)"
        );
    }

    #[test]
    fn html_with_a_base() {
        let body = b"<base href='https://files.example/x/'><a href=a.whl>a.whl</a>";
        assert_eq!(
            find(&page(), HTML, body, "a.whl").unwrap().url.to_string(),
            "https://files.example/x/a.whl"
        );
    }

    #[test]
    fn what_is_no_index_is_an_error() {
        let portal = b"<html><body><a href='/login'>Log in to Hotel WiFi</a>";
        assert_eq!(
            find(&page(), HTML, portal, "a.whl").unwrap_err(),
            "`a.whl` is not among the 1 files of the page (text/html)"
        );
        assert!(find(&page(), JSON, portal, "a.whl").unwrap_err().contains("PEP 691"));
        for (body, name) in [
            ("<a href='javascript:alert(1)'>a.whl</a>", "a.whl"),
            ("<a href='http://'>a.whl</a>", "a.whl"),
            ("<a href='http://x/\n\nGET /'>a.whl</a>", "a.whl"),
            ("<base href='ftp://x/'><a href=a.whl>a.whl</a>", "a.whl"),
            ("<a href='file:///etc/passwd'>a.whl</a>", "a.whl"),
            ("<base href='file:///etc/'><a href=passwd>a.whl</a>", "a.whl"),
            ("<a href='", "a.whl"),
            ("<a", "a.whl"),
            ("<a =", "a.whl"),
            ("<!--", "a.whl"),
            ("<a href=>", "a.whl"),
        ] {
            assert!(find(&page(), HTML, body.as_bytes(), name).is_err(), "{body}");
        }
    }

    #[test]
    fn a_page_of_the_web_has_no_files_of_this_machine() {
        let body = b"<a href='file:///etc/passwd'>a.whl</a><a href=b.whl>b.whl</a>";
        assert_eq!(
            find(&page(), HTML, body, "a.whl").unwrap_err(),
            "the link of `a.whl` is wrong: it leads to a file of this machine"
        );
        assert_eq!(all(&page(), HTML, body).unwrap().len(), 1);
        // What nobody knows the digest of yet must not lose its encryption on the way.
        let plain = b"<a href='http://files.example/a.whl'>a.whl</a>";
        assert!(find(&page(), HTML, plain, "a.whl").is_ok());
        assert!(all(&page(), HTML, plain).unwrap().is_empty());
        let folder = Url::parse("file:///srv/simple/a/index.html").unwrap();
        assert_eq!(all(&folder, HTML, body).unwrap().len(), 2);
    }

    #[test]
    fn a_reference_is_short() {
        assert_eq!(unescaped("&#0000000038;é&&amp;&"), "&é&&&");
        let far = format!("&é{};", "0".repeat(60));
        assert_eq!(unescaped(&far), far);
        let long = format!("&#{}38;", "0".repeat(60));
        assert_eq!(unescaped(&long), long);
    }

    proptest::proptest! {
        #[test]
        fn any_page_is_read_or_refused(body: Vec<u8>) {
            find(&page(), HTML, &body, "a.whl").ok();
            find(&page(), JSON, &body, "a.whl").ok();
        }

        #[test]
        fn any_html_soup_is_read(body in "[<>a/!='\"& \\-#;xhref]{0,60}") {
            find(&page(), HTML, body.as_bytes(), "a").ok();
        }
    }
}
