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
        let (sign, old, new) = match (&self.from, &self.to) {
            (None, to) => ('+', None, to.as_ref()),
            (from, None) => ('-', from.as_ref(), None),
            (from, to) => ('~', from.as_ref(), to.as_ref()),
        };
        let versions: Vec<&str> = [old, new].into_iter().flatten().map(String::as_str).collect();
        write!(f, "{}", format!("{sign} {} {}", self.what, versions.join(" -> ")).trim_end())
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

/// Something that a lock says: its version, and what else must not move unseen.
#[derive(PartialEq, Eq)]
struct Fact {
    version: String,
    rest: String,
}

impl Move {
    fn of(what: &str, from: Option<&Fact>, to: Option<&Fact>) -> Move {
        // Other bytes under the same version are what nobody would see in a version.
        let same = from.zip(to).is_some_and(|(from, to)| from.version == to.version);
        let shown = |fact: &Fact| {
            if same { format!("{} ({})", fact.version, fact.rest) } else { fact.version.clone() }
        };
        Move { what: what.to_owned(), from: from.map(shown), to: to.map(shown) }
    }
}

fn facts(lock: &Lock) -> BTreeMap<String, Fact> {
    let mut facts = BTreeMap::new();
    let mut fact = |what: String, version: &str, rest: String| {
        facts.insert(what, Fact { version: version.to_owned(), rest });
    };
    for (key, value) in &lock.pins {
        match value.contains('\n') {
            // A list moves item by item.
            true => value.lines().for_each(|item| {
                fact(format!("pin {key}: {item}"), "", String::new());
            }),
            false => fact(format!("pin {key}"), value, String::new()),
        }
    }
    for package in &lock.packages {
        let roots: Vec<&str> = package.roots.iter().map(|root| root.name()).collect();
        let (roots, path, digest) = (roots.join(" and "), &package.path, &package.sha256);
        let rest = format!("{roots}, {path}, sha256 {digest}");
        fact(format!("package {}", package.name), &package.version, rest);
    }
    for wheel in &lock.wheels {
        let rest = format!("{}, sha256 {}", wheel.file, wheel.sha256);
        fact(format!("wheel {}", wheel.name), &wheel.version, rest);
    }
    fact("tensorflow git-version".to_owned(), &lock.tensorflow.git_version, String::new());
    for external in lock.source.iter().flat_map(|source| &source.externals) {
        let rest = format!("{} bytes, sha256 {}", external.size, external.sha256);
        fact(format!("external {}", external.from), "", rest);
    }
    if let Some(base) = &lock.base {
        let layers: Vec<String> = base.layers.iter().map(|l| l.sha256.short()).collect();
        let rest = format!("layers {}", layers.join(" "));
        fact("base".to_owned(), &format!("{}@sha256:{}", base.name, base.digest), rest);
    }
    if let Some(binary) = &lock.bazel.binary {
        fact("bazel binary".to_owned(), &binary.url, format!("sha256 {}", binary.sha256));
    }
    facts
}
