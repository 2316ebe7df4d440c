//! Committed against found: what differs, in a reviewer's words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::digests::{self, CODE, Row};
use super::surface::{self, Sections};
use crate::abi::op_name;
use crate::digest::Sha256;

/// The ledger as its two texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// Of the digests.
    pub digests: String,
    /// Of the surface.
    pub surface: String,
}

impl Texts {
    /// The image's digests, which have no surface.
    pub fn of_image(digests: &str) -> Self {
        Texts { digests: digests.to_owned(), surface: String::new() }
    }
}

/// How one artifact differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Op package and file.
    pub artifact: (String, String),
    /// In what way.
    pub change: Change,
}

/// A way in which an artifact differs from the committed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    Added,
    /// It is not there any more.
    Removed,
    /// Other bytes of something that is not an op library.
    Contents {
        /// The committed digest.
        from: Sha256,
        /// The digest that came out.
        to: Sha256,
    },
    /// The library's code and surface are as they were; names or notes around them moved.
    Bytes,
    /// Other code under the same surface.
    Code,
    /// The surface differs: lines that went and lines that came.
    Surface {
        /// In the committed surface only.
        gone: Vec<String>,
        /// In the new surface only.
        new: Vec<String>,
    },
}

/// Compares two ledgers; none of the differences is left out. The error names the line of a
/// text that is not a ledger's.
pub fn compare(committed: &Texts, found: &Texts) -> Result<Vec<Difference>, String> {
    let (old, new) = (digests::parse(&committed.digests)?, digests::parse(&found.digests)?);
    same_platform(&old, &new)?;
    let (old, new) = (by_file(old), by_file(new));
    let (old_surface, new_surface) =
        (surface::parse(&committed.surface)?, surface::parse(&found.surface)?);
    let artifacts = |rows: &Rows| -> BTreeSet<(String, String)> {
        rows.keys().filter(|(_, file)| !file.ends_with(CODE)).cloned().collect()
    };
    let mut all = artifacts(&old);
    all.extend(artifacts(&new));
    let mut differences = Vec::new();
    for artifact in all {
        let surfaces = surface_change(&artifact, &old_surface, &new_surface);
        if let Some(change) = surfaces.or_else(|| digest_change(&artifact, &old, &new)) {
            differences.push(Difference { artifact, change });
        }
    }
    Ok(differences)
}

type Rows = BTreeMap<(String, String), Sha256>;

fn by_file(rows: Vec<Row>) -> Rows {
    rows.into_iter().map(|Row { package, file, sha256, .. }| ((package, file), sha256)).collect()
}

/// Rows of another platform under this one's name: renamed or copied by hand.
fn same_platform(committed: &[Row], found: &[Row]) -> Result<(), String> {
    let Some(expected) = found.first().map(|row| &row.platform) else { return Ok(()) };
    match committed.iter().find(|row| row.platform != *expected) {
        Some(row) => {
            Err(format!("the row of {} is for {}, expected {expected}", row.file, row.platform))
        }
        None => Ok(()),
    }
}

fn digest_change(artifact: &(String, String), old: &Rows, new: &Rows) -> Option<Change> {
    let (package, file) = artifact;
    let code = (package.clone(), format!("{file}{CODE}"));
    match (old.get(artifact), new.get(artifact)) {
        (None, _) => Some(Change::Added),
        (_, None) => Some(Change::Removed),
        (Some(from), Some(to)) if from == to => None,
        (Some(from), Some(to)) => Some(match (old.get(&code), new.get(&code)) {
            (Some(old), Some(new)) if old == new => Change::Bytes,
            (Some(_), Some(_)) => Change::Code,
            _ => Change::Contents { from: *from, to: *to },
        }),
    }
}

/// A changed surface of a library that is in both ledgers.
fn surface_change(
    (package, file): &(String, String),
    old: &Sections<'_>,
    new: &Sections<'_>,
) -> Option<Change> {
    let name = format!("{package}/{file}");
    let (old, new) = (old.get(&*name)?, new.get(&*name)?);
    if old == new {
        return None;
    }
    let without = |lines: &[&str], other: &[&str]| -> Vec<String> {
        lines.iter().filter(|line| !other.contains(line)).map(ToString::to_string).collect()
    };
    let (gone, came) = (without(old, new), without(new, old));
    let reordered = gone.is_empty() && came.is_empty();
    let order = |lines: &[&str]| lines.iter().map(ToString::to_string).collect();
    if reordered {
        return Some(Change::Surface { gone: order(old), new: order(new) });
    }
    Some(Change::Surface { gone, new: came })
}

impl Change {
    /// The heading of a changed surface: which op, if it is one op's signature.
    fn heading(&self) -> String {
        match self {
            Change::Added => "new".to_owned(),
            Change::Removed => "no longer there".to_owned(),
            Change::Contents { .. } => "other contents".to_owned(),
            Change::Bytes => "only bytes moved: same code, same surface".to_owned(),
            Change::Code => "the code changed, the surface is as it was".to_owned(),
            Change::Surface { gone, new } => {
                let (gone, new) = (op_names(gone), op_names(new));
                let changed =
                    gone.intersection(&new).map(|op| format!("op {op} changed its signature"));
                let removed = gone.difference(&new).map(|op| format!("op {op} is no longer there"));
                let added = new.difference(&gone).map(|op| format!("op {op} is new"));
                let said: Vec<String> = changed.chain(removed).chain(added).collect();
                if said.is_empty() { "the surface changed".to_owned() } else { said.join(", ") }
            }
        }
    }
}

fn op_names(lines: &[String]) -> BTreeSet<&str> {
    lines.iter().filter_map(|line| line.strip_prefix("op ")).map(op_name).collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (package, file) = &self.artifact;
        if package != digests::ALL {
            write!(f, "{package}: ")?;
        }
        write!(f, "{file}: {}", self.change.heading())?;
        match &self.change {
            Change::Surface { gone, new } => {
                gone.iter().try_for_each(|line| write!(f, "\n  - {line}"))?;
                new.iter().try_for_each(|line| write!(f, "\n  + {line}"))
            }
            Change::Contents { from, to } => {
                write!(f, "\n  expected: sha256 {from}\n  found: sha256 {to}")
            }
            _ => Ok(()),
        }
    }
}
