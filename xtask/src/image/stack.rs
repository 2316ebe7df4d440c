//! The four layers, in order of how seldom they change.

use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::error::Result;
use crate::lock::{self, Lock, RootKind};
use crate::root::path::TreePath;
use crate::root::runtime::{self, dist_packages};
use crate::root::wheel::Wheel;
use crate::root::work::spread;
use crate::store::Store;

use super::identity::{CHECK, ENTRYPOINT, Identity, PROGRAM, SHARE};
use super::layer::Layer;
use super::source;

/// The layers' names, the lowest first.
pub const NAMES: [&str; 4] = ["base", "python", "tensorflow", "ops"];

/// Everything that the layers are made of, opened and verified.
pub struct Parts<'l> {
    lock: &'l Lock,
    runtime: PathBuf,
    closure: Vec<(Wheel, Sha256)>,
    tensorflow: Vec<(Wheel, Sha256)>,
    ops: [(Wheel, Sha256); 1],
    program: Vec<u8>,
}

impl<'l> Parts<'l> {
    /// Opens what `lock` names from the store, the ops wheel at `ops`, and takes `program`,
    /// which will start everything in the image.
    pub fn open(lock: &'l Lock, store: &Store, ops: &Path, program: Vec<u8>) -> Result<Self> {
        let (tensorflow, closure): (Vec<_>, Vec<_>) =
            lock.wheels.iter().partition(|wheel| wheel.name == lock.tensorflow.package);
        let open = |wheel: &&lock::Wheel| Ok((source::open(store, wheel)?, wheel.sha256));
        let file = ops.file_name().unwrap_or_default().to_string_lossy();
        Ok(Parts {
            lock,
            runtime: runtime::ensure(lock, store)?,
            closure: spread(&closure, open)?,
            tensorflow: spread(&tensorflow, open)?,
            ops: [(Wheel::open(ops, &file)?, Sha256::of_file(ops)?)],
            program,
        })
    }

    /// The layers of the image, the lowest first.
    pub fn layers(&self, identity: &Identity<'_>) -> Result<[Layer<'_>; 4]> {
        let epoch = self.lock.epoch;
        let site = dist_packages(&self.lock.python);
        let mut layers = [
            source::base(&self.runtime, epoch)?,
            source::wheels("python", &site, &self.closure, epoch)?,
            source::wheels("tensorflow", &site, &self.tensorflow, epoch)?,
            source::wheels("ops", &site, &self.ops, epoch)?,
        ];
        let [.., ops] = &mut layers;
        ops.add_bytes(PROGRAM, 0o755, self.program.clone())?;
        for name in [CHECK, ENTRYPOINT] {
            ops.add_link(name, &relative(name, PROGRAM)?)?;
        }
        for at in 1..layers.len() {
            let (below, above) = layers.split_at_mut(at);
            below.iter().try_for_each(|below| above[0].stand_on(below))?;
        }
        let manifests = layers.iter_mut().map(source::add_manifest).collect::<Result<Vec<_>>>()?;
        let text = identity.text(&manifests).into_bytes();
        let [.., ops] = &mut layers;
        ops.add_bytes(&format!("{SHARE}/identity"), 0o644, text)?;
        Ok(layers)
    }
}

/// One line for people: what is in the layer `name`.
pub fn about(lock: &Lock, name: &str) -> String {
    match name {
        "base" => format!(
            "{} Debian packages, among them Python {}",
            lock.packages_of(RootKind::Runtime).count(),
            lock.python
        ),
        "python" => format!("{} wheels that TensorFlow needs", lock.wheels.len().saturating_sub(1)),
        "tensorflow" => format!("{} {}", lock.tensorflow.package, lock.tensorflow.version),
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
    fn a_link_leads_from_its_folder() {
        let way = |from, to| relative(from, to).unwrap();
        assert_eq!(way(CHECK, PROGRAM), "../lib/lockstep/lockstep_entrypoint.py");
        assert_eq!(way("a", "b/c"), "b/c");
        assert_eq!(way("a/b/c", "a/b/d"), "d");
    }
}
