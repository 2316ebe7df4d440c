//! `cargo xtask image`, from command line to ledger.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::build::stamp::Stamps;
use crate::build::{self, material, op, source};
use crate::digest::Sha256;
use crate::engine::Engine;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::fetch;
use crate::ledger::digests::ALL;
use crate::ledger::{self, Ledger, Proposals, Row};
use crate::progress::bytes;
use crate::store::Store;
use crate::workspace::Workspace;

use super::identity::Identity;
use super::layer::Layer;
use super::oci;
use super::run::{self, Written};
use super::smoke::Smoke;
use super::stack::Parts;

/// `cargo xtask image`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Write the image as one tar too, for `docker load` and `podman load`
    #[arg(long, value_name = "FILE")]
    pub archive: Option<PathBuf>,
    /// Do not start the image's root and run every op's tests in it
    #[arg(long)]
    pub no_smoke: bool,
    /// Where commands run: native, docker or podman
    #[arg(long, default_value = "native", value_name = "ENGINE")]
    pub engine: String,
}

/// The op package of the image's rows in the ledger.
const PACKAGE: &str = "image";

/// Builds the ops, writes `dist/image/` and compares it with the committed ledger.
pub fn image(workspace: &Workspace, store: &Store, options: &Options, offline: bool) -> Result<()> {
    let build = build::run::Options { dry_run: false, engine: options.engine.clone() };
    build::run::run(workspace, store, &build, offline)?;
    let lock = material::locked(workspace)?;
    fetch::ensure(&lock, store, &fetch::Selection::all(), &fetch::Options::from_env(offline))?;
    let sources = source::collect(workspace, &Stamps::default(), &mut Stamps::default())?;
    let identity = Identity::of(&lock, &sources);
    let parts = Parts::open(&lock, store, &ops_wheel(workspace)?, program(workspace)?)?;
    let (engine, packages) = (Engine::named(&options.engine)?, op::discover(&workspace.ops())?);
    let smoke = Smoke { workspace, store, lock: &lock, engine: &engine, packages: &packages };
    let test = |layers: &[Layer<'_>], top: &Path| match options.no_smoke {
        true => Ok(()),
        false => smoke.test(layers, top),
    };
    let written = run::write(&lock, &identity, &parts, store, &workspace.dist(), test)?;
    if let Some(place) = &options.archive {
        run::archive(&lock, &identity, &written, place)?;
    }
    println!("{}", summary(&written));
    let proposals = Proposals::from_env(|name| std::env::var_os(name));
    let rows = rows(&written, &lock.platform);
    println!("{}", ledger::image::check(&rows, workspace, &lock.platform, proposals)?);
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

/// The image in the ledger.
fn rows(written: &Written, platform: &str) -> Vec<Row> {
    let row = |file: &str, digest| Row::new(PACKAGE, file, platform, digest);
    let layers = written.image.layers.iter();
    let layers = layers.map(|layer| row(&format!("layer {}", layer.name), layer.blob.diff_id));
    layers.chain([row("manifest", written.documents.manifest.digest)]).collect()
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
    text + &oci::named(&written.documents.manifest.digest)
}
