//! What programs of a varied build see inside the root: a folder laid over `/etc`, which
//! every engine can mount, with a library that the loader puts into each of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::conditions::Conditions;
use crate::build::bazel;
use crate::engine::{Log, Mount, Output, Run};
use crate::error::{Error, IoContext as _, Kind, Result};

/// The library's source, compiled by the builder root's own compiler.
const SOURCE: &str = include_str!("elsewhere.c");
/// Where the library is inside the root.
const LIBRARY: &str = "elsewhere.so";

/// Makes the folder below `own`; `None` when `conditions` vary nothing inside. `run` carries
/// a [`Run`] out.
pub fn make(
    conditions: &Conditions,
    own: &Path,
    builder: &Path,
    run: &dyn Fn(&Run, Output<'_>) -> Result<crate::engine::Outcome>,
) -> Result<Option<PathBuf>> {
    let macros = conditions.macros();
    let mut files: Vec<(&str, Vec<u8>)> = Vec::new();
    files.extend(conditions.localtime().map(|zone| ("localtime", zone)));
    let accounts = conditions.accounts().into_iter().flatten();
    files.extend(accounts.map(|(name, text)| (name, text.into_bytes())));
    if !macros.is_empty() {
        files.push(("ld.so.preload", format!("/etc/{LIBRARY}\n").into_bytes()));
    }
    if files.is_empty() {
        return Ok(None);
    }
    let folder = own.join("etc");
    fs::create_dir_all(&folder).at("create", &folder)?;
    if !macros.is_empty() {
        compile(&macros, own, &folder, builder, run)?;
    }
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::write(&path, bytes).at("write", &path)?;
    }
    Ok(Some(folder))
}

fn compile(
    macros: &[String],
    own: &Path,
    folder: &Path,
    builder: &Path,
    run: &dyn Fn(&Run, Output<'_>) -> Result<crate::engine::Outcome>,
) -> Result<()> {
    let source = own.join("source");
    fs::create_dir_all(&source).at("create", &source)?;
    let path = source.join("elsewhere.c");
    fs::write(&path, SOURCE).at("write", &path)?;
    let log = own.join("elsewhere.log");
    let outcome = run(&compiler(macros, &source, folder, builder), Output::Log(Log::at(&log)))?;
    if outcome.success() {
        return Ok(());
    }
    let words = fs::read_to_string(&log).unwrap_or_default();
    Err(Error::new(Kind::Tool, format!("elsewhere.c does not compile ({outcome}):\n{words}")))
}

fn compiler(macros: &[String], source: &Path, out: &Path, builder: &Path) -> Run {
    let flags = ["/usr/bin/gcc", "-shared", "-fPIC", "-O1", "-fno-builtin"].map(str::to_owned);
    let files = ["-o", &format!("{}/{LIBRARY}", bazel::OUT), "/work/ops/elsewhere.c"];
    Run {
        root: builder.to_owned(),
        mounts: vec![
            Mount::ReadOnly { source: source.to_owned(), target: "/work/ops".to_owned() },
            Mount::ReadWrite { source: out.to_owned(), target: bazel::OUT.to_owned() },
        ],
        argv: flags.into_iter().chain(macros.to_vec()).chain(files.map(str::to_owned)).collect(),
        env: BTreeMap::from([("PATH".to_owned(), "/usr/bin".to_owned())]),
        cwd: "/".to_owned(),
    }
}
