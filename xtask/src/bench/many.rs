//! How our own work and memory grow with the op packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};

use crate::abi::{self, OpLibrary};
use crate::build::material::{self, Trees};
use crate::build::new_op;
use crate::error::{Error, IoContext as _, Kind, Result};

use super::pair::{median, timed};
use super::row::{Row, Unit};
use super::setting::Setting;

/// Planning and the ABI gate of 100 and of 1,000 op packages, and the most memory that this
/// process ever had: this is measured first.
pub fn many(setting: &Setting<'_>) -> Result<Vec<Row>> {
    let built = setting.built()?;
    let trees = material::trees(built, setting.store, &material::prepare(built)?, true)?;
    let library = library(&built.dist().join("ops"))?;
    let few = each(setting, &trees, &library, 100)?;
    let more = each(setting, &trees, &library, 1000)?;
    let usage = getrusage(UsageWho::RUSAGE_SELF)
        .map_err(|e| Error::new(Kind::Io, format!("getrusage: {e}")))?;
    let memory = usage.max_rss() as f64 / 1024.0; // Linux counts KiB
    Ok(vec![
        Row::alone("many-100", "planning and ABI gate, 100 ops", few, Unit::EachOp, 50.0),
        Row::alone("many-1000", "the same, 1,000 ops", more, Unit::EachOp, 50.0),
        Row::alone("many-growth", "an op of 1,000 / an op of 100", more / few, Unit::Times, 1.2),
        Row::alone("many-memory", "peak of our own process", memory, Unit::Memory, 256.0),
    ])
}

/// Milliseconds for each of `count` op packages.
fn each(setting: &Setting<'_>, trees: &Trees, library: &Path, count: usize) -> Result<f64> {
    let checkout = setting.place.checkout("many", setting.workspace)?;
    let libraries = setting.place.fresh("many-libraries")?;
    let one = |number: usize| {
        let package = format!("op_{number:04}");
        new_op::create(&checkout, &package)?;
        let path = libraries.join(format!("lib{package}.so"));
        fs::copy(library, &path).at("copy", library)?;
        Ok(OpLibrary { package, path })
    };
    let ops = (0..count).map(one).collect::<Result<Vec<_>>>()?;
    let run = |_| {
        timed(|| {
            material::prepare(&checkout)?;
            abi::gate(&ops, &trees.framework(), &trees.runtime).map(drop)
        })
    };
    let times = (0..setting.runs).map(run).collect::<Result<Vec<_>>>()?;
    Ok(median(&times, Duration::as_secs_f64) * 1e3 / count as f64)
}

/// A library that was built.
fn library(dist: &Path) -> Result<PathBuf> {
    let mut folders = vec![dist.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).at("list", &folder)? {
            let path = entry.at("list", &folder)?.path();
            match path.extension().is_some_and(|extension| extension == "so") {
                true => return Ok(path),
                false if path.is_dir() => folders.push(path),
                false => {}
            }
        }
    }
    Err(Error::new(Kind::Io, format!("no library in `{}`", dist.display())))
}
