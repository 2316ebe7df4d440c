//! Wheels: "Binary distribution format" (PyPA specification 1.0, PEP 427 and 491), read
//! strictly: every file stands in RECORD with its digest, and the names in the file name,
//! of the `.dist-info` folder and in METADATA are one.

mod name;
mod record;
mod scripts;
mod slim;
mod spread;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};

use super::path::TreePath;
use super::zip::{Archive, Both, Member};

pub use name::{FileName, normalised};
pub use slim::{Replaced, is_own_library};
pub use spread::{Content, Installed};

/// RECORD cannot name its own digest, and its signatures are made after it; they are not
/// installed.
const UNRECORDED: [&str; 3] = ["RECORD", "RECORD.jws", "RECORD.p7s"];

/// A wheel whose names and RECORD have been checked; contents are when they are read.
#[derive(Debug)]
pub struct Wheel {
    archive: Archive,
    file_name: FileName,
    by_name: BTreeMap<TreePath, usize>,
    /// By member, what RECORD says; `None` for RECORD and its signatures.
    digests: Vec<Option<Sha256>>,
    /// `tensorflow_cpu-9.8.7.dist-info`
    info: String,
}

impl Wheel {
    /// Opens the wheel at `path`; `file` is its name on the index, which the store does
    /// not keep.
    pub fn open(path: &Path, file: &str) -> Result<Self> {
        let file_name = FileName::parse(file)?;
        let archive = Archive::open(path, file)?;
        let names = archive.members().iter().enumerate();
        let by_name = names.map(|(at, member)| (member.name.clone(), at)).collect();
        let digests = vec![None; archive.members().len()];
        let mut wheel = Wheel { archive, file_name, by_name, digests, info: String::new() };
        wheel.info = wheel.find_info()?;
        wheel.digests = wheel.read_record()?;
        wheel.check_metadata()?;
        Ok(wheel)
    }

    /// The wheel's file name on the index.
    pub fn name(&self) -> &str {
        self.archive.name()
    }

    /// What its file name says.
    pub fn file_name(&self) -> &FileName {
        &self.file_name
    }

    /// All files of the archive.
    pub fn entries(&self) -> &[Member] {
        self.archive.members()
    }

    /// The file at `path`, if there is one.
    pub fn get(&self, path: &str) -> Option<&Member> {
        self.by_name.get(path).and_then(|at| self.entries().get(*at))
    }

    /// The file at `path`; an error that names the wheel and the path when there is none.
    pub fn need(&self, path: &str) -> Result<&Member> {
        self.get(path).ok_or_else(|| self.refuse(format!("it has no `{path}`")))
    }

    /// The content of `entry`, at most 64 MiB, checked against CRC and RECORD.
    pub fn read(&self, entry: &Member) -> Result<Vec<u8>> {
        let content = self.archive.read(entry)?;
        let digest = self.by_name.get(&entry.name).and_then(|at| self.digests[*at]);
        match digest.filter(|digest| *digest != Sha256::of(&content)) {
            None => Ok(content),
            Some(digest) => Err(self.differs(entry, &digest, &Sha256::of(&content))),
        }
    }

    /// Gives the content of `entry` to `sink` piece by piece. Only after `Ok` were size and
    /// CRC right; the digest is the caller's to compare.
    pub fn copy(&self, entry: &Member, sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.archive.copy(entry, sink)
    }

    /// Adds `entry`, as it is in the archive and its content, to `both`; see [`Archive::pour`].
    pub fn pour(
        &self,
        entry: &Member,
        both: &mut Both,
        full: impl FnMut(&mut Both) -> Result<()>,
    ) -> Result<()> {
        self.archive.pour(entry, both, full)
    }

    /// The error for content that is not what RECORD says.
    pub fn differs(&self, entry: &Member, expected: &Sha256, found: &Sha256) -> Error {
        let name = &entry.name;
        self.refuse(format!("`{name}`: RECORD says sha256 {expected}, found {found}"))
    }

    fn refuse(&self, why: impl std::fmt::Display) -> Error {
        Error::new(Kind::Archive, format!("`{}`: {why}", self.name()))
    }

    /// The one `.dist-info` folder at the top, which is that of the file name. Packages may
    /// carry others of what they vendor, further down.
    fn find_info(&self) -> Result<String> {
        let mut found = None;
        for name in self.by_name.keys() {
            let top = name.components().next().unwrap_or_default();
            let Some((stem, sort)) = top.rsplit_once('.') else { continue };
            if !["dist-info", "data"].contains(&sort) || name.as_str() == top {
                continue;
            }
            let (distribution, version) = stem.split_once('-').unwrap_or((stem, ""));
            if !self.file_name.is(distribution, version) {
                return Err(self.refuse(format!("its folder `{top}` is of another distribution")));
            }
            if sort == "dist-info" && found.replace(top).is_some_and(|other| other != top) {
                return Err(self.refuse("it has two `.dist-info` folders of its own"));
            }
        }
        let info = found.ok_or_else(|| self.refuse("it has no `.dist-info` folder of its own"))?;
        Ok(info.to_owned())
    }

    fn read_record(&self) -> Result<Vec<Option<Sha256>>> {
        let text = self.read(self.need(&format!("{}/RECORD", self.info))?)?;
        let mut rows = record::parse(&text).map_err(|why| self.refuse(why))?;
        let mut digests = Vec::new();
        for member in self.entries() {
            let name = &member.name;
            let row = rows.remove(name);
            if name.below(&self.info).is_some_and(|file| UNRECORDED.contains(&file)) {
                digests.push(None);
                continue;
            }
            let row = row.ok_or_else(|| self.refuse(format!("`{name}` is not in RECORD")))?;
            if row.digest.is_none() {
                return Err(self.refuse(format!("`{name}` has no sha256 in RECORD")));
            }
            if let Some(size) = row.size.filter(|size| *size != member.size) {
                let found = member.size;
                let why = format!("`{name}`: RECORD says {size} bytes, found {found}");
                return Err(self.refuse(why));
            }
            digests.push(row.digest);
        }
        match rows.keys().next() {
            None => Ok(digests),
            Some(name) => Err(self.refuse(format!("RECORD names `{name}`, which is not in it"))),
        }
    }

    fn check_metadata(&self) -> Result<()> {
        let metadata = self.read(self.need(&format!("{}/METADATA", self.info))?)?;
        let (name, version) = (self.header(&metadata, "Name")?, self.header(&metadata, "Version")?);
        if !self.file_name.is(&name, &version) {
            let FileName { distribution, version: of } = &self.file_name;
            return Err(self.refuse(format!(
                "METADATA is of {name} {version}, the file name of {distribution} {of}"
            )));
        }
        let wheel = self.read(self.need(&format!("{}/WHEEL", self.info))?)?;
        match self.header(&wheel, "Wheel-Version")? {
            version if version.starts_with("1.") => Ok(()),
            version => Err(self.refuse(format!("Wheel-Version {version}: only 1 is known"))),
        }
    }

    /// The one header `name` before the first empty line.
    fn header(&self, text: &[u8], name: &str) -> Result<String> {
        let text = String::from_utf8_lossy(text);
        let headers = text.lines().take_while(|line| !line.is_empty());
        let mut values = headers.filter_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        });
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            _ => Err(self.refuse(format!("its metadata has not one `{name}`"))),
        }
    }
}
