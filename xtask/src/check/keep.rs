//! Unequal artifacts are kept, for people and their tools; diffoscope's report lies beside
//! them where that is installed.

use std::fs;
use std::path::{Path, PathBuf};

use xshell::cmd;

use super::builds::Made;
use super::verdict::Verdict;
use crate::atomic;
use crate::command::{self, Env};
use crate::error::{IoContext as _, Result};
use crate::progress::say;
use crate::store;

/// Keeps what differs below `folder`, in place of what an earlier check kept; a line for
/// people about each.
pub fn keep(verdicts: &[Verdict], made: &[Made], folder: &Path) -> Result<Vec<String>> {
    store::remove(folder)?;
    let mut lines = Vec::new();
    for verdict in verdicts.iter().filter(|verdict| !verdict.equal()) {
        let other = verdict.sha256.iter().position(|digest| *digest != verdict.sha256[0]);
        let mut files = Vec::new();
        for build in [0, other.unwrap_or_default()] {
            let path = folder.join(&made[build].plan.name).join(&verdict.file);
            let parent = path.parent().unwrap_or(folder);
            fs::create_dir_all(parent).at("create", parent)?;
            atomic::write(&path, &made[build].read(&verdict.artifact())?)?;
            files.push(path);
        }
        let shown: Vec<String> = files.iter().map(|file| format!("`{}`", file.display())).collect();
        lines.push(format!("kept: {}", shown.join(" and ")));
        lines.extend(diffoscope(&files, folder, &verdict.file));
    }
    Ok(lines)
}

/// What diffoscope says of two files, as a line that names its report; none without it.
fn diffoscope(files: &[PathBuf], folder: &Path, name: &str) -> Option<String> {
    let report = folder.join(format!("{name}.diffoscope.txt"));
    let sh = command::shell().ok()?;
    // It ends with 1 when the files differ, and they do.
    let words = "command -v diffoscope >/dev/null || exit 3; diffoscope \"$@\" || test $? -eq 1";
    let step = cmd!(sh, "sh -c {words} sh --no-progress --text {report} {files...}");
    match command::read(step, &Env::host(&[])) {
        Ok(_) => Some(format!("diffoscope: `{}`", report.display())),
        Err(error) => {
            if !error.message().contains("exit code 3") {
                say(&format!("check: diffoscope: {}", error.message()));
            }
            None
        }
    }
}
