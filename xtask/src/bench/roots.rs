//! Trees, and what runs in them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use xshell::cmd;

use crate::build::bazel::{self, Folders};
use crate::engine::{self, Engine, Log, Output, Run};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::fetch;
use crate::lock::RootKind;
use crate::root;
use crate::root::deb::Deb;
use crate::root::packages::{label, largest_first};

use super::pair::{median, pairs, timed};
use super::place::link;
use super::row::{Row, Unit};
use super::setting::Setting;

/// The `data.tar.xz` of all packages of both roots, each once for each root that has it,
/// the largest first: what `xz -dc` is given.
pub struct Packed {
    list: PathBuf,
}

impl Packed {
    /// Taken out of the packages, beforehand.
    pub fn of(setting: &Setting<'_>) -> Result<Self> {
        let folder = setting.place.fresh("packed")?;
        let mut list = String::new();
        for kind in [RootKind::Builder, RootKind::Runtime] {
            let packages: Vec<_> = setting.lock.packages_of(kind).collect();
            for at in largest_first(&packages) {
                let package = packages[at];
                let from = setting.store.verified(&package.sha256, &label(package))?;
                let to = folder.join(format!("{}.tar.xz", package.sha256));
                let mut deb = Deb::open(File::open(&from).at("open", &from)?)?;
                let mut file = File::create(&to).at("create", &to)?;
                std::io::copy(&mut deb.packed()?, &mut file).at("write", &to)?;
                list.push_str(&format!("{}\0", to.display()));
            }
        }
        let path = folder.join("list");
        fs::write(&path, list).at("write", &path)?;
        Ok(Packed { list: path })
    }

    /// How long `xz` takes to unpack them all to nowhere.
    pub fn time(&self, setting: &Setting<'_>) -> Result<Duration> {
        let (list, jobs, sh) = (&self.list, setting.cores.to_string(), &setting.sh);
        let words = "xargs -0 -a \"$1\" -n 1 -P \"$2\" xz -dc >/dev/null";
        timed(|| setting.read(cmd!(sh, "sh -c {words} sh {list} {jobs}")).map(drop))
    }
}

/// Both roots, against decompressing their packages.
pub fn roots(setting: &Setting<'_>) -> Result<Vec<Row>> {
    const WHAT: &str = "builder and runtime root from packages / `xargs -P xz -dc` of the same";
    if let Some(why) = setting.lacks(cmd!(setting.sh, "xz --version")) {
        return Ok(vec![Row::skipped("roots", WHAT, &why, Unit::Times, 1.4)]);
    }
    let packed = Packed::of(setting)?;
    let pairs = pairs(
        setting.runs,
        |_| {
            let store = setting.place.store("roots", setting.store, &setting.lock)?;
            timed(|| {
                root::builder::ensure(&setting.lock, &store)?;
                root::runtime::ensure(&setting.lock, &store).map(drop)
            })
        },
        |_| packed.time(setting),
    )?;
    Ok(vec![Row::of_pairs("roots", WHAT, &pairs, Unit::Times, 1.4)])
}

/// The start and end of a command that does nothing.
pub fn engine(setting: &Setting<'_>) -> Result<Vec<Row>> {
    const WHAT: &str = "20 x `true` in the builder root, engine native / bubblewrap";
    const BATCH: usize = 20;
    let root = root::builder::ensure(&setting.lock, setting.store)?;
    let sh = &setting.sh;
    let peer = || {
        cmd!(sh, "bwrap --ro-bind {root} / --proc /proc --dev /dev --tmpfs /tmp --tmpfs /run")
            .args(["--unshare-all", "--hostname", "lockstep", "--uid", "1000", "--gid", "1000"])
            .args(["--die-with-parent", "--new-session", "--clearenv", "/usr/bin/true"])
    };
    let folders = Folders {
        root: &root,
        ops: &root,
        toolchains: &root,
        tensorflow: &root,
        out: &root,
        etc: None,
    };
    let run = bazel::in_builder(&setting.lock, &folders, &["/usr/bin/true"]);
    let run = Run { mounts: Vec::new(), cwd: "/".to_owned(), ..run };
    let log = setting.place.fresh("engine")?.join("log");
    let ours = || match Engine::default().run(&run, Output::Log(Log::at(&log)))?.success() {
        true => Ok(()),
        false => Err(Error::new(Kind::Tool, "`true` fails in the builder root")),
    };
    let native = match setting.lacks(peer()) {
        Some(why) => Row::skipped("engine", WHAT, &why, Unit::Times, 1.0),
        None => {
            let pairs = pairs(
                setting.runs.max(5),
                |_| timed(|| (0..BATCH).try_for_each(|_| ours())),
                |_| timed(|| (0..BATCH).try_for_each(|_| setting.read(peer()).map(drop))),
            )?;
            Row::of_pairs("engine", WHAT, &pairs, Unit::Times, 1.0)
        }
    };
    let mut rows = vec![native];
    for (engine, name) in [(Engine::Docker, "engine-docker"), (Engine::Podman, "engine-podman")] {
        rows.push(container(setting, engine, name, &run, &log)?);
    }
    Ok(rows)
}

