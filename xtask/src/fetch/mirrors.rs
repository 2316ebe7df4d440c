//! Who serves what: this machine's own configuration, unless somebody overrides it. No
//! registry's host is written here or anywhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::plan::{Download, Origin};
use super::url::Url;
use super::{apt, pip};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::lock::Lock;

/// Mirrors and indexes in the order in which they are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mirrors {
    pub debian: Vec<Url>,
    pub python: Vec<Url>,
}

impl Mirrors {
    /// Those that `downloads` need: nobody is asked for an index when no wheel is missing.
    pub fn find(
        lock: &Lock,
        downloads: &[&Download],
        env: &BTreeMap<String, String>,
    ) -> Result<Self> {
        let pool = downloads.iter().any(|download| matches!(download.origin, Origin::Pool(_)));
        let index =
            downloads.iter().any(|download| matches!(download.origin, Origin::Index { .. }));
        Ok(Mirrors {
            debian: if pool { debian(&lock.pins, env)? } else { Vec::new() },
            python: if index { python(&lock.pins, env)? } else { Vec::new() },
        })
    }
}

/// Names and values: flat pins, or an environment.
type Texts = BTreeMap<String, String>;

/// `LOCKSTEP_DEBIAN_MIRROR`, else the pin `debian.mirror`, else this machine's apt sources.
pub fn debian(pins: &Texts, env: &Texts) -> Result<Vec<Url>> {
    if let Some(named) = named("LOCKSTEP_DEBIAN_MIRROR", "debian.mirror", pins, env)? {
        return Ok(named);
    }
    let mut sources = Vec::new();
    for path in source_files(Path::new("/etc/apt"))? {
        let text = std::fs::read(&path).at("read", &path)?;
        sources.extend(apt::parse(&path, &String::from_utf8_lossy(&text)));
    }
    let mirrors = apt::mirrors(&sources, pins.get("debian.suite").map_or("", String::as_str));
    if mirrors.is_empty() {
        return Err(Error::new(Kind::Machine, "this machine's apt sources name no Debian mirror")
            .hint("set LOCKSTEP_DEBIAN_MIRROR, or pin `debian.mirror` in workspace.toml"));
    }
    Ok(mirrors)
}

/// `sources.list` and what is in `sources.list.d`, in apt's order.
fn source_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let parts = folder.join("sources.list.d");
    if parts.is_dir() {
        for item in parts.read_dir().at("read", &parts)? {
            files.push(item.at("read", &parts)?.path());
        }
    }
    let named = |path: &PathBuf| path.extension().is_some_and(|e| e == "list" || e == "sources");
    files.retain(|path| named(path) && path.is_file());
    files.sort();
    let main = folder.join("sources.list");
    Ok(main.is_file().then_some(main).into_iter().chain(files).collect())
}

/// `LOCKSTEP_PYTHON_INDEX`, else the pin `python.index`, else what this machine's pip uses.
pub fn python(pins: &Texts, env: &Texts) -> Result<Vec<Url>> {
    if let Some(named) = named("LOCKSTEP_PYTHON_INDEX", "python.index", pins, env)? {
        return Ok(named);
    }
    let from_pip = || -> Result<String> {
        let indexes = pip::indexes(&pip::config(env)?);
        if indexes.is_empty() { pip::default_index(env) } else { Ok(indexes.join(" ")) }
    };
    let indexes = from_pip().map_err(|error| {
        error
            .context("cannot ask pip for its index")
            .hint("set LOCKSTEP_PYTHON_INDEX, or pin `python.index` in workspace.toml")
    })?;
    urls("pip's index", &indexes)
}

fn named(variable: &str, pin: &str, pins: &Texts, env: &Texts) -> Result<Option<Vec<Url>>> {
    let of_env = env.get(variable).map(|value| (format!("`{variable}`"), value));
    let of_pins = pins.get(pin).map(|value| (format!("the pin `{pin}`"), value));
    let set = of_env.into_iter().chain(of_pins).find(|(_, value)| !value.trim().is_empty());
    set.map(|(what, value)| urls(&what, value)).transpose()
}

/// One or more URLs with spaces between; the error does not repeat them: they may hold a
/// password.
fn urls(what: &str, text: &str) -> Result<Vec<Url>> {
    let parsed: Result<Vec<Url>, String> = text.split_whitespace().map(Url::parse).collect();
    parsed.map_err(|why| Error::new(Kind::Pins, format!("{what} is not a URL: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::example;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn the_environment_wins_over_the_pin_and_both_over_the_machine() {
        let mut lock = example::lock();
        lock.pins.insert("debian.mirror".to_owned(), "http://pin.example/debian".to_owned());
        let shown =
            |env: &[(&str, &str)]| debian(&lock.pins, &self::env(env)).unwrap()[0].to_string();
        assert_eq!(shown(&[]), "http://pin.example/debian");
        assert_eq!(shown(&[("LOCKSTEP_DEBIAN_MIRROR", " ")]), "http://pin.example/debian");
        let both = [("LOCKSTEP_DEBIAN_MIRROR", "file:///srv/debian http://env.example/debian")];
        assert_eq!(shown(&both), "file:///srv/debian");
    }

    #[test]
    fn a_wrong_override_is_named_without_its_password() {
        let env = env(&[("LOCKSTEP_PYTHON_INDEX", "htps://me:pass@corp.example/simple")]);
        let error = python(&example::lock().pins, &env).unwrap_err();
        assert_eq!(
            error.to_string(),
            "error: `LOCKSTEP_PYTHON_INDEX` is not a URL: expected http, https or file, found `htps`"
        );
    }

    #[test]
    fn apts_files_are_read_in_its_order() {
        let folder = tempfile::tempdir().unwrap();
        let parts = folder.path().join("sources.list.d");
        std::fs::create_dir(&parts).unwrap();
        for name in ["b.list", "a.sources", "off.list.disabled", "x.save"] {
            std::fs::write(parts.join(name), "").unwrap();
        }
        std::fs::write(folder.path().join("sources.list"), "").unwrap();
        let files = source_files(folder.path()).unwrap();
        let names: Vec<_> = files.iter().map(|path| path.file_name().unwrap()).collect();
        assert_eq!(names, ["sources.list", "a.sources", "b.list"]);
        assert_eq!(source_files(&parts).unwrap(), Vec::<PathBuf>::new());
    }
}
