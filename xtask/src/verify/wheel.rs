//! An ops wheel against the ledger.

use std::path::Path;

use crate::digest::Sha256;
use crate::error::Result;
use crate::ledger::digests::{ALL, Row};
use crate::root::wheel::Wheel;

use super::Finding;

const OTHER: &str = "its ops are of another build, and train to other weights without a word";
const INSTALL: &str = "install the wheel that `cargo xtask build-ops` leaves in dist/";

/// Compares the wheel at `path` with `rows` of the ledger.
pub fn verify(path: &Path, rows: &[Row]) -> Result<Vec<Finding>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let wheel = Wheel::open(path, &name)?;
    let found = Sha256::of_file(path)?;
    let Some(ours) = rows.iter().find(|row| row.package == ALL && row.file.ends_with(".whl"))
    else {
        return Ok(vec![Finding::new("the ledger names no ops wheel", OTHER, INSTALL)]);
    };
    let mut findings = Vec::new();
    if found != ours.sha256 {
        let what =
            format!("{name}: expected {}, sha256 {}, found sha256 {found}", ours.file, ours.sha256);
        findings.push(Finding::new(what, OTHER, INSTALL));
    }
    let installed = wheel.installed()?;
    for row in rows.iter().filter(|row| row.package != ALL && row.is_artifact()) {
        let library = installed.iter().find(|file| file.path.name() == row.file);
        let found =
            library.map_or_else(|| "none".to_owned(), |file| format!("sha256 {}", file.digest));
        if library.is_none_or(|file| file.digest != row.sha256) {
            let what = format!(
                "{}: {}: expected sha256 {}, found {found}",
                row.package, row.file, row.sha256
            );
            findings.push(Finding::new(what, OTHER, INSTALL));
        }
    }
    Ok(findings)
}
