//! The ops by other Bazels, against the pinned one: what passes between the server's start and
//! its end, less what passes when nothing is to be compiled.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xshell::cmd;

use crate::build::finished;
use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::workspace::Workspace;

use super::pair::pairs;
use super::row::{Row, Unit};
use super::setting::Setting;

const WHAT: &str = "compiling all ops by this Bazel / by the pinned one";
const BOUND: f64 = 1.05;

/// A Bazel as one file.
struct Binary {
    file: PathBuf,
    version: String,
}

/// The official binary that a registry has; Debian's newest, by WORKSPACE and by modules.
pub fn bazel(setting: &Setting<'_>) -> Result<Vec<Row>> {
    let folder = setting.place.fresh("bazels")?;
    let make = |script: &str, words: &[&str]| -> Result<Binary> {
        let path = setting.workspace.root().join("tests/bazel").join(script);
        let file = folder.join(script).with_extension("bin");
        let version = setting.read(cmd!(setting.sh, "bash {path} {words...} {file}"))?;
        Ok(Binary { file, version: version.trim().to_owned() })
    };
    let (official, newest) = (make("official.sh", &[]), make("newest.sh", &["sid"]));
    let rows = [
        ("bazel-official", &official, ""),
        ("bazel-newest", &newest, ""),
        ("bazel-modules", &newest, "modules = true\n"),
    ];
    let row = |(name, made, more): (&'static str, &Result<Binary>, &str)| match made {
        Ok(binary) => measured(setting, name, binary, more),
        Err(why) => Ok(Row::skipped(name, WHAT, why.message(), Unit::Times, BOUND)),
    };
    rows.into_iter().map(row).collect()
}

/// The row of `binary`; `more` is pinned with it.
fn measured(setting: &Setting<'_>, name: &'static str, binary: &Binary, more: &str) -> Result<Row> {
    let pinned = setting.built()?;
    let checkout = setting.place.checkout(name, setting.workspace)?;
    pin(&checkout, binary, more)?;
    setting.xtask(&checkout, &["update", "bazel"])?;
    setting.xtask(&checkout, &["fetch"])?;
    setting.build(&checkout, setting.store)?;
    let pairs = pairs(
        setting.runs,
        |number| compiling(setting, &checkout, number),
        |number| compiling(setting, pinned, number),
    )?;
    Ok(Row::of_pairs(name, WHAT, &pairs, Unit::Times, BOUND))
}

/// Writes `[bazel]` of the checkout's pins anew.
fn pin(checkout: &Workspace, binary: &Binary, more: &str) -> Result<()> {
    let path = checkout.root().join("workspace.toml");
    let text = fs::read_to_string(&path).at("read", &path)?;
    let sha256 = Sha256::of_file(&binary.file)?;
    let (url, version) = (binary.file.display(), &binary.version);
    let table = format!(
        "[bazel]\nversion = \"{version}\"\nurl = \"file://{url}\"\nsha256 = \"{sha256}\"\n\
         answer = \"bazel {version}\"\n{more}"
    );
    let from = text.find("[bazel]").unwrap_or_default();
    let to = text[from..].find("\n[").map_or(text.len(), |length| from + length);
    fs::write(&path, format!("{}{table}{}", &text[..from], &text[to..])).at("write", &path)
}

/// How long Bazel takes when each source is another, less when none is.
fn compiling(setting: &Setting<'_>, checkout: &Workspace, number: usize) -> Result<Duration> {
    const REMARK: &str =
        r#"find "$1" -name '*.cc' -exec sh -c 'echo "// $1" >>"$2"' sh "$2" {} \;"#;
    let (ops, number) = (checkout.ops(), number.to_string());
    setting.read(cmd!(setting.sh, "sh -c {REMARK} sh {ops} {number}"))?;
    setting.build(checkout, setting.store)?;
    let all = elapsed(checkout)?;
    finished::forget(checkout)?;
    setting.build(checkout, setting.store)?;
    Ok(all.saturating_sub(elapsed(checkout)?))
}

/// What Bazel says: `INFO: Elapsed time: 12.345s, Critical Path: …`.
fn elapsed(checkout: &Workspace) -> Result<Duration> {
    let path = checkout.scratch().join("log/bazel.log");
    let text = fs::read_to_string(&path).at("read", &path)?;
    seconds(&text).ok_or_else(|| {
        Error::new(Kind::Io, format!("`{}` says no elapsed time", Path::display(&path)))
    })
}

fn seconds(log: &str) -> Option<Duration> {
    let (_, rest) = log.rsplit_once("Elapsed time: ")?;
    let (seconds, _) = rest.split_once('s')?;
    Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_last_elapsed_time_is_read() {
        let log = "INFO: Elapsed time: 1.5s, x\nINFO: Elapsed time: 12.345s, Critical Path: 2s\n";
        assert_eq!(super::seconds(log).unwrap().as_millis(), 12_345);
        assert_eq!(super::seconds("Elapsed time: soon"), None);
    }
}
