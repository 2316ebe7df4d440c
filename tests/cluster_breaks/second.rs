//! Another TensorFlow, really: the workspace of tests/fixtures/tensorflow-2.20, its ops built
//! by Bazel against its own wheel, its image as this checkout's own stages make it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use xtask::build::stamp::Stamps;
use xtask::build::{source, wheel::PLUGINS};
use xtask::command::{self, cmd};
use xtask::engine::{Mount, Run};
use xtask::fetch;
use xtask::image::command::{ops_wheel, program};
use xtask::image::diff::Records;
use xtask::image::identity::Identity;
use xtask::image::layout::Draft;
use xtask::image::stack::Parts;
use xtask::image::tools::Tools;
use xtask::lock::Lock;
use xtask::root::{self, runtime::dist_packages};
use xtask::store::Store;
use xtask::workspace::Workspace;

use super::{Node, copy, packages};
use crate::cluster_smoke::checkout;
use crate::image::native;

/// The image of the second workspace.
pub struct Second {
    /// What Lockstep wrote: the top layer, and the manifests of those below.
    own: PathBuf,
    root: PathBuf,
    mounts: Vec<Mount>,
    site: String,
}

/// Made once, and kept below target/ for the next run.
pub fn second() -> &'static Second {
    static ONE: OnceLock<Second> = OnceLock::new();
    ONE.get_or_init(make)
}

/// Its checkout: pins and lock of its own, ops and toolchains as they are here.
fn workspace() -> Workspace {
    let place = checkout().scratch().join("second");
    copy(&checkout().root().join("tests/fixtures/tensorflow-2.20"), &place);
    let _no_proposal = fs::remove_dir_all(place.join("tests"));
    for folder in ["toolchains", "ops"] {
        let _not_there_yet = fs::remove_dir_all(place.join(folder));
        copy(&checkout().root().join(folder), &place.join(folder));
    }
    Workspace::at(&place)
}

fn make() -> Second {
    let (workspace, store) = (workspace(), Store::from_env(|name| std::env::var_os(name)).unwrap());
    let (sh, xtask) = (command::shell().unwrap(), env!("CARGO_BIN_EXE_xtask"));
    let place = workspace.root();
    let build = cmd!(sh, "{xtask} --workspace {place} build-ops").ignore_status().quiet();
    let said = String::from_utf8(build.output().unwrap().stderr).unwrap();
    // Nobody accepts a ledger of it: the build is whole, and only that is missed.
    assert!(said.contains("error: no ledger for"), "{said}");
    let lock = Lock::load(&workspace.lock()).unwrap();
    let all = (fetch::Selection::all(), fetch::Options::from_env(false));
    fetch::ensure(&lock, &store, &all.0, &all.1).unwrap();
    let sources = source::collect(&workspace, &Stamps::default(), &mut Stamps::default()).unwrap();
    let (ops, program) = (ops_wheel(&workspace).unwrap(), program(&workspace).unwrap());
    let tools = Tools { lock: &lock, store: &store, engine: &native, logs: place.join("log") };
    let parts = Parts::open(&tools, &ops, program).unwrap();
    let layers = parts.layers(&Identity::of(&lock, &sources)).unwrap();
    let own = place.join("own");
    let _not_there_yet = fs::remove_dir_all(&own);
    fs::create_dir_all(&own).unwrap();
    // The layers below are the store's trees; packed, they would be the same once more.
    let draft = Draft::begin(&workspace.dist(), "image").unwrap();
    let [below @ .., top] = &layers;
    let blob = draft.layer(&store, top, Records::Trust).unwrap();
    let file = fs::File::open(draft.blob(&blob)).unwrap();
    tar::Archive::new(flate2::read::MultiGzDecoder::new(file)).unpack(&own).unwrap();
    for (path, bytes) in below.iter().flat_map(|layer| layer.own_files()) {
        let path = own.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let site = dist_packages(&lock.python);
    let (root, wheels) =
        (root::runtime::ensure(&lock, &store).unwrap(), root::site::ensure(&lock, &store).unwrap());
    let local = [&own, &root].map(|tree| tree.join("usr/local"));
    let mounts = vec![
        Mount::Overlay { sources: local.to_vec(), target: "/usr/local".to_owned() },
        Mount::Overlay { sources: vec![own.join(&site), wheels], target: format!("/{site}") },
    ];
    Second { own, root, mounts, site }
}

impl Second {
    /// Its op library, linked with its TensorFlow.
    pub fn library(&self) -> PathBuf {
        self.own.join(&self.site).join(PLUGINS).join("libembedding_ops.so")
    }

    /// Starts `run` from this image: what it runs and what it is told stay.
    pub fn take(&self, run: &mut Run) {
        run.root.clone_from(&self.root);
        run.mounts.retain(|mount| !matches!(mount, Mount::Overlay { .. }));
        run.mounts.extend(self.mounts.iter().cloned());
    }
}

impl Node<'_> {
    /// The node has the second image, and its own copy of that one's top layer.
    pub fn take_second(&mut self) {
        let second = second();
        second.take(self.run);
        fs::remove_dir_all(&self.top).unwrap();
        copy(&second.own, &self.top);
        super::own_copy(self.run, &second.own, &self.top);
        assert!(Path::new(&packages(self.run)).ends_with(&second.site));
    }
}
