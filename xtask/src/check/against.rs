//! Ledgers of other machines: who agrees, who does not, and on what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::fetch::{self, Url};
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

/// Compares `ours` with the others, each by its name; two may have one.
pub fn agreement(ours: &Ledger, others: &[(String, Ledger)]) -> Agreement {
    let mut dissenters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut agree = 1;
    for (who, ledger) in others {
        let what = apart(ours, ledger);
        match what.is_empty() {
            true => agree += 1,
            false => dissenters.entry(who.clone()).or_default().extend(what),
        }
    }
    Agreement { agree, of: others.len() + 1, dissenters }
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

fn is_address(place: &str) -> bool {
    place.starts_with("http://") || place.starts_with("https://")
}

/// What people call the ledger at `place`: an address without its password and query.
pub fn name(place: &str) -> String {
    let address = is_address(place).then(|| Url::parse(place).ok()).flatten();
    address.map_or_else(|| place.to_owned(), |url| url.to_string())
}

/// Reads the ledger at `place`: a file, or an `http://` or `https://` address.
pub fn read(place: &str, offline: bool) -> Result<Ledger> {
    let bytes = if is_address(place) {
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
    Error::new(Kind::Ledger, format!("`{}` is no ledger: {why}", name(place)))
        .hint("`cargo xtask build-ops` writes one: dist/ledger.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_without_its_secrets() {
        let place = "https://user:token@ledgers.example/ledger.json?signature=secret";
        assert_eq!(name(place), "https://ledgers.example/ledger.json?…");
        assert_eq!(name("a@b/ledger.json?x"), "a@b/ledger.json?x");
        insta::assert_snapshot!(no_ledger(place, "it is far too large"), @"
        error: `https://ledgers.example/ledger.json?…` is no ledger: it is far too large
        hint: `cargo xtask build-ops` writes one: dist/ledger.json
        ");
    }

    #[test]
    fn two_dissenters_of_one_name_are_two() {
        let ledger = |platform: &str| Ledger {
            platform: platform.to_owned(),
            rows: Vec::new(),
            surfaces: Vec::new(),
        };
        let other = ("x".to_owned(), ledger("other"));
        let said = agreement(&ledger("ours"), &[other.clone(), other]).to_string();
        assert!(said.starts_with("agreement: 1 of 3\n"), "{said}");
    }
}
