//! The four layers, in order of how seldom they change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::build::wheel::PLUGINS;
use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::lock::{self, Lock, RootKind};
use crate::root::path::TreePath;
use crate::root::runtime::{self, dist_packages};
use crate::root::wheel::{Replaced, Wheel};
use crate::root::work::spread;
use crate::store::{Manifest, Node};

use super::base;
use super::identity::{CHECK, ENTRYPOINT, Identity, PROGRAM, SHARE};
use super::layer::Layer;
use super::slim;
use super::source;
use super::tools::Tools;

/// The layers' names, the lowest first.
pub const NAMES: [&str; 4] = ["base", "python", "tensorflow", "ops"];

/// Everything that the layers are made of, opened and verified.
pub struct Parts<'l> {
    lock: &'l Lock,
    runtime: (PathBuf, Manifest),
    closure: Vec<(Wheel, Sha256)>,
    tensorflow: Vec<(Wheel, Sha256)>,
    ops: [(Wheel, Sha256); 1],
    program: Vec<u8>,
    /// In a slim image.
    slim: Option<Replaced>,
}

impl<'l> Parts<'l> {
    /// Opens what the lock names from the store, the ops wheel at `ops`, and takes `program`,
    /// which will start everything in the image; a slim image's libraries are stripped by `tools`.
    pub fn open(tools: &Tools<'l>, ops: &Path, program: Vec<u8>) -> Result<Self> {
        let Tools { lock, store, .. } = *tools;
        let (mut wheels, closure): (Vec<_>, Vec<_>) =
            lock.wheels.iter().partition(|wheel| wheel.name == lock.tensorflow.package);
        let largest = wheels.len();
        wheels.extend(closure);
        let open = |wheel: &&lock::Wheel| Ok((source::open(store, wheel)?, wheel.sha256));
        let file = ops.file_name().unwrap_or_default().to_string_lossy();
        let (opened, runtime) = std::thread::scope(|scope| {
            let opened = scope.spawn(|| spread(&wheels, open));
            let runtime = runtime::ensure(lock, store);
            (opened.join(), runtime)
        });
        let gone = |_| Error::new(Kind::Io, "the thread that opens wheels failed");
        let (mut tensorflow, runtime) = (opened.map_err(gone)??, runtime?);
        let closure = tensorflow.split_off(largest);
        let manifest = store.manifest(&runtime)?;
        Ok(Parts {
            lock,
            runtime: (runtime, manifest),
            closure,
            tensorflow,
            ops: [(Wheel::open(ops, &file)?, Sha256::of_file(ops)?)],
            program,
            slim: slim::stripped(tools)?,
        })
    }

    /// The layers of the image, the lowest first.
    pub fn layers(&self, identity: &Identity<'_>) -> Result<[Layer<'_>; 4]> {
        let epoch = self.lock.epoch;
        let site = dist_packages(&self.lock.python);
        let (root, manifest) = &self.runtime;
        let layer = |at: &usize| match *at {
            0 => source::base(root, manifest, epoch),
            1 => source::wheels(NAMES[1], &site, &self.closure, self.slim.as_ref(), epoch),
            2 => source::wheels(NAMES[2], &site, &self.tensorflow, self.slim.as_ref(), epoch),
            _ => source::wheels(NAMES[3], &site, &self.ops, None, epoch),
        };
        let layers: Result<[_; 4], _> = spread(&[0, 1, 2, 3], layer)?.try_into();
        let mut layers = layers.map_err(|_| Error::new(Kind::Io, "not as many layers as names"))?;
        let [.., ops] = &mut layers;
        ops.add_bytes(PROGRAM, 0o755, self.program.clone())?;
        for name in [CHECK, ENTRYPOINT] {
            ops.add_link(name, &relative(name, PROGRAM)?)?;
        }
        if self.lock.base.is_some() {
            ops.add_bytes(base::CACHE, 0o644, Vec::new())?;
        }
        for at in 1..layers.len() {
            let (below, above) = layers.split_at_mut(at);
            below.iter().try_for_each(|below| above[0].stand_on(below))?;
        }
        one_path_each(&layers, &site)?;
        let manifests = layers.iter_mut().map(source::add_manifest).collect::<Result<Vec<_>>>()?;
        let text = identity.text(&manifests).into_bytes();
        let [.., ops] = &mut layers;
        ops.add_bytes(&format!("{SHARE}/identity"), 0o644, text)?;
        Ok(layers)
    }
}

