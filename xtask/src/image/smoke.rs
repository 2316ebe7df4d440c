//! The smoke test: the image's own root, started in an engine without a network before the
//! image has its final name.
//!
//! Nothing is unpacked twice for it. The base is the runtime root's tree and the wheels are
//! the site-packages' tree, as in `test-ops`; the top layer is read back from
//! its blob. That together they *are* the image is then seen from inside: `lockstep-check`
//! reads every file and holds it against the manifests that the blob's identity names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::build::op::OpPackage;
use crate::digest::Key;
use crate::engine::{Log, Mount, Output, Run};
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::progress;
use crate::root;
use crate::root::runtime::dist_packages;
use crate::store::Manifest;
use crate::workspace::Workspace;

use super::identity::{self, CHECK, ENTRYPOINT};
use super::layer::Layer;
use super::slim;
use super::tools::Tools;
use super::unpack::unpacked;

/// Starts a chief, a worker and a parameter server, and has each op run on the latter two.
const CLUSTER: &str = include_str!("smoke_cluster.py");

/// What the smoke test needs besides the image.
pub struct Smoke<'a> {
    /// The checkout: op packages' tests, and a place for logs.
    pub workspace: &'a Workspace,
    /// Lock, store, and what runs the root.
    pub tools: &'a Tools<'a>,
    /// The op packages, whose tests are run.
    pub packages: &'a [OpPackage],
}

impl Smoke<'_> {
    /// Tests the image of `layers`, whose top layer is the file `top`. What passed once is
    /// not run again until the image or a test changes.
    pub fn test(&self, layers: &[Layer<'_>], top: &Path) -> Result<()> {
        let ops = Manifest::of_tree(&self.workspace.ops())?.digest();
        let toolchains = Manifest::of_tree(&self.workspace.toolchains())?.digest();
        let key = layers
            .iter()
            .fold(Key::new("smoke 2"), |key, layer| key.field("layer", layer.key().bytes()))
            .field("cluster", CLUSTER);
        let key = key.field("ops", ops.bytes()).field("toolchains", toolchains.bytes()).finish();
        let passed = |folder: &Path| {
            self.run_all(layers, top)?;
            Manifest::of_tree(folder)
        };
        self.tools.store.tree("smoke", &key, passed).map(drop)
    }

    fn run_all(&self, layers: &[Layer<'_>], top: &Path) -> Result<()> {
        let scratch = self.workspace.scratch();
        fs::create_dir_all(&scratch).at("create", &scratch)?;
        let folder = tempfile::tempdir_in(&scratch).at("create a folder in", &scratch)?;
        unpack(top, &folder.path().join("top"))?;
        for layer in layers {
            own_files(layer, &folder.path().join("own"))?;
        }
        let mounts = self.mounts(folder.path())?;
        self.run("check", &mounts, &[&format!("/{CHECK}")])?;
        let entrypoint = "/out/tests/test_entrypoint.py";
        self.run("entrypoint", &mounts, &["/usr/bin/python3", entrypoint])?;
        for package in self.packages {
            let tests = format!("/work/ops/{}/tests", package.name());
            let argv = ["/usr/bin/python3", "-m", "unittest", "discover", "-v", "-s", &tests];
            self.run(package.name(), &mounts, &argv)?;
        }
        let entrypoint = format!("/{ENTRYPOINT}");
        self.run("cluster", &mounts, &["/usr/bin/python3", "-c", CLUSTER, &entrypoint])
    }

    fn mounts(&self, folder: &Path) -> Result<(PathBuf, Vec<Mount>)> {
        let root = root::runtime::ensure(self.tools.lock, self.tools.store)?;
        let site = slim::site(self.tools)?;
        let place = dist_packages(&self.tools.lock.python);
        let (top, own) = (folder.join("top"), folder.join("own"));
        let local = [&top, &own, &root].map(|tree| tree.join("usr/local"));
        let mounts = vec![
            Mount::Overlay { sources: local.to_vec(), target: "/usr/local".to_owned() },
            Mount::Overlay { sources: vec![top.join(&place), site], target: format!("/{place}") },
            Mount::ReadOnly { source: self.workspace.ops(), target: "/work/ops".to_owned() },
            Mount::ReadOnly {
                source: self.workspace.toolchains().join("image"),
                target: "/out".to_owned(),
            },
        ];
        Ok((root, mounts))
    }

    /// Runs one command through the image's entrypoint, as a container would.
    fn run(&self, name: &str, (root, mounts): &(PathBuf, Vec<Mount>), argv: &[&str]) -> Result<()> {
        progress::say(&format!("smoke test: {name}"));
        let start = identity::start(self.tools.lock);
        let quiet = [("TF_CPP_MIN_LOG_LEVEL".to_owned(), "2".to_owned())];
        let entrypoint = format!("/{ENTRYPOINT}");
        let run = Run {
            root: root.clone(),
            mounts: mounts.clone(),
            argv: std::iter::once(&*entrypoint)
                .chain(argv.iter().copied())
                .map(str::to_owned)
                .collect(),
            env: start.env.into_iter().chain(quiet).collect::<BTreeMap<_, _>>(),
            cwd: start.folder,
        };
        let log = self.workspace.scratch().join(format!("log/smoke-{name}.log"));
        let outcome = (self.tools.engine)(&run, Output::Log(Log::at(&log)))?;
        if outcome.success() {
            return Ok(());
        }
        let said = fs::read_to_string(&log).unwrap_or_default();
        let first = said.lines().find(|line| {
            line.starts_with("error: ") || line.starts_with("FAIL: ") || line.starts_with("ERROR: ")
        });
        let why = first.map_or_else(String::new, |line| format!(": {line}"));
        Err(Error::new(
            Kind::Tool,
            format!("the image fails its smoke test `{name}` ({outcome}){why}"),
        )
        .hint(format!("the whole log is `{}`; the last good image is untouched", log.display())))
    }
}

/// Unpacks a blob that this process wrote into the new folder `place`.
fn unpack(blob: &Path, place: &Path) -> Result<()> {
    fs::create_dir(place).at("create", place)?;
    let file = File::open(blob).at("open", blob)?;
    let stream = unpacked(BufReader::new(file)).at("read", blob)?;
    tar::Archive::new(stream).unpack(place).at("unpack a layer into", place)
}

/// Writes what `layer` has besides packages and wheels: its manifest.
fn own_files(layer: &Layer<'_>, place: &Path) -> Result<()> {
    for (path, bytes) in layer.own_files() {
        let path = place.join(path);
        let folder = path.parent().unwrap_or(place);
        fs::create_dir_all(folder).at("create", folder)?;
        fs::write(&path, bytes).at("write", &path)?;
    }
    Ok(())
}
