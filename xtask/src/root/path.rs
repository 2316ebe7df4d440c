//! Names inside trees and archives: the only sort of path that is ever written to.

use std::borrow::Borrow;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};

/// Longest name of one file or folder, in bytes: what Linux file systems take.
const COMPONENT: usize = 255;
/// Longest path inside a tree, in bytes; the longest of Debian and PyPI is under 200.
const LENGTH: usize = 1024;
/// Deepest path, in components.
const DEPTH: usize = 64;

/// A path inside a tree: relative, normalised (no `.`, `..` or empty component), printable
/// UTF-8, of bounded length and depth. Nothing else is ever joined to a tree's folder.
///
/// Ordered by bytes, as [`crate::store::Manifest`] is: a folder before what is in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TreePath(String);

impl TreePath {
    /// Checks a name as an archive has it. No prefix is forgiven: a reader of a format that
    /// writes `./usr` or `usr/` takes those off first.
    pub fn parse(name: &[u8]) -> Result<Self> {
        let refuse = |why: &str| Err(refused(name, why));
        let Ok(text) = std::str::from_utf8(name) else { return refuse("is not UTF-8") };
        if text.is_empty() {
            return refuse("is empty");
        }
        if text.chars().any(char::is_control) {
            return refuse("has a control character");
        }
        if text.starts_with('/') {
            return refuse("is absolute");
        }
        if text.len() > LENGTH {
            return refuse(&format!("is longer than {LENGTH} bytes"));
        }
        if text.split('/').count() > DEPTH {
            return refuse(&format!("is deeper than {DEPTH} folders"));
        }
        for component in text.split('/') {
            match component {
                ".." => return refuse("has a `..` component"),
                "" | "." => return refuse("has an empty or `.` component"),
                long if long.len() > COMPONENT => {
                    return refuse(&format!("has a component of more than {COMPONENT} bytes"));
                }
                _ => {}
            }
        }
        Ok(TreePath(text.to_owned()))
    }

    /// The path as text, `usr/bin/python3`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder that it is in; `None` when that is the tree itself.
    pub fn parent(&self) -> Option<TreePath> {
        self.0.rsplit_once('/').map(|(parent, _)| TreePath(parent.to_owned()))
    }

    /// The last component.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// Its components, from the top.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// What follows `folder` in it, when it is below `folder`.
    pub fn below(&self, folder: &str) -> Option<&str> {
        self.0.strip_prefix(folder)?.strip_prefix('/')
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for TreePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<Path> for TreePath {
    fn as_ref(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl From<TreePath> for PathBuf {
    fn from(path: TreePath) -> PathBuf {
        PathBuf::from(OsString::from(path.0))
    }
}

impl TryFrom<&str> for TreePath {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        TreePath::parse(text.as_bytes())
    }
}

/// Checks the target of a symbolic link at `at`. Inside the root an absolute target starts
/// at the root and a relative one may climb to it, never above.
pub fn link_target(at: &TreePath, target: &[u8]) -> Result<String> {
    let refuse = |why: &str| {
        Err(Error::new(
            Kind::Archive,
            format!("`{at}`: the target {} of the link {why}", shown(target)),
        ))
    };
    let Ok(text) = std::str::from_utf8(target) else { return refuse("is not UTF-8") };
    if text.is_empty() {
        return refuse("is empty");
    }
    if text.chars().any(char::is_control) {
        return refuse("has a control character");
    }
    if text.len() > LENGTH {
        return refuse(&format!("is longer than {LENGTH} bytes"));
    }
    let mut depth = if text.starts_with('/') { 0 } else { at.components().count() - 1 };
    for component in text.split('/') {
        match component {
            "" | "." => {}
            ".." if depth == 0 => return refuse("leaves the root"),
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    Ok(text.to_owned())
}

fn refused(name: &[u8], why: &str) -> Error {
    Error::new(Kind::Archive, format!("the name {} {why}", shown(name)))
}

/// A foreign name for people: quoted, escaped, cut after 80 bytes.
pub fn shown(name: &[u8]) -> String {
    let cut = name.get(..80).unwrap_or(name);
    let dots = if cut.len() < name.len() { "…" } else { "" };
    format!("`{}{dots}`", cut.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_plain_paths_and_knows_their_parts() {
        let path = TreePath::try_from("usr/share/Főtanúsítvány.crt").unwrap();
        assert_eq!(path.name(), "Főtanúsítvány.crt");
        assert_eq!(path.parent().unwrap().as_str(), "usr/share");
        assert_eq!(path.below("usr"), Some("share/Főtanúsítvány.crt"));
        assert_eq!(path.below("us"), None);
        assert_eq!(TreePath::try_from("usr").unwrap().parent(), None);
    }

    #[test]
    fn refuses_each_way_out_by_its_reason() {
        let long = "a".repeat(256);
        let deep = "a/".repeat(64) + "a";
        let far =
            "abcdefg/".repeat(60) + &"b".repeat(200) + "/" + &"c".repeat(200) + "/" + &long[1..];
        for (name, why) in [
            (&b""[..], "is empty"),
            (b"/etc/passwd", "is absolute"),
            (b"../etc", "has a `..` component"),
            (b"usr/..", "has a `..` component"),
            (b"usr/../etc", "has a `..` component"),
            (b".", "has an empty or `.` component"),
            (b"./usr", "has an empty or `.` component"),
            (b"usr//bin", "has an empty or `.` component"),
            (b"usr/", "has an empty or `.` component"),
            (b"a\0b", "has a control character"),
            (b"a\nb", "has a control character"),
            (b"\xff", "is not UTF-8"),
            (long.as_bytes(), "has a component of more than 255 bytes"),
            (deep.as_bytes(), "is deeper than 64 folders"),
            (far.as_bytes(), "is longer than 1024 bytes"),
        ] {
            let error = TreePath::parse(name).unwrap_err();
            assert!(error.message().ends_with(why), "{} for {why}", error.message());
            assert_eq!(error.kind(), Kind::Archive);
        }
    }

    #[test]
    fn links_may_climb_to_the_root_and_not_above() {
        let at = TreePath::try_from("usr/lib/x").unwrap();
        for target in ["../..", "../../etc/passwd", "/etc/passwd", "y", "./y", "//usr//lib"] {
            assert_eq!(link_target(&at, target.as_bytes()).unwrap(), target);
        }
        for target in ["../../..", "/..", "y/../../../../etc", "/usr/../../etc"] {
            let error = link_target(&at, target.as_bytes()).unwrap_err();
            assert!(error.message().ends_with("leaves the root"), "{}", error.message());
        }
        for target in [&b""[..], b"a\0b", b"\xff", &[b'a'; 2000]] {
            assert!(link_target(&at, target).is_err());
        }
    }
}
