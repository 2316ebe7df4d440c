//! What moves between two locks, for people and for scripts.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::Lock;

/// One thing that the two locks say differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Move {
    /// `package libc6`, `wheel numpy`, `pin builder.omit dpkg`.
    pub what: String,
    /// In the old lock, if it is there.
    pub from: Option<String>,
    /// In the new lock, if it is there.
    pub to: Option<String>,
}

/// `+ package sed 4.9-1`, `- wheel six 1.17.0`, `~ package libc6 2.36-9 -> 2.36-10`.
impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = &self.what;
        match (&self.from, &self.to) {
            (None, to) => write!(f, "+ {what} {}", to.as_deref().unwrap_or_default()),
            (Some(from), None) => write!(f, "- {what} {from}"),
            (Some(from), Some(to)) => write!(f, "~ {what} {from} -> {to}"),
        }
    }
}

/// All moves from `old` to `new`; from no lock everything is new.
pub fn moves(old: Option<&Lock>, new: &Lock) -> Vec<Move> {
    let (old, new) = (old.map(facts).unwrap_or_default(), facts(new));
    let gone = old.iter().filter(|(what, _)| !new.contains_key(*what));
    let gone = gone.map(|(what, from)| Move::of(what, Some(from), None));
    let differ = new.iter().filter(|(what, to)| old.get(*what) != Some(to));
    let differ = differ.map(|(what, to)| Move::of(what, old.get(what), Some(to)));
    let mut moves: Vec<Move> = gone.chain(differ).collect();
    moves.sort_by(|a, b| a.what.cmp(&b.what));
    moves
}

/// Something that a lock says: in short, and to the last bit.
#[derive(PartialEq, Eq)]
struct Fact {
    short: String,
    exact: String,
}

impl Move {
    fn of(what: &str, from: Option<&Fact>, to: Option<&Fact>) -> Move {
        // The same version with other bytes is what nobody would see in a version number.
        let same = from.zip(to).is_some_and(|(from, to)| from.short == to.short);
        let shown = |fact: &Fact| {
            if same { format!("{} {}", fact.short, fact.exact) } else { fact.short.clone() }
        };
        Move { what: what.to_owned(), from: from.map(shown), to: to.map(shown) }
    }
}

fn facts(lock: &Lock) -> BTreeMap<String, Fact> {
    let mut facts = BTreeMap::new();
    let mut fact = |what: String, short: &str, exact: String| {
        facts.insert(what, Fact { short: short.to_owned(), exact });
    };
    for (key, value) in &lock.pins {
        match value.contains('\n') {
            true => {
                value.lines().for_each(|item| fact(format!("pin {key} {item}"), "", String::new()))
            }
            false => fact(format!("pin {key}"), value, String::new()),
        }
    }
    for package in &lock.packages {
        let exact = format!("{:?} {} {}", package.roots, package.path, package.sha256);
        fact(format!("package {}", package.name), &package.version, exact);
    }
    for wheel in &lock.wheels {
        let exact = format!("{} {}", wheel.file, wheel.sha256);
        fact(format!("wheel {}", wheel.name), &wheel.version, exact);
    }
    fact("tensorflow git-version".to_owned(), &lock.tensorflow.git_version, String::new());
    facts
}
