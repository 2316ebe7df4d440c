//! Two TensorFlow wheels: equal, equal but for timestamps, or in what they differ.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use crate::cause::{Cause, Difference, compare};
use crate::digest::{Hasher, Sha256};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::root::zip::{Archive, Member};

/// Larger members are not taken apart in memory.
const LARGEST: u64 = 2 << 30;

/// What to compare.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// A wheel
    #[arg(value_name = "A")]
    pub one: PathBuf,
    /// Another one
    #[arg(value_name = "B")]
    pub other: PathBuf,
    /// Print what differs as JSON
    #[arg(long)]
    pub json: bool,
}

/// How two wheels are to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Byte by byte.
    Equal,
    /// All members have the same contents; they were packed at other times.
    EqualButForTimestamps,
    /// In contents.
    Differ,
}

/// What came of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// How they are to each other.
    pub verdict: Verdict,
    /// Members that differ or are in one only, each with where and why.
    pub differences: Vec<Difference>,
}

/// Compares and says what came of it; exit code 9 when they differ.
pub fn run(options: &Options) -> Result<ExitCode> {
    let comparison = wheels(&options.one, &options.other)?;
    if options.json {
        println!("{}", serde_json::json!(comparison));
    } else {
        print!("{}", text(&comparison));
    }
    Ok(match comparison.verdict {
        Verdict::Differ => ExitCode::from(Kind::Ledger.exit_code()),
        _ => ExitCode::SUCCESS,
    })
}

fn text(comparison: &Comparison) -> String {
    let lines = comparison.differences.iter().map(|difference| format!("{difference}\n"));
    let verdict = match comparison.verdict {
        Verdict::Equal => "equal\n".to_owned(),
        Verdict::EqualButForTimestamps => "equal but for timestamps\n".to_owned(),
        Verdict::Differ => {
            let members: std::collections::BTreeSet<_> =
                comparison.differences.iter().filter_map(|d| d.place.first()).collect();
            format!("differ in {} members\n", members.len())
        }
    };
    lines.collect::<String>() + &verdict
}

/// Compares two wheels, member by member.
pub fn wheels(one: &Path, other: &Path) -> Result<Comparison> {
    let (one, other) = (open(one)?, open(other)?);
    if digest(one.1)? == digest(other.1)? {
        return Ok(Comparison { verdict: Verdict::Equal, differences: Vec::new() });
    }
    let differences = members(&one.0, &other.0)?;
    // An explanation leaves out what follows from others: it says nothing of being equal.
    let verdict = match differences.is_empty() {
        true => Verdict::EqualButForTimestamps,
        false => Verdict::Differ,
    };
    Ok(Comparison { verdict, differences })
}

fn open(path: &Path) -> Result<(Archive, &Path)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok((Archive::open(path, &name)?, path))
}

fn digest(path: &Path) -> Result<Sha256> {
    Sha256::of_file(path)
}

fn members(one: &Archive, other: &Archive) -> Result<Vec<Difference>> {
    let by_name = |archive: &Archive| -> BTreeMap<String, Member> {
        archive.members().iter().map(|m| (m.name.to_string(), m.clone())).collect()
    };
    let (ours, theirs) = (by_name(one), by_name(other));
    let mut differences = Vec::new();
    for (name, member) in &ours {
        match theirs.get(name) {
            None => differences.push(only(name, "there", "")),
            Some(_) if is_record(name) => {}
            Some(twin) => differences.extend(pair(one, member, other, twin)?),
        }
    }
    let new = theirs.keys().filter(|name| !ours.contains_key(*name));
    differences.extend(new.map(|name| only(name, "", "there")));
    Ok(differences)
}

/// RECORD says the digests of the others: by itself it is no difference.
fn is_record(name: &str) -> bool {
    name.ends_with(".dist-info/RECORD")
}

fn only(name: &str, one: &str, other: &str) -> Difference {
    let (one, other) = (one.to_owned(), other.to_owned());
    Difference { place: vec![name.to_owned()], offset: None, cause: Cause::Presence, one, other }
}

/// Two members of one name. Contents of one CRC and size are hashed before they are believed
/// to be the same.
fn pair(one: &Archive, member: &Member, other: &Archive, twin: &Member) -> Result<Vec<Difference>> {
    if member.size == twin.size
        && member.crc == twin.crc
        && hash(one, member)? == hash(other, twin)?
    {
        return Ok(mode(member, twin).into_iter().collect());
    }
    if member.size.max(twin.size) > LARGEST {
        let message = format!("`{}` is too large to be taken apart", member.name);
        return Err(Error::new(Kind::Archive, message));
    }
    let (ours, theirs) = (content(one, member)?, content(other, twin)?);
    Ok(compare(member.name.as_str(), &ours, &theirs))
}

/// Bits that make a file executable decide what can be done with it; others are the packer's.
fn mode(member: &Member, twin: &Member) -> Option<Difference> {
    let executable = |member: &Member| member.mode.map(|mode| mode & 0o111 != 0);
    if executable(member) == executable(twin) {
        return None;
    }
    let shown = |member: &Member| member.mode.map_or("none".to_owned(), |mode| format!("{mode:o}"));
    let (one, other, place) = (shown(member), shown(twin), vec![member.name.to_string()]);
    Some(Difference { place, offset: None, cause: Cause::Mode, one, other })
}

fn hash(archive: &Archive, member: &Member) -> Result<Sha256> {
    let mut hasher = Hasher::default();
    archive.copy(member, |piece| {
        hasher.update(piece);
        Ok(())
    })?;
    Ok(hasher.finish())
}

fn content(archive: &Archive, member: &Member) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let room = usize::try_from(member.size).unwrap_or_default();
    content
        .try_reserve_exact(room)
        .map_err(std::io::Error::other)
        .at("hold", Path::new(archive.name()))?;
    archive.copy(member, |piece| {
        content.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(content)
}
