//! Files by name, wherever they are: an OCI layout's folder, or a tar of one, or what
//! `docker save` writes, or an image in a registry.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Cursor, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::fetch::registry::{MANIFESTS, Registry};

use super::stream::unreadable;

/// Most bytes of a JSON text.
const TEXT: u64 = 4 << 20;

/// Named files.
pub struct Bundle {
    name: String,
    files: BTreeMap<String, (Place, u64)>,
    registry: Option<Registry>,
}

/// Where a file's bytes are; how many there are stands beside it.
enum Place {
    /// A piece of a file on disk, from this byte on.
    Disk(PathBuf, u64),
    /// At hand.
    Here(Vec<u8>),
    /// A blob of the registry.
    Blob(Sha256),
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
                    files.insert(name, (Place::Disk(item.path(), 0), stat.len()));
                }
            }
        }
        Ok(Bundle { name: place.display().to_string(), files, registry: None })
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
            let file = (Place::Disk(place.to_owned(), at), size);
            if files.insert(path.clone(), file).is_some() {
                let message = format!("`{name}` holds `{path}` twice");
                return Err(Error::new(Kind::Archive, message));
            }
        }
        Ok(Bundle { name, files, registry: None })
    }

    /// The image `reference` in a registry, as the layout that a copy of it would be.
    /// Manifest and config are read now and are those of their digests; layers are read when
    /// they are opened, by who hashes them.
    pub fn of_registry(registry: Registry) -> Result<Self> {
        let reference = registry.reference();
        let by_digest = reference.digest.as_ref().map(Sha256::named);
        let name = by_digest.as_deref().or(reference.tag.as_deref()).unwrap_or("latest");
        let manifest = registry.manifest(name, &MANIFESTS)?.ok_or_else(|| {
            Error::new(Kind::Fetch, format!("{reference}: the registry has no such image"))
        })?;
        let wrong = |why: &str| Error::new(Kind::Archive, format!("{reference}: {why}"));
        if !MANIFESTS.contains(&&*manifest.media_type) {
            return Err(wrong(&format!(
                "expected one image, found {}",
                manifest.media_type.escape_debug()
            )));
        }
        let value: serde_json::Value =
            serde_json::from_slice(&manifest.text).map_err(|_| wrong("its manifest is no JSON"))?;
        // A registry may leave its type out.
        let media_type = Some(&manifest.media_type).filter(|media_type| !media_type.is_empty());
        let index = serde_json::json!({"manifests": [{
            "digest": manifest.digest.named(),
            "mediaType": media_type,
            "size": manifest.text.len(),
        }], "schemaVersion": 2});
        let mut files = BTreeMap::new();
        for layer in value["layers"].as_array().map_or(&[][..], Vec::as_slice) {
            let (digest, size) = descriptor(layer).ok_or_else(|| wrong("it names no layers"))?;
            files.insert(digest.blob(), (Place::Blob(digest), size));
        }
        let (config, size) =
            descriptor(&value["config"]).ok_or_else(|| wrong("it names no config"))?;
        let mut here = |name: String, bytes: Vec<u8>| {
            let size = bytes.len() as u64;
            files.insert(name, (Place::Here(bytes), size));
        };
        here(config.blob(), registry.small(&config, size)?);
        here(manifest.digest.blob(), manifest.text);
        here("index.json".to_owned(), index.to_string().into_bytes());
        Ok(Bundle { name: reference.to_string(), files, registry: Some(registry) })
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
        self.files.get(name).map(|(_, size)| *size)
    }

    /// The bytes of the file `name`.
    pub fn open(&self, name: &str) -> Result<Box<dyn Read + Send + '_>> {
        let (place, size) = self.place(name)?;
        match (place, &self.registry) {
            (Place::Disk(path, at), _) => {
                let mut file = File::open(path).at("open", path)?;
                file.seek(SeekFrom::Start(*at)).at("read", path)?;
                Ok(Box::new(file.take(*size)))
            }
            (Place::Here(bytes), _) => Ok(Box::new(Cursor::new(bytes))),
            (Place::Blob(digest), Some(registry)) => Ok(Box::new(registry.blob(digest, *size)?)),
            (Place::Blob(_), None) => Err(self.missing(name)),
        }
    }

    /// The whole of a JSON text.
    pub fn text(&self, name: &str) -> Result<Vec<u8>> {
        let (_, size) = self.place(name)?;
        if *size > TEXT {
            let message = format!("`{}`: `{name}` is too big for a JSON text", self.name);
            return Err(Error::new(Kind::Archive, message));
        }
        let mut bytes = Vec::new();
        let read = self.open(name)?.read_to_end(&mut bytes);
        read.map_err(|cause| unreadable(&format!("`{name}`"), &cause))?;
        Ok(bytes)
    }

    fn place(&self, name: &str) -> Result<&(Place, u64)> {
        self.files.get(name).ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> Error {
        Error::new(Kind::Archive, format!("`{}` has no `{name}`", self.name))
    }

    /// The value of a JSON text.
    pub fn json(&self, name: &str) -> Result<serde_json::Value> {
        let value = serde_json::from_slice(&self.text(name)?);
        value.map_err(|e| {
            Error::new(Kind::Archive, format!("`{}`: `{name}` is no JSON: {e}", self.name))
        })
    }
}

/// Digest and size that a descriptor names.
fn descriptor(value: &serde_json::Value) -> Option<(Sha256, u64)> {
    Some((Sha256::from_name(value["digest"].as_str()?)?, value["size"].as_u64()?))
}
