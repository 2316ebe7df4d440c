//! What a lock must be: sound in itself, and made from the pins as they are now.

use std::collections::{BTreeMap, BTreeSet};

use super::Lock;
use crate::error::{Error, Kind, Result};
use crate::reference::Reference;

/// Sorted, nothing twice, and no name or path that leads anywhere else.
pub(super) fn sound(lock: &Lock) -> Result<()> {
    sorted("package", lock.packages.iter().map(|package| package.name.as_str()))?;
    sorted("wheel", lock.wheels.iter().map(|wheel| wheel.name.as_str()))?;
    for package in &lock.packages {
        let name = &package.name;
        require(is_below(&package.path), "package", name, "path", &package.path)?;
        require(is_file_name(name), "package", name, "name", name)?;
        require(is_file_name(&package.version), "package", name, "version", &package.version)?;
        require(!package.roots.is_empty(), "package", name, "roots", "[]")?;
    }
    for wheel in &lock.wheels {
        let wheel_file = is_file_name(&wheel.file) && wheel.file.ends_with(".whl");
        require(wheel_file, "wheel", &wheel.name, "file", &wheel.file)?;
    }
    if let Some(base) = &lock.base {
        let whole = base.name.parse().is_ok_and(|name: Reference| name.repository() == base.name);
        require(whole, "base", &base.name, "name", &base.name)?;
        require(!base.layers.is_empty(), "base", &base.name, "layers", "[]")?;
    }
    let package = &lock.tensorflow.package;
    if let Some(source) = &lock.source {
        sorted("external", source.externals.iter().map(|external| external.from.as_str()))?;
        return require(lock.tensorflow.lane == "source", "tensorflow", package, "lane", "wheel");
    }
    require(lock.tensorflow.lane == "wheel", "tensorflow", package, "lane", &lock.tensorflow.lane)?;
    let wheel = lock.tensorflow_wheel().map_or("no wheel", |wheel| wheel.version.as_str());
    require(wheel == lock.tensorflow.version, "tensorflow", package, "version", wheel)
}

/// The lock is of these pins; otherwise names the first that moved.
pub(super) fn fresh(
    locked: &BTreeMap<String, String>,
    pins: &BTreeMap<String, String>,
) -> Result<()> {
    let moved: Vec<String> = moves(locked, pins).into_iter().map(|(_, how)| how).collect();
    if moved.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Lock,
        format!("workspace.lock is out of date: {}", moved.join("\n  and ")),
    )
    .hint("run `cargo xtask update` and look at what it moves"))
}

/// Each pin that differs, and how, in words.
pub(super) fn moves(
    locked: &BTreeMap<String, String>,
    pins: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let keys: BTreeSet<&String> = locked.keys().chain(pins.keys()).collect();
    let pairs = keys.into_iter().map(|key| (key, locked.get(key), pins.get(key)));
    let differ = pairs.filter(|(_, locked, pinned)| locked != pinned);
    differ.map(|(key, locked, pinned)| (key.clone(), moved(key, locked, pinned))).collect()
}

fn moved(key: &str, locked: Option<&String>, pinned: Option<&String>) -> String {
    let list = [locked, pinned].into_iter().flatten().any(|text| text.contains('\n'));
    let none = if list { "" } else { "not set" };
    let (here, there) = (pinned.map_or(none, |text| text), locked.map_or(none, |text| text));
    if !list {
        return format!("`{key}` is {here} in workspace.toml, {there} in the lock");
    }
    let only = |here: &str, there: &str| {
        let new = here.lines().filter(|item| !there.lines().any(|other| other == *item));
        let new = new.collect::<Vec<_>>().join(", ");
        if new.is_empty() { "nothing".to_owned() } else { new }
    };
    let (new, old) = (only(here, there), only(there, here));
    format!("`{key}` has {new} only in workspace.toml, {old} only in the lock")
}

fn sorted<'n>(kind: &str, names: impl Iterator<Item = &'n str>) -> Result<()> {
    let names: Vec<&str> = names.collect();
    match names.windows(2).find(|pair| pair[0] >= pair[1]) {
        None => Ok(()),
        Some(pair) if pair[0] == pair[1] => {
            Err(unsound(format!("{kind} `{}` is there twice", pair[0])))
        }
        Some(pair) => Err(unsound(format!("{kind} `{}` is after `{}`", pair[1], pair[0]))),
    }
}

fn require(holds: bool, kind: &str, name: &str, key: &str, found: &str) -> Result<()> {
    if holds {
        return Ok(());
    }
    Err(unsound(format!("{kind} `{name}` has the {key} `{}`", found.escape_debug())))
}

fn unsound(what: String) -> Error {
    Error::new(Kind::Lock, format!("workspace.lock is damaged: {what}"))
        .hint("run `cargo xtask update` and look at what it moves")
}

/// One component of a path, and printable.
fn is_file_name(text: &str) -> bool {
    !text.is_empty()
        && text != "."
        && text != ".."
        && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
}

/// A relative path that stays below where it starts.
fn is_below(path: &str) -> bool {
    path.split('/').all(is_file_name)
}
