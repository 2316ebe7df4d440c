//! `cargo xtask bundle`: what a cluster without containers needs, as one archive.
//!
//! The image's wheels are installed by pip there, by hash; the ops wheel comes along. The
//! check is the image's own program, given where pip puts things.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use crate::atomic;
use crate::build::stamp::Stamps;
use crate::build::{self, material, source};
use crate::digest::Sha256;
use crate::engine::{self, Engine};
use crate::error::{IoContext as _, Result};
use crate::fetch;
use crate::lock::Lock;
use crate::progress::bytes;
use crate::root::path::TreePath;
use crate::root::wheel::{Content, Wheel};
use crate::root::work::spread;
use crate::store::Store;
use crate::workspace::Workspace;

use super::command::{ops_wheel, program};
use super::identity::Identity;
use super::layer::Layer;
use super::source as parts;

/// The archive in the folder `dist/bundle/`, and the folder that is in it.
pub const FILE: &str = "bundle/lockstep-bundle.tar.gz";
const FOLDER: &str = "lockstep-bundle";

const ACTIVATE: &str = include_str!("bundle_activate.sh");
const CHECK: &str = include_str!("bundle_check.py");

/// `cargo xtask bundle`.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where commands run
    #[arg(long, env = engine::VARIABLE, default_value_t, value_enum, value_name = "ENGINE")]
    pub engine: Engine,
}

/// Builds the ops and writes `dist/bundle/`.
pub fn bundle(
    workspace: &Workspace,
    store: &Store,
    options: &Options,
    offline: bool,
) -> Result<()> {
    let build = build::run::Options { dry_run: false, engine: options.engine, etc: None };
    println!("{}", build::run::run(workspace, store, &build, offline)?);
    let lock = material::locked(workspace)?;
    fetch::ensure(&lock, store, &fetch::Selection::all(), &fetch::Options::from_env(offline))?;
    let sources = source::collect(workspace, &Stamps::default(), &mut Stamps::default())?;
    let ops = ops_wheel(workspace)?;
    let wheel = fs::read(&ops).at("read", &ops)?;
    let file = ops.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut wheels = spread(&lock.wheels, |wheel| parts::open(store, wheel))?;
    wheels.push(Wheel::open(&ops, &file)?);
    let manifest = manifest(&wheels)?;

    let mut layer = Layer::new("bundle", lock.epoch);
    let mut put = |name: &str, mode, bytes: Vec<u8>| {
        layer.add_bytes(&format!("{FOLDER}/{name}"), mode, bytes)
    };
    let named = [("manifest".to_owned(), Sha256::of(manifest.as_bytes()))];
    put("activate", 0o644, ACTIVATE.replace("@PYTHON@", &lock.python).into_bytes())?;
    put("identity", 0o644, Identity::of(&lock, &sources).text(&named).into_bytes())?;
    put("lockstep-check", 0o755, CHECK.as_bytes().to_vec())?;
    put("lockstep_entrypoint.py", 0o644, program(workspace)?)?;
    put("manifest", 0o644, manifest.into_bytes())?;
    let text = requirements(&lock, &Sha256::of(&wheel));
    put("requirements.txt", 0o644, text.into_bytes())?;
    put(&format!("wheels/{file}"), 0o644, wheel)?;

    let place = workspace.dist().join(FILE);
    let folder = place.parent().unwrap_or(&place);
    fs::create_dir_all(folder).at("create", folder)?;
    let blob = layer.compress(Vec::new(), &place)?;
    atomic::write(&place, &blob)?;
    println!("{}: {}", place.display(), bytes(blob.len() as u64));
    println!("sha256:{}", Sha256::of(&blob));
    Ok(())
}

/// What pip installs from `wheels` as it is in them: a line a file, as in the image's
/// manifests, by its path in site-packages.
fn manifest(wheels: &[Wheel]) -> Result<String> {
    let mut lines: BTreeMap<TreePath, String> = BTreeMap::new();
    for wheel in wheels {
        for file in wheel.installed()? {
            let Content::Member(at) = file.content else { continue };
            // What is spread from `.data/` goes elsewhere than into site-packages.
            if wheel.entries()[at].name == file.path {
                let line =
                    format!("{:o}\t{}\t{}\t{}\n", file.mode, file.size, file.digest, file.path);
                lines.insert(file.path, line);
            }
        }
    }
    Ok(lines.into_values().collect())
}

/// For `pip install --require-hashes` ("Requirements file format", per-requirement options).
fn requirements(lock: &Lock, ops: &Sha256) -> String {
    let locked = lock.wheels.iter().map(|w| (w.name.as_str(), w.version.as_str(), &w.sha256));
    let own = [(lock.ops.name.as_str(), lock.ops.version.as_str(), ops)];
    let mut text = format!(
        "# All wheels of the cluster, for Python {} on {}.\n\
         # python3 -m pip install --require-hashes --no-deps --find-links wheels -r requirements.txt\n",
        lock.python, lock.platform
    );
    for (name, version, sha256) in locked.chain(own) {
        let _infallible = writeln!(text, "{name}=={version} --hash=sha256:{sha256}");
    }
    text
}
