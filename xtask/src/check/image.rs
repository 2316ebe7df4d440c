//! The image that each build's ops are in. The layers below them are a function of the lock
//! alone and come from the user's store; this process writes all of them, one after the other.

use std::path::Path;

use super::builds::{Made, Maker};
use super::disagreement;
use super::verdict::Verdict;
use crate::build::source;
use crate::build::stamp::Stamps;
use crate::engine::{Output, Run};
use crate::error::Result;
use crate::image::command::{ops_wheel, program};
use crate::image::identity::Identity;
use crate::image::layer::Layer;
use crate::image::run;
use crate::image::stack::Parts;
use crate::image::tools::Tools;
use crate::ledger::{self, Proposals, Row, digests};
use crate::progress::say;

/// A verdict for each layer and for the manifest, whose digest is the image's name; and why
/// the committed ledger has another image.
pub fn compare(maker: &Maker<'_>, made: &[Made]) -> Result<(Vec<Verdict>, Option<String>)> {
    let images = made.iter().map(|made| rows(maker, made)).collect::<Result<Vec<_>>>()?;
    let platform = &maker.lock.platform;
    let said = ledger::image::check(&images[0], maker.workspace, platform, Proposals::Never);
    let wheel = made[0].ledger.rows.iter().find(|row| row.package == digests::ALL);
    let wheel: Vec<String> = wheel.map(|row| row.file.clone()).into_iter().collect();
    let verdict = |row: &Row| {
        let same = |other: &&Row| other.file == row.file;
        let of = |rows: &Vec<Row>| rows.iter().find(same).map(|row| row.sha256);
        let mut verdict = Verdict {
            package: row.package.clone(),
            file: row.file.clone(),
            sha256: images.iter().map(of).collect(),
            differences: Vec::new(),
            follows: Vec::new(),
            guilt: None,
        };
        if !verdict.equal() {
            verdict.follows.clone_from(&wheel);
        }
        verdict
    };
    Ok((images[0].iter().map(verdict).collect(), disagreement(said)?))
}

/// The image of one build, as the ledger has it.
fn rows(maker: &Maker<'_>, made: &Made) -> Result<Vec<Row>> {
    let Maker { store, lock, .. } = maker;
    let sources = source::collect(&made.checkout, &Stamps::default(), &mut Stamps::default())?;
    let identity = Identity::of(lock, &sources);
    let engine = |run: &Run, output: Output<'_>| made.plan.engine.run(run, output);
    let logs = maker.workspace.scratch().join("log");
    let tools = Tools { lock, store, engine: &engine, logs };
    let parts = Parts::open(&tools, &ops_wheel(&made.checkout)?, program(&made.checkout)?)?;
    let (outputs, untested) = (&made.ledger.rows, None::<fn(&[Layer<'_>], &Path) -> Result<()>>);
    let dist = maker.place.images();
    let written = run::write(&identity, &parts, &tools, &dist, outputs, untested)?;
    let rows = run::rows(lock, &written.image, &written.documents);
    let name = &written.documents.manifest.digest;
    say(&format!("check: build {}: its image is {}", made.plan.name, name.short()));
    Ok(rows)
}