/// Refuses a second copy of a library that `import tensorflow` loads.
fn one_path_each(layers: &[Layer<'_>], site: &str) -> Result<()> {
    let plugins = format!("{site}/{PLUGINS}");
    let files = || {
        layers.iter().flat_map(Layer::members).filter_map(|(path, member)| {
            match member.entry.node {
                Node::File { size: 1.., digest } => Some((path, digest)),
                _ => None,
            }
        })
    };
    let loaded: BTreeMap<Sha256, &TreePath> = files()
        .filter(|(path, _)| path.below(&plugins).is_some() && is_library(path.name()))
        .map(|(path, digest)| (digest, path))
        .collect();
    let second = files().find_map(|(path, digest)| {
        let first = loaded.get(&digest).filter(|first| **first != path)?;
        Some((*first, path))
    });
    match second {
        None => Ok(()),
        Some((one, other)) => Err(Error::new(
            Kind::Archive,
            format!(
                "`{one}` and `{other}` are one library: TensorFlow gives its ops to who asks by \
                 the first path, and a module without them to who asks by the other"
            ),
        )
        .hint("keep the library in `tensorflow-plugins` alone, and load it by `lockstep_loader`")),
    }
}

/// As TensorFlow decides what to load (`_is_shared_object` of `load_library.py`).
fn is_library(name: &str) -> bool {
    name.ends_with(".so") || name.contains(".so.")
}

/// What the ledger calls the layer `name`: whether it is slim is seen at a glance.
pub fn row(lock: &Lock, name: &str) -> String {
    format!("layer {name}{}", slim(lock, name))
}

fn slim(lock: &Lock, name: &str) -> &'static str {
    match lock.image.slim && ["python", "tensorflow"].contains(&name) {
        true => ", slim",
        false => "",
    }
}

/// One line for people: what is in the layer `name`.
pub fn about(lock: &Lock, name: &str) -> String {
    let slim = slim(lock, name);
    match name {
        "base" => format!(
            "{} Debian packages, among them Python {}",
            lock.packages_of(RootKind::Runtime).count(),
            lock.python
        ),
        "python" => {
            format!("{} wheels that TensorFlow needs{slim}", lock.wheels.len().saturating_sub(1))
        }
        "tensorflow" => format!("{} {}{slim}", lock.tensorflow.package, lock.tensorflow.version),
        _ => format!("{} {} and the entrypoint", lock.ops.name, lock.ops.version),
    }
}

/// The way from the folder of `from` to `to`, both below one root.
fn relative(from: &str, to: &str) -> Result<String> {
    let (from, to) = (TreePath::try_from(from)?, TreePath::try_from(to)?);
    let (from, to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", from.len() - 1 - common);
    Ok(up.chain(to[common..].iter().copied()).collect::<Vec<_>>().join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_lies_once_wherever_its_copy_is() {
        let mut layers = [Layer::new("python", 0), Layer::new("ops", 0)];
        let mut put = |at: usize, path: &str, bytes: &[u8]| {
            layers[at].add_bytes(path, 0o644, bytes.to_vec()).unwrap();
            one_path_each(&layers, "site")
        };
        put(1, "site/tensorflow-plugins/liba.so", b"a").unwrap();
        put(1, "site/tensorflow-plugins/libb.so", b"b").unwrap();
        put(0, "site/other/libc.so", b"c").unwrap();
        put(1, "site/tensorflow-plugins/README", b"c").unwrap();
        put(1, "site/tensorflow-plugins/libempty.so", b"").unwrap();
        put(0, "site/a/__init__.py", b"").unwrap();
        let error = put(0, "site/a/liba.so", b"a").unwrap_err();
        let start = "`site/tensorflow-plugins/liba.so` and `site/a/liba.so` are one library";
        assert!(error.message().starts_with(start), "{error}");
        assert!(put(1, "site/tensorflow-plugins/libc.so", b"b").is_err(), "beside it, too");
    }

    #[test]
    fn the_ledger_shows_which_layers_are_slim() {
        let mut lock = Lock::example();
        assert!(NAMES.iter().all(|name| row(&lock, name) == format!("layer {name}")));
        lock.image.slim = true;
        let rows = NAMES.map(|name| row(&lock, name));
        assert_eq!(
            rows,
            ["layer base", "layer python, slim", "layer tensorflow, slim", "layer ops"]
        );
    }

    #[test]
    fn a_link_leads_from_its_folder() {
        let way = |from, to| relative(from, to).unwrap();
        assert_eq!(way(CHECK, PROGRAM), "../lib/lockstep/lockstep_entrypoint.py");
        assert_eq!(way("a", "b/c"), "b/c");
        assert_eq!(way("a/b/c", "a/b/d"), "d");
    }
}
