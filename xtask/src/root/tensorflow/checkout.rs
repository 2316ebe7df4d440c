//! What the checkout says about the TensorFlow repository.

use std::path::Path;

use crate::error::{Error, IoContext as _, Kind, Result};

/// `toolchains/tensorflow`, read once: what the key is made of is what the tree gets.
pub(super) struct Checkout {
    /// `repo/`: every file by its path, sorted.
    pub files: Vec<(String, Vec<u8>)>,
    /// `headers.txt`, sorted.
    pub headers: Vec<String>,
}

impl Checkout {
    pub fn read(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        walk(&folder.join("repo"), "", &mut files)?;
        files.sort();
        let path = folder.join("headers.txt");
        let text = std::fs::read_to_string(&path).at("read", &path)?;
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
        let mut headers: Vec<_> =
            lines.filter(|line| !line.is_empty()).map(str::to_owned).collect();
        headers.sort();
        headers.dedup();
        Ok(Checkout { files, headers })
    }

    /// All that the tree is a function of.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let headers = self.headers.iter().map(|header| (header.as_str(), &b""[..]));
        self.files.iter().map(|(path, bytes)| (path.as_str(), &bytes[..])).chain(headers)
    }
}

fn walk(folder: &Path, below: &str, files: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for item in std::fs::read_dir(folder).at("read", folder)? {
        let item = item.at("read", folder)?;
        let (path, kind) = (item.path(), item.file_type().at("read", &item.path())?);
        let name = item.file_name().into_string().map_err(|name| {
            Error::new(
                Kind::Pins,
                format!("`{}/{}` is not UTF-8", folder.display(), name.display()),
            )
        })?;
        if name.starts_with('.') {
            continue; // an editor's
        }
        let name = format!("{below}{name}");
        if kind.is_dir() {
            walk(&path, &format!("{name}/"), files)?;
        } else if kind.is_file() {
            files.push((name, std::fs::read(&path).at("read", &path)?));
        } else {
            let message = format!("`{}` is neither file nor folder", path.display());
            return Err(Error::new(Kind::Pins, message));
        }
    }
    Ok(())
}
