//! The training scripts: the one thing that a task runs and the image does not have.
//!
//! They change by the hour, so they are no part of the image; but code that differs from node to
//! node is the very fault that an image by digest prevents. So beside them stands their listing,
//! as `sha256sum` writes it, and every task is told the listing's digest: the entrypoint holds
//! both against what is mounted, before training begins.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};

/// Where a task finds them.
pub const PLACE: &str = "/work";
/// The listing, beside the scripts: `sha256sum -c` reads it.
pub const LISTING: &str = "SHA256SUMS";
/// The variable with the listing's digest.
pub const VARIABLE: &str = "LOCKSTEP_SCRIPTS";

/// A ConfigMap holds no more (Kubernetes API, `ConfigMap`).
const LARGEST: usize = 1 << 20;

/// Names and text of the scripts; none when nothing is pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scripts(BTreeMap<String, String>);

impl Scripts {
    /// Scripts with these names.
    pub fn of<N: Into<String>, T: Into<String>>(files: impl IntoIterator<Item = (N, T)>) -> Self {
        Scripts(files.into_iter().map(|(name, text)| (name.into(), text.into())).collect())
    }

    /// The files of the folder, which becomes one ConfigMap: no folder in it, and all of it
    /// text.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(folder).at("list", folder)? {
            let path = entry.at("list", folder)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') || name == "__pycache__" {
                continue;
            }
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
            if !plain || !path.is_file() {
                let why = "is no file with a name of letters, digits, `-`, `_` and `.`";
                return Err(refuse(&path, why));
            }
            if name == LISTING {
                return Err(refuse(&path, "has the name of what `cluster render` writes"));
            }
            let text = fs::read(&path).at("read", &path)?;
            let text = String::from_utf8(text).map_err(|_| refuse(&path, "is not UTF-8 text"))?;
            files.insert(name, text);
        }
        let scripts = Scripts(files);
        if scripts.0.is_empty() {
            return Err(refuse(folder, "has no file"));
        }
        if scripts.files().values().map(String::len).sum::<usize>() > LARGEST {
            return Err(refuse(folder, "is larger than the 1 MiB of a ConfigMap"));
        }
        Ok(scripts)
    }

    /// Whether nothing is mounted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is one of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// `DIGEST  NAME` a line, by name.
    pub fn listing(&self) -> String {
        let line =
            |(name, text): (&String, &String)| format!("{}  {name}\n", Sha256::of(text.as_bytes()));
        self.0.iter().map(line).collect()
    }

    /// Who they are: the digest of their listing.
    pub fn digest(&self) -> Option<Sha256> {
        (!self.is_empty()).then(|| Sha256::of(self.listing().as_bytes()))
    }

    /// All that is mounted, the listing too.
    pub fn files(&self) -> BTreeMap<String, String> {
        let mut files = self.0.clone();
        if !self.is_empty() {
            files.insert(LISTING.to_owned(), self.listing());
        }
        files
    }

    /// Writes all of it into the folder.
    pub fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).at("create", folder)?;
        self.files().iter().try_for_each(|(name, text)| {
            let path = folder.join(name);
            fs::write(&path, text).at("write", &path)
        })
    }
}

fn refuse(path: &Path, why: &str) -> Error {
    Error::new(Kind::Pins, format!("`cluster.scripts`: `{}` {why}", path.display()))
        .hint("scripts are small text files side by side; data belongs elsewhere")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listing_is_what_sha256sum_writes() {
        let scripts = Scripts::of([("b.py", "pass\n"), ("a.py", "")]);
        insta::assert_snapshot!(scripts.listing(), @"
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a.py
        9f56e761d79bfdb34304a012586cb04d16b435ef6130091a97702e559260a2f2  b.py
        ");
        assert_eq!(scripts.digest(), Some(Sha256::of(scripts.listing().as_bytes())));
        assert_eq!((Scripts::default().digest(), Scripts::default().files().len()), (None, 0));
    }

    #[test]
    fn what_cannot_be_mounted_everywhere_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        let refused = || {
            let error = Scripts::read(folder.path()).unwrap_err();
            error.message().replace(&folder.path().display().to_string(), "F")
        };
        let mut said = vec![refused()];
        put(".hidden", b"");
        put("train.py", b"pass\n");
        let good = Scripts::read(folder.path()).unwrap();
        assert_eq!(good, Scripts::of([("train.py", "pass\n")]));
        for (name, bytes) in [("a b.py", &b""[..]), ("x", b"\xff"), (LISTING, b"")] {
            put(name, bytes);
            said.push(refused());
            fs::remove_file(folder.path().join(name)).unwrap();
        }
        put("big", &[b'x'; 1 << 20]);
        said.push(refused());
        insta::assert_snapshot!(said.join("\n"), @"
        `cluster.scripts`: `F` has no file
        `cluster.scripts`: `F/a b.py` is no file with a name of letters, digits, `-`, `_` and `.`
        `cluster.scripts`: `F/x` is not UTF-8 text
        `cluster.scripts`: `F/SHA256SUMS` has the name of what `cluster render` writes
        `cluster.scripts`: `F` is larger than the 1 MiB of a ConfigMap
        ");
    }
}
