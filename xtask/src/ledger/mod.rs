//! The ledger: the digest and surface of everything that came out, as committed insta snapshots.
//!
//! [`digests`] and [`surface`] are the two texts, [`snapshot`] is where they are committed,
//! [`compare`] says in what two ledgers differ, [`accept`] takes a proposal over. The ledger
//! holds no workspace id: an edit that reaches no output leaves it as it is.

use std::ffi::OsString;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::abi::Surface;
use crate::atomic;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::workspace::Workspace;

pub mod accept;
pub mod compare;
pub mod digests;
pub mod image;
pub mod snapshot;
pub mod surface;

pub use digests::Row;

use compare::Texts;
use snapshot::{Part, Snapshot};

/// Everything that came out, for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// `linux/amd64`.
    pub platform: String,
    /// A row an artifact.
    pub rows: Vec<Row>,
    /// What loaders and TensorFlow see of each op library.
    pub surfaces: Vec<Surface>,
}

/// Whether a difference leaves a proposal behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposals {
    /// On a person's machine: yes.
    Write,
    /// In CI: never.
    Never,
}

impl Proposals {
    /// As `CI` says: set, and not empty, `false` or `0`, there are none.
    pub fn from_env(env: impl Fn(&str) -> Option<OsString>) -> Self {
        match env("CI") {
            Some(value) if !value.is_empty() && value != "false" && value != "0" => Self::Never,
            _ => Self::Write,
        }
    }
}

/// The committed ledger was reproduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Files that came out.
    pub artifacts: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reproduced: {} artifacts", self.artifacts)
    }
}

impl Ledger {
    /// The two texts of the snapshots.
    pub fn texts(&self) -> Texts {
        Texts { digests: digests::render(&self.rows), surface: surface::render(&self.surfaces) }
    }

    /// Where `build-ops` leaves it: what a script reads, and what the snapshot test asserts.
    pub fn file(workspace: &Workspace) -> std::path::PathBuf {
        workspace.dist().join("ledger.json")
    }

    /// Reads [`Ledger::file`].
    pub fn read(workspace: &Workspace) -> Result<Self> {
        let path = Self::file(workspace);
        let text = std::fs::read(&path).at("read", &path)?;
        let read = serde_json::from_slice(&text);
        read.map_err(|e| {
            Error::new(Kind::Ledger, format!("`{}` is no ledger: {e}", path.display()))
        })
    }

    /// Writes [`Ledger::file`].
    pub fn write(&self, workspace: &Workspace) -> Result<()> {
        let path = Self::file(workspace);
        let text =
            serde_json::to_string_pretty(self).map_err(|e| Error::io("write", &path, &e.into()))?;
        atomic::write(&path, format!("{text}\n").as_bytes())
    }

    /// Compares with the committed ledger. A difference is an error of kind `Ledger`, and on
    /// a person's machine a proposal beside the committed snapshots.
    pub fn check(&self, workspace: &Workspace, proposals: Proposals) -> Result<Report> {
        let found = self.texts();
        let snapshots = Part::ALL.map(|part| Snapshot::of(workspace, part, &self.platform));
        if proposals == Proposals::Never {
            snapshots.iter().try_for_each(not_pending)?;
        }
        let committed = match committed(&snapshots)? {
            Some(committed) if committed == found => {
                snapshots.iter().try_for_each(Snapshot::withdraw)?;
                return Ok(self.report());
            }
            committed => committed,
        };
        if proposals == Proposals::Write {
            propose(&snapshots, &found, committed.as_ref())?;
        }
        Err(match committed {
            None => missing(workspace, &self.platform),
            Some(committed) => differs(&committed, &found, self),
        }
        .hint(match proposals {
            Proposals::Write => "if that is what you meant, `cargo xtask accept`, and commit tests/snapshots",
            Proposals::Never => "run `cargo xtask build-ops` and `cargo xtask accept` on your machine, and commit tests/snapshots",
        }))
    }

    fn report(&self) -> Report {
        Report { artifacts: self.rows.iter().filter(|row| row.is_artifact()).count() }
    }
}

/// The committed texts; none when a part was never accepted.
fn committed(snapshots: &[Snapshot; 2]) -> Result<Option<Texts>> {
    let [digests, surface] = snapshots;
    Ok(match (digests.read()?, surface.read()?) {
        (Some(digests), Some(surface)) => Some(Texts { digests, surface }),
        _ => None,
    })
}

/// CI judges what was accepted: a proposal in its checkout was committed by mistake.
fn not_pending(snapshot: &Snapshot) -> Result<()> {
    if !snapshot.pending().exists() {
        return Ok(());
    }
    Err(Error::new(Kind::Ledger, format!("{snapshot}.new is a proposal that nobody accepted"))
        .hint("run `cargo xtask accept` on your machine, or remove it, and commit tests/snapshots"))
}

fn propose(snapshots: &[Snapshot; 2], found: &Texts, committed: Option<&Texts>) -> Result<()> {
    for snapshot in snapshots {
        let of = |texts: &Texts| match snapshot.part() {
            Part::Surface => texts.surface.clone(),
            Part::Digests | Part::Image => texts.digests.clone(),
        };
        match committed.map(of) == Some(of(found)) {
            true => snapshot.withdraw()?,
            false => snapshot.propose(&of(found))?,
        }
    }
    Ok(())
}

fn missing(workspace: &Workspace, platform: &str) -> Error {
    let mut others = accept::platforms(workspace);
    others.retain(|other| other != platform);
    let others = match others.is_empty() {
        true => String::new(),
        false => format!("; there is one for {}", others.join(", ")),
    };
    Error::new(Kind::Ledger, format!("no ledger for {platform} is committed{others}"))
}

fn differs(committed: &Texts, found: &Texts, ledger: &Ledger) -> Error {
    let platform = &ledger.platform;
    let differences = match compare::compare(committed, found) {
        Ok(differences) => differences,
        Err(why) => {
            let message = format!("the committed ledger for {platform} is no ledger: {why}");
            return Error::new(Kind::Ledger, message);
        }
    };
    let mut message = format!(
        "not reproduced: {} of {} artifacts differ from the committed ledger for {}",
        differences.len(),
        ledger.report().artifacts,
        platform
    );
    for difference in &differences {
        message += &format!("\n{difference}");
    }
    Error::new(Kind::Ledger, message)
}
