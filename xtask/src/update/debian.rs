//! The Debian packages of both roots.

use std::collections::{BTreeMap, BTreeSet};

use super::apt::Apt;
use super::closure::{Stanza, closure};
use crate::error::{Error, Kind, Result};
use crate::lock::{Package, RootKind};
use crate::nearest::nearest;
use crate::pins::{self, BazelSource, DebianRequest, Pins};
use crate::progress::say;

/// A root as it is asked of apt.
struct Asked<'p> {
    kind: RootKind,
    /// Its table in `workspace.toml`.
    table: &'static str,
    pins: &'p pins::Root,
    /// Each request with the key that it comes from.
    requests: Vec<(&'static str, &'p DebianRequest)>,
    /// Omitted names that nothing needs are no mistake: they are there for when Bazel is a
    /// package again.
    idle_is_fine: bool,
}

/// Resolves the builder root and the runtime root.
pub fn resolve(apt: &Apt, pins: &Pins) -> Result<Vec<Package>> {
    let mut packages: BTreeMap<String, Package> = BTreeMap::new();
    for asked in [builder(pins), runtime(pins)] {
        served(apt, pins, &asked)?;
        for stanza in root(apt, &asked)? {
            let package = package(&stanza, asked.kind)?;
            merge(&mut packages, package)?;
        }
    }
    let packages: Vec<Package> = packages.into_values().collect();
    as_pinned(&packages, pins)?;
    Ok(packages)
}

fn builder(pins: &Pins) -> Asked<'_> {
    let bazel = match &pins.bazel.source {
        BazelSource::Package(request) => Some(("bazel.package", request)),
        BazelSource::Binary { .. } => None,
    };
    let compiler = ("compiler.package", &pins.compiler.package);
    let requests = pins.builder.packages.iter().map(|request| ("builder.packages", request));
    Asked {
        kind: RootKind::Builder,
        table: "builder",
        pins: &pins.builder,
        requests: requests.chain([compiler]).chain(bazel).collect(),
        idle_is_fine: bazel.is_none(),
    }
}

fn runtime(pins: &Pins) -> Asked<'_> {
    let requests = pins.runtime.packages.iter().map(|request| ("runtime.packages", request));
    Asked {
        kind: RootKind::Runtime,
        table: "runtime",
        pins: &pins.runtime,
        requests: requests.collect(),
        idle_is_fine: false,
    }
}

/// The stanzas of one root: resolved in full by apt, omitted names cut off.
fn root(apt: &Apt, asked: &Asked<'_>) -> Result<Vec<Stanza>> {
    let requests: Vec<DebianRequest> = asked.requests.iter().map(|(_, r)| (*r).clone()).collect();
    let mut resolved = apt.resolve(&requests)?;
    let names: Vec<&str> = requests.iter().map(|request| request.name.as_str()).collect();
    let omit: Vec<&str> = asked.pins.omit.iter().map(|name| name.as_str()).collect();
    let found = closure(&resolved, &names, &omit);
    idle(asked, &found.idle)?;
    let kept: BTreeSet<String> = found.kept.into_iter().map(str::to_owned).collect();
    resolved.retain(|stanza| kept.contains(stanza.name()));
    Ok(resolved)
}

/// An omitted name that nothing needs is a mistake, unless only Debian's Bazel needed it.
fn idle(asked: &Asked<'_>, names: &[&str]) -> Result<()> {
    let table = asked.table;
    match names {
        [] => Ok(()),
        names if !asked.idle_is_fine => {
            let names = names.join("`, `");
            let message = format!("`{table}.omit` names `{names}`: nothing in that root needs it");
            Err(Error::new(Kind::Pins, message).hint("take it out of workspace.toml"))
        }
        names => {
            let names = names.join(", ");
            say(&format!("without Bazel's package nothing needs, of `{table}.omit`: {names}"));
            Ok(())
        }
    }
}

