//! The wheels of the Python closure, chosen by pip's own resolver.

use serde::Deserialize;

use super::pip::Pip;
use crate::command::{self, cmd};
use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::fetch::Url;
use crate::pins::Pins;
use crate::root::wheel::normalised;
use crate::temporary;

/// A wheel as pip chose it; its size is not yet known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Normalised distribution name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where the index has it.
    pub url: Url,
    /// File name.
    pub file: String,
    /// As the index says.
    pub sha256: Sha256,
}

/// Lets pip choose wheels for the pinned Python on a machine with this minor version of
/// glibc 2. `keep` are `name==version`: what stays as locked.
pub fn resolve(pip: &Pip, pins: &Pins, glibc: u32, keep: &[String]) -> Result<Vec<Chosen>> {
    let wanted = wanted(pins);
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let folder = temporary::folder()?;
    let constraints = folder.path().join("constraints.txt");
    std::fs::write(&constraints, keep.join("\n"))
        .map_err(|e| Error::io("write", &constraints, &e))?;
    let target = folder.path().join("none");
    let arguments = target_arguments(pins.python.version.as_str(), glibc);
    let python = &pip.python;
    let step = cmd!(
        pip.shell,
        "{python} -m pip install --quiet --dry-run --ignore-installed --report - --only-binary :all:
         --target {target} --constraint {constraints} {arguments...} {wanted...}"
    );
    let report = command::read(step, &pip.env).map_err(|error| {
        let message = format!("pip cannot resolve the wheels: {}", error.message());
        Error::new(Kind::Fetch, message)
    })?;
    chosen(&report, pins.python.version.as_str())
}

/// What is asked: TensorFlow in exactly its version, unless it is built here, and the further
/// requirements. Of a wheel that is not built yet pip cannot ask what it requires.
fn wanted(pins: &Pins) -> Vec<String> {
    let built = pins.tensorflow.source.is_some();
    let tensorflow = format!("{}=={}", pins.tensorflow.package, pins.tensorflow.version);
    let further = pins.python.requirements.iter().map(ToString::to_string);
    (!built).then_some(tensorflow).into_iter().chain(further).collect()
}

/// pip's arguments for CPython on x86-64 Linux: the platform tags of every glibc up to
/// this one (PEP 600; 2.5 is manylinux1), and their old names.
fn target_arguments(python: &str, glibc: u32) -> Vec<String> {
    let abi = format!("cp{}", python.replace('.', ""));
    let named = ["manylinux2014", "manylinux2010", "manylinux1", "linux"].map(str::to_owned);
    let tags = (5..=glibc).rev().map(|minor| format!("manylinux_2_{minor}")).chain(named);
    let mut arguments =
        ["--python-version", python, "--implementation", "cp"].map(str::to_owned).to_vec();
    for abi in [abi.as_str(), "abi3", "none"] {
        arguments.extend(["--abi".to_owned(), abi.to_owned()]);
    }
    for tag in tags {
        arguments.extend(["--platform".to_owned(), format!("{tag}_x86_64")]);
    }
    arguments
}

/// pip's installation report (its version 1).
#[derive(Deserialize)]
struct Report {
    version: String,
    install: Vec<Item>,
    environment: Environment,
}

#[derive(Deserialize)]
struct Item {
    download_info: Download,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Download {
    url: String,
    archive_info: Archive,
}

#[derive(Deserialize)]
struct Archive {
    hash: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct Environment {
    python_version: String,
    sys_platform: String,
    platform_machine: String,
}

/// The wheels of a report that was made for the pinned Python, sorted by name.
fn chosen(report: &str, python: &str) -> Result<Vec<Chosen>> {
    let report: Report = serde_json::from_str(report)
        .map_err(|cause| odd(format!("is of unknown form: {cause}")))?;
    if report.version != "1" {
        return Err(odd(format!("has version {}, this xtask reads version 1", report.version)));
    }
    let here = &report.environment;
    let markers = [&here.python_version, &here.sys_platform, &here.platform_machine];
    if markers != [python, "linux", "x86_64"] {
        let found = markers.map(String::as_str).join(" ");
        return Err(odd(format!("is for {found}, expected {python} linux x86_64")));
    }
    let mut wheels = report.install.into_iter().map(wheel).collect::<Result<Vec<_>>>()?;
    wheels.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(wheels)
}

fn wheel(item: Item) -> Result<Chosen> {
    let url = Url::parse(&item.download_info.url)
        .map_err(|why| odd(format!("has a wheel without a URL: {why}")))?;
    let file = url.file_name();
    let hash = item.download_info.archive_info.hash.unwrap_or_default();
    let sha256 = hash.strip_prefix("sha256=").unwrap_or_default().parse();
    let sha256 = sha256.map_err(|_| odd(format!("has no sha256 of {file}, but `{hash}`")))?;
    let Metadata { name, version } = item.metadata;
    Ok(Chosen { name: normalised(&name), version, url, file, sha256 })
}

fn odd(what: String) -> Error {
    Error::new(Kind::Tool, format!("pip's report {what}"))
}
