//! `build-ops` with little to do, against what nobody can avoid.

use std::fs;
use std::time::Duration;

use xshell::cmd;

use crate::build::new_op;
use crate::error::{Error, IoContext as _, Kind, Result};

use super::hand::Hand;
use super::pair::{Pair, median, pairs, timed};
use super::roots::Packed;
use super::row::{Row, Unit};
use super::setting::Setting;

/// Nothing changed, against cargo's own dispatch of an xtask that does nothing.
pub fn noop(setting: &Setting<'_>) -> Result<Vec<Row>> {
    let root = setting.built()?.root();
    let sh = &setting.sh;
    let ours = || {
        let said = setting.read(cmd!(sh, "cargo xtask --workspace {root} --offline build-ops"))?;
        Ok(said.starts_with("nothing changed"))
    };
    ours()?; // cargo's xtask may be another program than this one: then it builds
    let pairs = pairs(
        setting.runs.max(10),
        |_| {
            timed(|| match ours()? {
                true => Ok(()),
                false => Err(Error::new(Kind::Io, "build-ops ran although nothing changed")),
            })
        },
        |_| timed(|| setting.read(cmd!(sh, "cargo xtask --version")).map(drop)),
    )?;
    let what = "`cargo xtask build-ops`, nothing changed / `cargo xtask --version`";
    Ok(vec![Row::of_pairs("noop", what, &pairs, Unit::Times, 2.0)])
}

/// One source edited, so that its op and nothing else is built anew.
pub fn edit(setting: &Setting<'_>) -> Result<Vec<Row>> {
    const SOURCE: &str = "embedding_ops/kernels/row_adagrad_op.cc";
    const WORDS: &str = "must be";
    let checkout = setting.built()?;
    let path = checkout.ops().join(SOURCE);
    let text = fs::read_to_string(&path).at("read", &path)?;
    if !text.contains(WORDS) {
        return Err(Error::new(Kind::Io, format!("ops/{SOURCE} has no string `{WORDS}` to edit")));
    }
    let hand = Hand::of(checkout, setting.store, &setting.lock)?;
    let mut own = hand.compiles()?;
    own.retain(|compile| compile.source == SOURCE);
    let pairs = pairs(
        setting.runs,
        |number| {
            let edited = text.replace(WORDS, &format!("must, the {number}th time, be"));
            fs::write(&path, format!("{edited}// A remark.\n")).at("write", &path)?;
            setting.build(checkout, setting.store)
        },
        |_| hand.time(&own, 1),
    )?;
    fs::write(&path, text).at("write", &path)?;
    let what = "`xtask build-ops`, one op edited - `g++` of that source";
    Ok(vec![Row::of_pairs("edit", what, &pairs, Unit::Over, 3.0)])
}

/// Downloads and nothing else.
pub fn cold(setting: &Setting<'_>) -> Result<Vec<Row>> {
    let checkout = setting.built()?;
    let hand = Hand::of(checkout, setting.store, &setting.lock)?;
    let compiles = hand.compiles()?;
    let packed = Packed::of(setting)?;
    let pairs = pairs(
        setting.runs,
        |_| from_downloads(setting),
        |_| Ok(packed.time(setting)? + hand.time(&compiles, setting.cores)?),
    )?;
    let what = "`xtask build-ops`, downloads only / `xargs -P xz -dc`, then `xargs -P g++`";
    Ok(vec![Row::of_pairs("cold", what, &pairs, Unit::Times, 1.5)])
}

/// Two builds from scratch, compared, against one from downloads alone.
pub fn check(setting: &Setting<'_>) -> Result<Vec<Row>> {
    let pairs = pairs(
        setting.runs,
        |_| {
            setting.command(
                &setting.place.checkout("check", setting.workspace)?,
                setting.store,
                "check",
            )
        },
        |_| from_downloads(setting),
    )?;
    let what = "`xtask check` / `xtask build-ops`, downloads only";
    Ok(vec![Row::of_pairs("check", what, &pairs, Unit::Times, 2.2)])
}

fn from_downloads(setting: &Setting<'_>) -> Result<Duration> {
    let store = setting.place.store("cold-store", setting.store, &setting.lock)?;
    setting.build(&setting.place.checkout("cold", setting.workspace)?, &store)
}

/// Twenty new ops beside those that are built.
pub fn twenty(setting: &Setting<'_>) -> Result<Vec<Row>> {
    const OPS: usize = 20;
    let checkout = setting.built()?;
    setting.build(checkout, setting.store)?;
    let names = |number: usize| (0..OPS).map(move |op| format!("op_{number}_{op}"));
    let hand = Hand::of(checkout, setting.store, &setting.lock)?;
    let mut pairs = Vec::new();
    for number in 0..setting.runs {
        for name in names(number) {
            new_op::create(checkout, &name)?;
        }
        let prefix = format!("op_{number}_");
        let mut compiles = hand.compiles()?;
        compiles.retain(|compile| compile.source.starts_with(&prefix));
        let one = Pair {
            ours: setting.build(checkout, setting.store)?,
            peer: hand.time(&compiles, setting.cores)?,
        };
        pairs.push(one);
        for name in names(number) {
            let folder = checkout.ops().join(name);
            fs::remove_dir_all(&folder).at("remove", &folder)?;
        }
    }
    let what = "`xtask build-ops`, 20 new ops, no Bazel server / `xargs -P g++` of their sources";
    Ok(vec![Row::of_pairs("twenty", what, &pairs, Unit::Times, 1.3)])
}

/// xtask itself, from nothing but downloaded crates.
pub fn xtask(setting: &Setting<'_>) -> Result<Vec<Row>> {
    let sh = &setting.sh;
    let one = |_| {
        let target = setting.place.fresh("xtask")?;
        let step = cmd!(
            sh,
            "cargo build --quiet --locked --offline --package xtask --target-dir {target}"
        );
        timed(|| setting.read(step).map(drop))
    };
    let times = (0..setting.runs).map(one).collect::<Result<Vec<_>>>()?;
    let figure = median(&times, Duration::as_secs_f64);
    let what = "`cargo build` of xtask from nothing";
    Ok(vec![Row::alone("xtask", what, figure, Unit::Seconds, 60.0)])
}
