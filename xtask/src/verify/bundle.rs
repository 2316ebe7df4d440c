//! Files by name, wherever they are: an OCI layout's folder, or a tar of one, or what
//! `docker save` writes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, SeekFrom, Take};
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext as _, Kind, Result};

use super::stream::unreadable;

/// Most bytes of a JSON text.
const TEXT: u64 = 4 << 20;

/// Named files, each a piece of one on disk.
#[derive(Debug)]
pub struct Bundle {
    name: String,
    files: BTreeMap<String, Place>,
}

#[derive(Debug)]
struct Place {
    path: PathBuf,
    at: u64,
    size: u64,
}

impl Bundle {
    /// All files below the folder `place`; links are not followed.
    pub fn of_folder(place: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let path = place.join(&folder);
            for item in fs::read_dir(&path).at("read", &path)? {
                let item = item.at("read", &path)?;
                let name = item.file_name().to_string_lossy().into_owned();
                let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                let stat = item.metadata().at("read", &item.path())?;
                if stat.is_dir() {
                    folders.push(name);
                } else if stat.is_file() {
                    files.insert(name, Place { path: item.path(), at: 0, size: stat.len() });
                }
            }
        }
        Ok(Bundle { name: place.display().to_string(), files })
    }

    /// All files in the tar at `place`.
    pub fn of_tar(place: &Path) -> Result<Self> {
        let name = place.display().to_string();
        let wrong = |cause: io::Error| unreadable(&format!("`{name}`"), &cause);
        let mut archive = tar::Archive::new(BufReader::new(File::open(place).at("open", place)?));
        let mut files = BTreeMap::new();
        for entry in archive.entries_with_seek().map_err(wrong)? {
            let entry = entry.map_err(wrong)?;
            if entry.header().entry_type() != tar::EntryType::Regular {
                continue;
            }
            let path = entry.path().map_err(wrong)?.to_string_lossy().into_owned();
            let (at, size) = (entry.raw_file_position(), entry.size());
            let file = Place { path: place.to_owned(), at, size };
            if files.insert(path.clone(), file).is_some() {
                let message = format!("`{name}` holds `{path}` twice");
                return Err(Error::new(Kind::Archive, message));
            }
        }
        Ok(Bundle { name, files })
    }

    /// What people know it as.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of all files.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Size of the file `name`, when it is there.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.files.get(name).map(|place| place.size)
    }

    /// The bytes of the file `name`.
    pub fn open(&self, name: &str) -> Result<Take<File>> {
        let missing = || Error::new(Kind::Archive, format!("`{}` has no `{name}`", self.name));
        let Place { path, at, size } = self.files.get(name).ok_or_else(missing)?;
        let mut file = File::open(path).at("open", path)?;
        file.seek(SeekFrom::Start(*at)).at("read", path)?;
        Ok(file.take(*size))
    }

    /// The whole of a JSON text.
    pub fn text(&self, name: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut file = self.open(name)?;
        if file.limit() > TEXT {
            let message = format!("`{}`: `{name}` is too big for a JSON text", self.name);
            return Err(Error::new(Kind::Archive, message));
        }
        file.read_to_end(&mut bytes).map_err(|cause| unreadable(&format!("`{name}`"), &cause))?;
        Ok(bytes)
    }

    /// The value of a JSON text.
    pub fn json(&self, name: &str) -> Result<serde_json::Value> {
        let value = serde_json::from_slice(&self.text(name)?);
        value.map_err(|e| {
            Error::new(Kind::Archive, format!("`{}`: `{name}` is no JSON: {e}", self.name))
        })
    }
}
