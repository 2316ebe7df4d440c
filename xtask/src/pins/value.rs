//! The values of pins: each type can hold only what is right.

use std::fmt;
use std::str::FromStr;

use super::problem::masked;
use crate::digest::Sha256;
use crate::reference::Reference;

/// Text that has passed a check; the check is the type's meaning.
macro_rules! checked_text {
    ($($(#[$doc:meta])* $name:ident: $expected:literal, $check:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            /// As written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let check: fn(&str) -> bool = $check;
                if check(text) {
                    return Ok($name(text.to_owned()));
                }
                Err(format!("expected {}, found {}", $expected, shown(text)))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
pub(super) use checked_text;

checked_text! {
    /// Upstream's own version: `1.2.3`, `9.8.7rc1`.
    Version: "a version such as `1.2.3`", is_version;
    /// `major.minor` of Python.
    PythonVersion: "Python's major and minor version, such as `3.9`", is_python_version;
    /// The name of a Debian package (Debian Policy 5.6.1).
    DebianName: "the name of a Debian package", is_debian_name;
    /// A Debian version (Debian Policy 5.6.12).
    DebianVersion: "a Debian version such as `1:2.3-4`", is_debian_version;
    /// A Debian release's code name or another suite.
    Suite: "the name of a suite, such as `bookworm`", is_suite;
    /// The name of a Python distribution (the names and normalisation specification).
    Distribution: "the name of a Python distribution", is_distribution;
    /// A dependency specifier (PEP 508) for one more Python distribution.
    Requirement: "a requirement such as `tensorboard==2.20.0`", is_requirement;
    /// A full git revision.
    Revision: "a git revision of 40 lower-case hex digits", is_revision;
    /// Where something is; without a name or password in it.
    Url: "an http, https or file URL without a user name", is_url;
    /// A line of text.
    Line: "one line of text", is_line;
    /// What `git describe --long` says: tag, commits since it, abbreviated revision.
    Describe: "what `git describe --long` says, such as `v1.2.3-0-g0123456789a`", is_describe;
    /// A Bazel target.
    Target: "a target such as `//package:name`", is_target;
    /// The name of a `--config` of Bazel.
    Config: "the name of a config", is_config;
    /// A variable of Bazel's `--repo_env`, with its value.
    Variable: "a variable such as `NAME=value`", is_variable;
}

/// A package asked of apt: `sed`, or with an exact version `sed=4.9-1`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DebianRequest {
    /// The package.
    pub name: DebianName,
    /// Its exact version; otherwise the newest of the suite.
    pub version: Option<DebianVersion>,
}

impl FromStr for DebianRequest {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, version) = match text.split_once('=') {
            Some((name, version)) => (name, Some(version.parse()?)),
            None => (text, None),
        };
        Ok(DebianRequest { name: name.parse()?, version })
    }
}

/// As apt takes it.
impl fmt::Display for DebianRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        self.version.iter().try_for_each(|version| write!(f, "={version}"))
    }
}

/// The image that another one starts from: `registry.example/debian@sha256:…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Host and path.
    pub repository: String,
    /// Of its manifest, or of the list of its platforms' manifests.
    pub digest: Sha256,
}

impl FromStr for Base {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let reference: Reference = text.parse()?;
        let name = reference.repository();
        match (reference.digest, reference.tag) {
            (Some(digest), None) => Ok(Base { repository: name, digest }),
            (Some(digest), Some(_)) => {
                Err(format!("a tag says nothing beside a digest: write `{name}@sha256:{digest}`"))
            }
            (None, _) => Err(format!(
                "expected `{name}@sha256:…`: a tag may be another image tomorrow; \
                 `docker pull {text}` prints its digest"
            )),
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@sha256:{}", self.repository, self.digest)
    }
}

/// Where ops run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// `linux/amd64`.
    LinuxAmd64,
}

impl FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "linux/amd64" => Ok(Platform::LinuxAmd64),
            _ => Err(format!("expected `linux/amd64`, found {}", shown(text))),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("linux/amd64")
    }
}

/// Where the TensorFlow wheel comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A locked, prebuilt wheel.
    Wheel,
    /// Built by Bazel from the pinned revision.
    Source,
}

impl FromStr for Lane {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "wheel" => Ok(Lane::Wheel),
            "source" => Ok(Lane::Source),
            _ => Err(format!("expected `wheel` or `source`, found {}", shown(text))),
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lane::Wheel => "wheel",
            Lane::Source => "source",
        })
    }
}

/// How the image's layers are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// What every client reads (RFC 1952); a wheel's own deflate streams are taken over.
    #[default]
    Gzip,
    /// Smaller and faster to unpack (RFC 8878); old clients refuse it.
    Zstd,
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "gzip" => Ok(Compression::Gzip),
            "zstd" => Ok(Compression::Zstd),
            _ => Err(format!("expected `gzip` or `zstd`, found {}", shown(text))),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        })
    }
}

