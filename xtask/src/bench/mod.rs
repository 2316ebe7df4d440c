//! `cargo xtask bench`: our speed as ratios to what cannot be avoided.
//!
//! The peer's command runs beside ours in one go ([`pair`]), and a figure is the median of
//! what the pairs say; its bound stands beside it. A figure is read by people and never
//! asserted by a test.

mod bazel;
mod builders;
mod builds;
mod cluster;
mod debootstrap;
mod hand;
mod image;
mod many;
mod memory;
mod pair;
pub(crate) mod place;
mod resume;
mod roots;
mod row;
mod setting;
mod texts;
mod verify;

use crate::build::material;
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::nearest::nearest;
use crate::progress;
use crate::store::Store;
use crate::workspace::Workspace;

use row::Row;
use setting::Setting;

/// What a person may choose.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Measurements (default: all): many, noop, engine, roots, debootstrap, site, image, verify, edit, twenty, cold, check, bazel, resume, cluster, lint, explain, xtask
    pub names: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Pairs of each measurement; the shortest have more
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub runs: usize,
}

type Measurement = fn(&Setting<'_>) -> Result<Vec<Row>>;

/// All measurements in their order: memory first, and nothing edited before it must be.
const ALL: &[(&str, Measurement)] = &[
    ("many", many::many),
    ("noop", builds::noop),
    ("engine", roots::engine),
    ("roots", roots::roots),
    ("debootstrap", debootstrap::debootstrap),
    ("site", roots::site),
    ("image", image::image),
    ("verify", verify::verify),
    ("edit", builds::edit),
    ("twenty", builds::twenty),
    ("cold", builds::cold),
    ("check", builds::check),
    ("bazel", bazel::bazel),
    ("resume", resume::resume),
    ("cluster", cluster::cluster),
    ("lint", texts::lint),
    ("explain", texts::explain),
    ("xtask", builds::xtask),
];

/// Measures and prints. One that fails costs the table no other.
pub fn run(workspace: &Workspace, store: &Store, options: &Options, offline: bool) -> Result<()> {
    let chosen = choose(&options.names)?;
    let lock = material::locked(workspace)?;
    let setting = Setting::new(workspace, store, lock, options.runs.max(1), offline)?;
    let (mut rows, mut failed) = (Vec::new(), None);
    for (name, measure) in chosen {
        interrupt::check()?;
        progress::say(&format!("bench: {name}"));
        match measure(&setting) {
            Ok(found) => rows.extend(found),
            Err(error) => failed = failed.or(Some(error.context(name))),
        }
    }
    if options.json {
        let text = serde_json::to_string_pretty(&rows);
        println!("{}", text.map_err(|e| Error::new(Kind::Io, e.to_string()))?);
    } else {
        print!("{}", row::table(&rows));
    }
    failed.map_or(Ok(()), Err)
}

fn choose(names: &[String]) -> Result<Vec<(&'static str, Measurement)>> {
    let known = || ALL.iter().map(|(name, _)| *name);
    if let Some(name) = names.iter().find(|name| known().all(|known| known != name.as_str())) {
        let error = Error::new(Kind::Pins, format!("no measurement `{name}`"));
        return Err(match nearest(name, known()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => {
                error.hint(format!("these are there: {}", known().collect::<Vec<_>>().join(", ")))
            }
        });
    }
    let all = ALL.iter().copied();
    Ok(all.filter(|(name, _)| names.is_empty() || names.iter().any(|n| n == name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_keep_their_order_and_a_wrong_name_its_near_miss() {
        let chosen = choose(&["edit".to_owned(), "noop".to_owned()]).unwrap();
        assert_eq!(chosen.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["noop", "edit"]);
        assert_eq!(choose(&[]).unwrap().len(), ALL.len());
        insta::assert_snapshot!(choose(&["root".to_owned()]).unwrap_err(), @r"
        error: no measurement `root`
        hint: did you mean `roots`?
        ");
    }
}