/// The start and end of a container in which nothing is done.
fn container(
    setting: &Setting<'_>,
    engine: Engine,
    name: &'static str,
    run: &Run,
    log: &Path,
) -> Result<Row> {
    const MOST: f64 = 2.0;
    let what = format!("`true` in the builder root, engine {engine}");
    if let Err(why) = engine::available(engine) {
        return Ok(Row::skipped(name, &what, why.message(), Unit::Seconds, MOST));
    }
    let once = || timed(|| engine.run(run, Output::Log(Log::at(log))).map(drop));
    once()?; // the image is made
    let times = (0..setting.runs.max(5)).map(|_| once()).collect::<Result<Vec<_>>>()?;
    let figure = median(&times, Duration::as_secs_f64);
    Ok(Row::alone(name, &what, figure, Unit::Seconds, MOST))
}

/// All wheels in one tree, made and already there.
pub fn site(setting: &Setting<'_>) -> Result<Vec<Row>> {
    const WHAT: &str = "all wheels to a tree / `uv pip install`, cold cache";
    const MOST: f64 = 1.0 / 1.5;
    let (lock, sh) = (&setting.lock, &setting.sh);
    let downloads = fetch::Options::from_env(setting.offline);
    fetch::ensure(lock, setting.store, &fetch::Selection::all(), &downloads)?;
    let mut there = Vec::new();
    let mut ours = |_| {
        let store = setting.place.store("site-store", setting.store, lock)?;
        let made = timed(|| root::site::ensure(lock, &store).map(drop))?;
        there.push(timed(|| root::site::ensure(lock, &store).map(drop))?);
        Ok(made)
    };
    let row = if let Some(why) = setting.lacks(cmd!(sh, "uv --version")) {
        for number in 0..setting.runs {
            ours(number)?;
        }
        Row::skipped("site", WHAT, &why, Unit::Times, MOST)
    } else {
        let wheels = wheels(setting)?;
        let pairs = pairs(setting.runs, ours, |_| uv(setting, &wheels))?;
        Row::of_pairs("site", WHAT, &pairs, Unit::Times, MOST)
    };
    let there = median(&there, Duration::as_secs_f64);
    Ok(vec![row, Row::alone("site-there", "the tree is there already", there, Unit::Seconds, 0.1)])
}

/// The wheels under their own names.
fn wheels(setting: &Setting<'_>) -> Result<Vec<PathBuf>> {
    let folder = setting.place.fresh("wheels")?;
    let file = |wheel: &crate::lock::Wheel| {
        let path = folder.join(&wheel.file);
        link(setting.store, &wheel.sha256, &path).map(|()| path)
    };
    setting.lock.wheels.iter().map(file).collect()
}

fn uv(setting: &Setting<'_>, wheels: &[PathBuf]) -> Result<Duration> {
    let folder = setting.place.fresh("uv")?;
    let (cache, target) = (folder.join("cache"), folder.join("site"));
    let (python, sh) = (&setting.lock.python, &setting.sh);
    let step = cmd!(sh, "uv pip install --quiet --no-config --offline --no-deps --no-index")
        .args(["--python-platform", "x86_64-manylinux_2_28", "--python-version", python])
        .arg("--cache-dir")
        .arg(cache)
        .arg("--target")
        .arg(target)
        .args(wheels);
    timed(|| setting.read(step).map(drop))
}