/// `text` in back quotes, without passwords, control characters and not too long for a message.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let mut line: String = masked(text).escape_debug().take(MOST).collect();
    if text.chars().count() > MOST {
        line.push('…');
    }
    format!("`{line}`")
}

/// Not empty, begins with a digit or letter, and all else is one of these or in `others`.
pub(super) fn word(text: &str, others: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}

fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && word(text, ".+-") && !text.ends_with('.')
}

fn is_python_version(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('.').is_some_and(|(major, minor)| major == "3" && digits(minor))
}

fn is_debian_name(text: &str) -> bool {
    text.len() > 1 && word(text, "+-.") && !text.contains(|c: char| c.is_ascii_uppercase())
}

fn is_debian_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && word(text, ".+-~:")
}

fn is_suite(text: &str) -> bool {
    word(text, "-") && !text.contains(|c: char| c.is_ascii_uppercase())
}

fn is_distribution(text: &str) -> bool {
    word(text, "._-") && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

fn is_requirement(text: &str) -> bool {
    word(text, "._-[],<>=!~;\"' ()*+") && !text.contains("--")
}

fn is_revision(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn is_url(text: &str) -> bool {
    let rest = ["https://", "http://", "file://"].iter().find_map(|s| text.strip_prefix(s));
    rest.is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        !rest.is_empty() && !host.contains('@') && rest.chars().all(|c| c.is_ascii_graphic())
    })
}

fn is_describe(text: &str) -> bool {
    let Some((rest, hex)) = text.rsplit_once("-g") else { return false };
    let Some((tag, count)) = rest.rsplit_once('-') else { return false };
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    !count.is_empty()
        && count.bytes().all(|b| b.is_ascii_digit())
        && (7..=40).contains(&hex.len())
        && hex.bytes().all(is_hex)
        && word(tag, "._-+")
        && !tag.contains("..")
}

fn is_target(text: &str) -> bool {
    let plain = |part: &str| part.split('/').all(|part| word(part, "._-+"));
    let parts = text.strip_prefix("//").and_then(|rest| rest.split_once(':'));
    parts.is_some_and(|(package, name)| plain(package) && plain(name))
}

fn is_config(text: &str) -> bool {
    word(text, "_-.:")
}

fn is_variable(text: &str) -> bool {
    let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split_once('=').is_some_and(|(key, value)| {
        key.starts_with(|c: char| c.is_ascii_alphabetic())
            && key.chars().all(name)
            && !value.contains(char::is_control)
    })
}

fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && text.trim() == text && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong<T: FromStr>(texts: &[&str]) {
        for text in texts {
            assert!(text.parse::<T>().is_err(), "{text:?} was taken for right");
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        wrong::<Version>(&["", "v1", "1.", "1 2", "1\n", "../1"]);
        wrong::<PythonVersion>(&["3", "3.", "3.x", "2.7", "3.9.2"]);
        wrong::<DebianName>(&["", "a", "-a", "libC6", "a_b", "a b", "a/../b"]);
        wrong::<DebianRequest>(&["sed=", "sed=x", "=4", "sed==4"]);
        wrong::<Revision>(&["a481b10", &"A".repeat(40), &"g".repeat(40)]);
        wrong::<Url>(&[
            "mirror.example",
            "ftp://a",
            "https://",
            "https://me:pass@mirror.example/a",
        ]);
        wrong::<Requirement>(&["", "--index-url=https://a", "-r a", "a\n"]);
        wrong::<Distribution>(&["", "-a", "a-", "a b", "ä"]);
        wrong::<Describe>(&[
            "v1.2.3",
            "v1-x-g0123456",
            "v1-0-g012",
            "-0-g0123456",
            "a..b-0-g0123456",
        ]);
        wrong::<Target>(&["//a", "a:b", "//a:b c", "//a/../b:c", "-//a:b"]);
        wrong::<Config>(&["", "--x", "a b"]);
        wrong::<Variable>(&["A", "=b", "A B=c", "A=\n", "--x=1"]);
        wrong::<Line>(&["", " a", "a\nb", "\0"]);
    }

    #[test]
    fn a_request_is_shown_as_apt_takes_it() {
        for text in ["g++-12", "libc6=2.36-9+deb12u14", "diffutils=1:3.8-4"] {
            assert_eq!(text.parse::<DebianRequest>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn long_and_strange_text_is_shown_short_and_printable() {
        assert_eq!(shown("a\0\u{1b}[31m"), "`a\\0\\u{1b}[31m`");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 63);
    }
}
