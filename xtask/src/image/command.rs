//! `cargo xtask image`, from command line to ledger.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::build::stamp::Stamps;
use crate::build::{self, material, op, source};
use crate::digest::Sha256;
use crate::engine::{self, Engine, Output, Run};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::fetch;
use crate::ledger::digests::ALL;
use crate::ledger::{self, Ledger, Proposals, Row};
use crate::progress::{self, bytes};
use crate::store::Store;
use crate::workspace::Workspace;

use super::identity::Identity;
use super::layer::Layer;
use super::oci::{self, Blob};
use super::push::{self, Pushed};
use super::run::{self, Written};
use super::smoke::Smoke;
use super::stack::Parts;
use super::tools::Tools;

/// `cargo xtask image`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Write the image as one tar too, for `docker load` and `podman load` (zstd layers unpacked)
    #[arg(long, value_name = "FILE")]
    pub archive: Option<PathBuf>,
    /// Do not start the image: no check of its files, no ops' tests, no small cluster
    #[arg(long)]
    pub no_smoke: bool,
    /// Where commands run
    #[arg(long, env = engine::VARIABLE, default_value_t, value_enum, value_name = "ENGINE")]
    pub engine: Engine,
    /// Sending it somewhere.
    #[command(flatten)]
    pub push: push::Options,
    /// Print what was made as JSON
    #[arg(long)]
    pub json: bool,
}

/// Builds the ops, writes `dist/image/` and compares it with the committed ledger.
pub fn image(workspace: &Workspace, store: &Store, options: &Options, offline: bool) -> Result<()> {
    options.push.check(offline)?;
    // With either, standard output is for a machine.
    let say = |text: &str| match options.json || options.push.to.is_some() {
        true => progress::say(text),
        false => println!("{text}"),
    };
    let build = build::run::Options { dry_run: false, engine: options.engine, etc: None };
    say(&build::run::run(workspace, store, &build, offline)?);
    let lock = material::locked(workspace)?;
    let fetch = fetch::Options::from_env(offline);
    fetch::ensure(&lock, store, &fetch::Selection::all(), &fetch)?;
    lock.base.iter().try_for_each(|base| fetch::base::ensure(base, store, &fetch))?;
    let sources = source::collect(workspace, &Stamps::default(), &mut Stamps::default())?;
    let identity = Identity::of(&lock, &sources);
    let packages = op::discover(&workspace.ops())?;
    let engine = |run: &Run, output: Output<'_>| options.engine.run(run, output);
    let logs = workspace.scratch().join("log");
    let tools = Tools { lock: &lock, store, engine: &engine, logs };
    let parts = Parts::open(&tools, &ops_wheel(workspace)?, program(workspace)?)?;
    let smoke = Smoke { workspace, tools: &tools, packages: &packages };
    let test = |layers: &[Layer<'_>], top: &Path| smoke.test(layers, top);
    let test = (!options.no_smoke).then_some(test);
    let (outputs, dist) = (Ledger::read(workspace)?.rows, workspace.dist());
    let written = run::write(&identity, &parts, &tools, &dist, &outputs, test)?;
    if let Some(place) = &options.archive {
        run::archive(&lock, &identity, &written, place)?;
    }
    say(&summary(&written));
    let proposals = Proposals::from_env(|name| std::env::var_os(name));
    let rows = run::rows(&lock, &written.image, &written.documents);
    say(&ledger::image::check(&rows, workspace, &lock.platform, proposals)?.to_string());
    let pushed = options.push.push(&written, &identity.tag(), lock.base.as_ref())?;
    match (options.json, pushed) {
        (true, pushed) => println!("{}", report(&written, pushed.as_ref())),
        (false, Some(pushed)) => println!("{}", pushed.name),
        (false, None) => {}
    }
    Ok(())
}

/// The program that starts everything in the image.
pub fn program(workspace: &Workspace) -> Result<Vec<u8>> {
    let path = workspace.toolchains().join("image/lockstep_entrypoint.py");
    fs::read(&path).at("read", &path)
}

/// The ops wheel in `dist/`, as the last build's ledger has it.
pub fn ops_wheel(workspace: &Workspace) -> Result<PathBuf> {
    let refused = |why: String| Error::new(Kind::Ledger, why).hint("run `cargo xtask build-ops`");
    let ledger = Ledger::read(workspace)?;
    let wheel = |row: &&Row| row.package == ALL && row.file.ends_with(".whl");
    let row = ledger.rows.iter().find(wheel);
    let row = row.ok_or_else(|| refused("dist/ledger.json names no ops wheel".to_owned()))?;
    let path = workspace.dist().join(&row.file);
    let (expected, found) = (row.sha256, Sha256::of_file(&path)?);
    if found != expected {
        let path = path.display();
        return Err(refused(format!("`{path}`: expected sha256 {expected}, found {found}")));
    }
    Ok(path)
}

/// What was written and sent, for machines.
fn report(written: &Written, pushed: Option<&Pushed>) -> serde_json::Value {
    let layer = |layer: &oci::Layer| {
        let Blob { digest, size, diff_id } = &layer.blob;
        let (digest, diff_id) = (digest.named(), diff_id.named());
        serde_json::json!({"name": layer.name, "digest": digest, "size": size, "diff-id": diff_id})
    };
    serde_json::json!({
        "image": written.documents.manifest.digest.named(),
        "layers": written.image.layers.iter().map(layer).collect::<Vec<_>>(),
        "place": written.place,
        "pushed": pushed,
    })
}

/// What was written, for people; the last line is the image's name.
fn summary(written: &Written) -> String {
    let mut text = String::new();
    for layer in &written.image.layers {
        let _infallible =
            writeln!(text, "{:<10} {:>7}  {}", layer.name, bytes(layer.blob.size), layer.about);
    }
    let size = written.image.layers.iter().map(|layer| layer.blob.size).sum();
    let _infallible = writeln!(text, "{}: {}", written.place.display(), bytes(size));
    text + &written.documents.manifest.digest.named()
}
