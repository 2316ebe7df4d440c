//! The process that is killed. It calls what the real commands call, with little to do.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::Stage;
use crate::build::output::{self, Library};
use crate::build::stamp::Stamps;
use crate::build::{finished, source};
use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::image::diff::Records;
use crate::image::layer::Layer;
use crate::image::layout::Draft;
use crate::image::oci::{self, Image};
use crate::image::{identity, run};
use crate::ledger::{Ledger, Proposals, Row};
use crate::lock::{Compression, Lock, Package, RootKind};
use crate::root::assembly::Recipe;
use crate::store::Store;
use crate::workspace::Workspace;

/// What a victim is to write: a lock's text, a file, or the word that its outputs are made of.
pub fn input(workspace: &Workspace) -> PathBuf {
    workspace.root().join("input")
}

/// Does what `stage` does. Says when it starts, and is silent otherwise.
pub fn run(stage: Stage, workspace: &Workspace, store: &Store) -> Result<()> {
    let path = input(workspace);
    let bytes = std::fs::read(&path).at("read", &path)?;
    let lock = Lock::load(&workspace.lock())?;
    let started = || writeln!(std::io::stdout(), "started").at("write", Path::new("/dev/stdout"));
    match stage {
        Stage::Lock => {
            let next = Lock::parse(&String::from_utf8_lossy(&bytes))?;
            started()?;
            next.store(&workspace.lock())
        }
        Stage::Object => {
            let digest = Sha256::of(&bytes);
            started()?;
            object(store, &digest, &bytes)
        }
        Stage::Tree => {
            started()?;
            recipe(&lock).ensure(store).map(drop)
        }
        Stage::Publish => {
            started()?;
            publish(workspace, &lock, &bytes)?;
            match ledger(&lock, &bytes).check(workspace, Proposals::Write) {
                // It is not the committed one: that is what makes it propose.
                Err(error) if error.kind() == Kind::Ledger => Ok(()),
                Err(error) => Err(error),
                Ok(_) => Err(Error::new(Kind::Ledger, "nothing was proposed")),
            }
        }
        Stage::Record => {
            started()?;
            finished::forget(workspace)?;
            let none = Stamps::default();
            let before = source::collect(workspace, &none, &mut Stamps::default())?;
            let outputs = publish(workspace, &lock, &bytes)?;
            finished::record(workspace, &before, &outputs, &String::from_utf8_lossy(&bytes))
        }
        Stage::Image => {
            started()?;
            image(workspace, store, &lock, &bytes)
        }
    }
}

/// An image of one layer.
fn image(workspace: &Workspace, store: &Store, lock: &Lock, word: &[u8]) -> Result<()> {
    let mut layer = Layer::new("ops", lock.epoch);
    layer.add_bytes("file", 0o644, filled(word, "image"))?;
    let draft = Draft::begin(&workspace.dist(), run::IMAGE)?;
    let (name, about) = (layer.name().to_owned(), String::from_utf8_lossy(word).into_owned());
    let (blob, compression) = (draft.layer(store, &layer, Records::Check)?, Compression::Gzip);
    let image = Image {
        platform: lock.platform.clone(),
        epoch: lock.epoch,
        start: identity::start(lock),
        labels: BTreeMap::new(),
        layers: vec![oci::Layer { name, about, blob, compression }],
    };
    draft.documents(&image.documents("tag")?)?;
    draft.link(&blob, "layer")?;
    draft.publish().map(drop)
}

fn object(store: &Store, digest: &Sha256, bytes: &[u8]) -> Result<()> {
    let Some(mut partial) = store.partial(digest, bytes.len() as u64, "the file")? else {
        return Ok(());
    };
    let rest = bytes.get(partial.length() as usize..).unwrap_or_default();
    rest.chunks(128 << 10).try_for_each(|chunk| partial.write(chunk))?;
    partial.commit().map(drop)
}

/// A root of the three smallest packages of the runtime root.
pub fn recipe(lock: &Lock) -> Recipe<'_> {
    let mut recipe = Recipe::of(lock, RootKind::Runtime, "faults");
    recipe.packages.sort_by_key(|package| package.size);
    recipe.packages.truncate(3);
    recipe.packages.sort_by_key(|package: &&Package| &package.name);
    recipe
}

/// Two libraries and a wheel, whose name moves with the version as a real one's does.
fn publish(workspace: &Workspace, lock: &Lock, word: &[u8]) -> Result<Vec<String>> {
    let stem = lock.ops.name.replace(['-', '.'], "_").to_lowercase();
    let wheel = format!("{stem}-{}-py3-none-any.whl", String::from_utf8_lossy(word));
    let outputs =
        output::publish(workspace, lock, &libraries(word), &wheel, &filled(word, "wheel"))?;
    ledger(lock, word).write(workspace)?;
    Ok(outputs)
}

fn libraries(word: &[u8]) -> Vec<Library> {
    let library = |package: &str| Library {
        package: package.to_owned(),
        file: format!("lib{package}.so"),
        bytes: filled(word, package),
    };
    ["first", "second"].map(library).into()
}

fn ledger(lock: &Lock, word: &[u8]) -> Ledger {
    let row = |library: Library| {
        let digest = Sha256::of(&library.bytes);
        Row::new(&library.package, &library.file, &lock.platform, digest)
    };
    let rows = libraries(word).into_iter().map(row).collect();
    Ledger { platform: lock.platform.clone(), rows, surfaces: Vec::new() }
}

/// 256 KiB that differ from word to word and name to name.
fn filled(word: &[u8], name: &str) -> Vec<u8> {
    Sha256::of(&[word, name.as_bytes()].concat()).bytes().repeat(8 << 10)
}
