//! `cargo xtask cluster lint`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cluster::render;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::ledger::snapshot::{Part, Snapshot};
use crate::lock::Lock;
use crate::pins;
use crate::root::work::spread;
use crate::workspace::Workspace;

use super::{Found, Own, judge, read, report};

/// Nobody's manifest is longer, in bytes.
const LONGEST: u64 = 64 << 20;

/// `cargo xtask cluster lint`. Exit code 8 when a rule is broken.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Kubernetes objects, TFJobs, JobSets, Compose files, TF_CONFIG as JSON, systemd units,
    /// files of variables; folders with such files; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Print JSON
    #[arg(long, conflicts_with = "sarif")]
    pub json: bool,
    /// Print SARIF 2.1.0, for code scanning
    #[arg(long)]
    pub sarif: bool,
}

/// Looks at all files.
pub fn run(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    let found = look(&options.files)?;
    let own = own(workspace).unwrap_or_else(|error| {
        eprintln!("note: {}", note(&error));
        None
    });
    let findings = judge(&found, own.as_ref());
    let (documents, tasks) = (found.documents, found.tasks.len() + found.configs.len());
    if options.sarif {
        println!("{:#}", report::sarif(&findings));
    } else if options.json {
        println!("{:#}", report::json(&findings, documents, tasks));
    } else {
        print!("{}", report::text(&findings));
        println!("{}", report::summary(&findings, documents, tasks));
    }
    Ok(match findings.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(Kind::Abi.exit_code()),
    })
}

/// What the workspace says of its own image: nothing where it pins no cluster, or nobody accepted
/// an image. Then files are judged by themselves.
fn own(workspace: &Workspace) -> Result<Option<Own>> {
    if pins::load(&workspace.pins())?.cluster.is_none() {
        return Ok(None);
    }
    let platform = Lock::load(&workspace.lock())?.platform;
    if Snapshot::of(workspace, Part::Image, &platform).read()?.is_none() {
        return Ok(None);
    }
    let plan = render::command::plan(workspace)?;
    Ok(Some(Own {
        repository: plan.cluster.image.to_string(),
        manifest: plan.image,
        workspace_id: plan.workspace_id,
    }))
}

/// What is not compared, and why.
fn note(error: &Error) -> String {
    let why = error.message();
    let hints = error.hints().iter().map(|hint| format!("\nhint: {hint}")).collect::<String>();
    format!("images and workspace ids are not held against the committed ledger: {why}{hints}")
}

/// All that is in the files, in their order.
fn look(named: &[PathBuf]) -> Result<Found> {
    let mut paths = Vec::new();
    for path in named {
        match path == Path::new("-") {
            true => paths.push(path.clone()),
            false => meant(path, true, &mut paths)?,
        }
    }
    let one = |path: &PathBuf| {
        let mut found = Found::default();
        let text = match path == Path::new("-") {
            true => text(&mut std::io::stdin().lock(), path)?,
            false => text(&mut std::fs::File::open(path).at("open", path)?, path)?,
        };
        read(&path.to_string_lossy(), &text, &mut found);
        Ok(found)
    };
    let mut all = Found::default();
    spread(&paths, one)?.into_iter().for_each(|found| all.append(found));
    Ok(all)
}

/// A file, or the files of a folder that can be meant. No link is followed below what was
/// named.
fn meant(path: &Path, named: bool, found: &mut Vec<PathBuf>) -> Result<()> {
    let stat = if named { std::fs::metadata(path) } else { std::fs::symlink_metadata(path) };
    let stat = stat.at("look at", path)?;
    if stat.is_dir() {
        let entries = std::fs::read_dir(path).at("list", path)?;
        let mut entries: Vec<PathBuf> =
            entries.map(|entry| Ok(entry.at("list", path)?.path())).collect::<Result<_>>()?;
        entries.retain(|path| !hidden(path));
        entries.sort();
        return entries.iter().try_for_each(|path| meant(path, false, found));
    }
    let known = ["yaml", "yml", "json", "service", "env"];
    let extension = path.extension().unwrap_or_default();
    if named || stat.is_file() && known.iter().any(|known| extension == *known) {
        found.push(path.to_owned());
    }
    Ok(())
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn text(file: &mut impl Read, path: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).at("read", path)?;
    if bytes.len() as u64 > LONGEST {
        let message = format!("`{}` is longer than {LONGEST} bytes", path.display());
        return Err(Error::new(Kind::Archive, message).hint("leave it out"));
    }
    String::from_utf8(bytes).map_err(|_| {
        let message = format!("`{}` is not UTF-8 text", path.display());
        Error::new(Kind::Archive, message).hint("name files of YAML, JSON or systemd units")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_compared_is_said() {
        let real = Workspace::at(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(folder.path());
        let pins = std::fs::read_to_string(real.pins()).unwrap();
        let image = |workspace| Snapshot::of(workspace, Part::Image, "linux/amd64").path().clone();
        std::fs::write(workspace.pins(), &pins).unwrap();
        std::fs::copy(real.lock(), workspace.lock()).unwrap();
        assert!(own(&workspace).unwrap().is_none());
        std::fs::create_dir_all(workspace.snapshots()).unwrap();
        std::fs::copy(image(&real), image(&workspace)).unwrap();
        std::fs::write(workspace.lock(), "").unwrap();
        insta::assert_snapshot!(note(&own(&workspace).unwrap_err()), @"
        images and workspace ids are not held against the committed ledger: workspace.lock:1:1 is damaged: missing field `schema`
        hint: run `cargo xtask update` and look at what it moves
        ");
        let (without, _) = pins.split_once("\n[cluster]").unwrap();
        std::fs::write(workspace.pins(), without).unwrap();
        assert!(own(&workspace).unwrap().is_none());
    }
}
