//! Long texts: logs and cluster files of strangers.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use xshell::cmd;

use crate::cluster::render::{self, Format};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::explain;

use super::pair::{pairs, timed};
use super::row::{Row, Unit};
use super::setting::{Setting, program};

/// Bytes of the log.
const LOG: usize = 100_000_000;
/// What TensorFlow says all the time.
const NOISE: &str =
    "I0000 00:00:1795807467.799662 worker.cc:152] step 1200 loss 0.0213 examples 38400";
/// What one line of it says.
const KNOWN: &str = "ImportError: libtensorflow_framework.so.2: cannot open shared object file";

/// A log, by us and by `grep -F`.
pub fn explain(setting: &Setting<'_>) -> Result<Vec<Row>> {
    const WHAT: &str = "`explain` of a 100 MB log / `grep -F` for the same words";
    let folder = setting.place.fresh("log")?;
    let (log, words) = (folder.join("log"), folder.join("words"));
    written(&log, |file| {
        for number in 0..LOG / (NOISE.len() + 10) {
            writeln!(file, "{NOISE} {number:08}")?;
        }
        writeln!(file, "{KNOWN}")
    })?;
    written(&words, |file| explain::words().try_for_each(|word| writeln!(file, "{word}")))?;
    let (xtask, sh) = (program()?, &setting.sh);
    let pairs = pairs(
        setting.runs,
        |_| timed(|| setting.read(cmd!(sh, "{xtask} explain {log}")).map(drop)),
        |_| timed(|| setting.read(cmd!(sh, "grep -F -f {words} {log}")).map(drop)),
    )?;
    Ok(vec![Row::of_pairs("explain", WHAT, &pairs, Unit::Times, 2.0)])
}

/// Our own TFJob, a thousand times.
pub fn lint(setting: &Setting<'_>) -> Result<Vec<Row>> {
    const WHAT: &str = "`cluster lint` of 1,000 TFJobs, seven tasks each";
    let folder = setting.place.fresh("manifests")?;
    let plan = render::command::plan(setting.workspace)?;
    let text: String = plan.render(Format::Tfjob).into_values().collect();
    for number in 0..1000 {
        let path = folder.join(format!("{number}.yaml"));
        fs::write(&path, &text).at("write", &path)?;
    }
    let (xtask, sh, root) = (program()?, &setting.sh, setting.workspace.root());
    let time = timed(|| {
        let said = setting.read(cmd!(sh, "{xtask} --workspace {root} cluster lint {folder}"))?;
        match said.contains("4000 tasks: 0 errors") {
            true => Ok(()),
            false => Err(Error::new(Kind::Io, format!("cluster lint said {said}"))),
        }
    })?;
    Ok(vec![Row::alone("lint", WHAT, time.as_secs_f64(), Unit::Seconds, 1.0)])
}

fn written(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<()> {
    let mut file = BufWriter::new(File::create(path).at("create", path)?);
    fill(&mut file).and_then(|()| file.flush()).at("write", path)
}
