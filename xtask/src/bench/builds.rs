//! `build-ops` with little to do, against what nobody can avoid.

use std::fs;

use xshell::cmd;

use crate::error::{Error, IoContext as _, Kind, Result};

use super::hand::Hand;
use super::pair::{pairs, timed};
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