/// Each request is in the archive, in the asked version; otherwise names key and near miss.
fn served(apt: &Apt, pins: &Pins, asked: &Asked<'_>) -> Result<()> {
    let names: Vec<&str> =
        asked.requests.iter().map(|(_, request)| request.name.as_str()).collect();
    let versions = apt.versions(&names)?;
    let suite = &pins.debian.suite;
    for (key, request) in &asked.requests {
        let name = request.name.as_str();
        let here: Vec<&str> =
            versions.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect();
        let wanted = request.version.as_ref().map(|version| version.as_str());
        if here.is_empty() {
            let all = apt.names()?;
            let error =
                Error::new(Kind::Fetch, format!("`{key}`: `{suite}` has no package `{name}`"));
            return Err(match nearest(name, all.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            });
        }
        if let Some(wanted) = wanted.filter(|wanted| !here.contains(wanted)) {
            let message = format!(
                "`{key}`: the mirror does not serve {name} {wanted}; `{suite}` has {}",
                here.join(", ")
            );
            return Err(Error::new(Kind::Fetch, message)
                .hint("pin a version that it serves, or none, in workspace.toml"));
        }
    }
    Ok(())
}

fn package(stanza: &Stanza, kind: RootKind) -> Result<Package> {
    let odd = |field: &str| {
        let (name, found) = (stanza.name(), stanza.field(field).escape_debug());
        Error::new(Kind::Fetch, format!("the archive's index gives `{name}` the {field} `{found}`"))
    };
    let sha256 = stanza.field("SHA256");
    Ok(Package {
        name: stanza.name().to_owned(),
        version: stanza.field("Version").to_owned(),
        architecture: stanza.field("Architecture").to_owned(),
        path: stanza.field("Filename").to_owned(),
        size: stanza.field("Size").parse().map_err(|_| odd("Size"))?,
        sha256: sha256.parse().map_err(|_| odd("SHA256"))?,
        roots: [kind].into(),
    })
}

/// A package that both roots use is one record.
fn merge(packages: &mut BTreeMap<String, Package>, package: Package) -> Result<()> {
    let Some(known) = packages.get_mut(&package.name) else {
        packages.insert(package.name.clone(), package);
        return Ok(());
    };
    if known.sha256 != package.sha256 {
        let (name, one, two) = (&package.name, &known.version, &package.version);
        let message = format!("the roots need two versions of `{name}`: {one} and {two}");
        return Err(Error::new(Kind::Pins, message).hint("pin one of them in workspace.toml"));
    }
    known.roots.extend(package.roots);
    Ok(())
}

/// The suite's Bazel, compiler and Python are the pinned releases.
fn as_pinned(packages: &[Package], pins: &Pins) -> Result<()> {
    let compiler = pins.compiler.package.name.as_str();
    release(packages, compiler, "compiler.version", pins.compiler.version.as_str())?;
    release(packages, "python3-minimal", "python.version", pins.python.version.as_str())?;
    match &pins.bazel.source {
        BazelSource::Package(request) => {
            release(packages, request.name.as_str(), "bazel.version", pins.bazel.version.as_str())
        }
        BazelSource::Binary { .. } => Ok(()),
    }
}

fn release(packages: &[Package], name: &str, key: &str, pinned: &str) -> Result<()> {
    let Some(package) = packages.iter().find(|package| package.name == name) else {
        return Err(Error::new(Kind::Pins, format!("`{key}` is pinned, but no root has `{name}`")));
    };
    if is_release(&package.version, pinned) {
        return Ok(());
    }
    let message = format!("`{key}`: expected {name} {pinned}, found {}", package.version);
    Err(Error::new(Kind::Pins, message).hint("pin what the suite has, or another suite"))
}

/// Whether a Debian version (`[epoch:]upstream[-revision]`) is of an upstream release or of
/// a series: `1.2.3+ds-9` of `1.2.3`, `3.9.2-1` of `3.9`.
fn is_release(debian: &str, pinned: &str) -> bool {
    let upstream = debian.split_once(':').map_or(debian, |(_, rest)| rest);
    let rest = upstream.strip_prefix(pinned);
    rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_names_the_beginning_of_a_version() {
        for (debian, pinned) in
            [("1.2.3+ds-9", "1.2.3"), ("3.9.2-1+b1", "3.9"), ("1:5.2~rc1-4", "5.2"), ("4", "4")]
        {
            assert!(is_release(debian, pinned), "{debian} is of {pinned}");
        }
        for (debian, pinned) in [("1.2.30-1", "1.2.3"), ("3.13.5-1", "3.1"), ("1:2-3", "1")] {
            assert!(!is_release(debian, pinned), "{debian} is not of {pinned}");
        }
    }
}
