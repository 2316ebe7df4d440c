//! Ledgers of other machines: who agrees, who does not, and on what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::fetch;
use crate::ledger::Ledger;

/// Most bytes of a ledger that is read.
const LARGEST: u64 = 64 << 20;

/// What the ledgers of all machines say together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// How many say the same as ours, ours with them.
    pub agree: usize,
    /// How many there are, ours with them.
    pub of: usize,
    /// Those who do not, and on what, sorted.
    pub dissenters: BTreeMap<String, Vec<String>>,
}

/// `agreement: 2 of 3`, and a line for each dissenter.
impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agreement: {} of {}", self.agree, self.of)?;
        self.dissenters
            .iter()
            .try_for_each(|(who, what)| write!(f, "\n  {who} dissents on {}", what.join(", ")))
    }
}

/// Compares `ours` with the others, each by its name.
pub fn agreement(ours: &Ledger, others: &[(String, Ledger)]) -> Agreement {
    let mut dissenters = BTreeMap::new();
    for (who, ledger) in others {
        let what = apart(ours, ledger);
        if !what.is_empty() {
            dissenters.insert(who.clone(), what);
        }
    }
    let of = others.len() + 1;
    Agreement { agree: of - dissenters.len(), of, dissenters }
}

/// On what two ledgers differ, in words.
fn apart(ours: &Ledger, theirs: &Ledger) -> Vec<String> {
    if ours.platform != theirs.platform {
        return vec![format!("the platform: {} instead of {}", theirs.platform, ours.platform)];
    }
    let rows = |ledger: &Ledger| -> BTreeMap<(String, String), Sha256> {
        let rows = ledger.rows.iter().filter(|row| row.is_artifact());
        rows.map(|row| ((row.package.clone(), row.file.clone()), row.sha256)).collect()
    };
    let (ours, theirs) = (rows(ours), rows(theirs));
    let all: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let differs = |artifact: &&(String, String)| ours.get(*artifact) != theirs.get(*artifact);
    let told = |artifact: &(String, String)| match (ours.get(artifact), theirs.get(artifact)) {
        (Some(a), Some(b)) => format!("{} ({} instead of {})", artifact.1, b.short(), a.short()),
        (Some(_), None) => format!("{} (not there)", artifact.1),
        _ => format!("{} (only there)", artifact.1),
    };
    all.into_iter().filter(differs).map(told).collect()
}

/// Reads the ledger at `place`: a file, or an `http://` or `https://` address.
pub fn read(place: &str, offline: bool) -> Result<Ledger> {
    let bytes = if place.starts_with("http://") || place.starts_with("https://") {
        fetch::small(place, LARGEST, &fetch::Options::from_env(offline))?
    } else {
        let path = Path::new(place);
        if std::fs::metadata(path).at("read", path)?.len() > LARGEST {
            return Err(no_ledger(place, "it is far too large"));
        }
        std::fs::read(path).at("read", path)?
    };
    serde_json::from_slice(&bytes).map_err(|cause| no_ledger(place, &cause.to_string()))
}

fn no_ledger(place: &str, why: &str) -> Error {
    Error::new(Kind::Ledger, format!("`{place}` is no ledger: {why}"))
        .hint("`cargo xtask build-ops` writes one: dist/ledger.json")
}
