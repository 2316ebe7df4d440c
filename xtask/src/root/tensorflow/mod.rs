//! TensorFlow as Bazel sees it: the repository `@org_tensorflow`, made of the files in
//! `toolchains/tensorflow/repo` and of the headers and the library that are in the wheel.
//!
//! ```text
//! BUILD, tensorflow/…                   copied from the checkout
//! include/                              what headers.txt names, and all that it reaches
//! lib/libtensorflow_framework.so.2
//! ops.txt                               every op that TensorFlow itself has
//! wheel-headers.txt                     every header of the wheel, also those left out
//! ```

mod checkout;
mod identity;
mod names;
mod undeclared;

use std::path::{Path, PathBuf};

use crate::digest::Key;
use crate::error::{Error, Kind, Result};
use crate::lock::{Lock, Wheel as Locked};
use crate::store::{Manifest, Store};

use super::includes;
use super::merged::Merged;
use super::path::TreePath;
use super::tree::{Entries, Hand, Tree};
use super::wheel::Wheel;

use checkout::Checkout;

pub use identity::git_version;
pub use names::{op_names, ops_of};
pub use undeclared::check_includes;

/// The framework library in the wheel; ops link it and nothing else of TensorFlow.
const LIBRARY: &str = "tensorflow/libtensorflow_framework.so.2";
/// Where the wheel keeps its headers.
const INCLUDE: &str = "tensorflow/include/";
/// Mode of every file: neither headers nor libraries are run.
const FILE: u32 = 0o644;
/// In the tree: the names of TensorFlow's own ops.
const OPS: &str = "ops.txt";
/// In the tree: the names of all headers of the wheel.
const HEADERS: &str = "wheel-headers.txt";

/// The repository's tree for the locked wheel and the checkout's `toolchains` folder, from
/// the store, or made now.
pub fn ensure(lock: &Lock, store: &Store, toolchains: &Path) -> Result<PathBuf> {
    let checkout = Checkout::read(&toolchains.join("tensorflow"))?;
    let locked = lock.tensorflow_wheel().ok_or_else(|| {
        let message = format!("workspace.lock has no wheel of {}", lock.tensorflow.package);
        Error::new(Kind::Lock, message).hint("run `cargo xtask update tensorflow`")
    })?;
    let mut key = Key::new("tensorflow repository 1")
        .field("wheel", locked.sha256.bytes())
        .field("epoch", lock.epoch.to_le_bytes());
    for (path, bytes) in checkout.inputs() {
        key = key.field("path", path).field("bytes", bytes);
    }
    store.tree("tensorflow", &key.finish(), |place| make(lock, locked, store, &checkout, place))
}

fn make(
    lock: &Lock,
    locked: &Locked,
    store: &Store,
    checkout: &Checkout,
    place: &Path,
) -> Result<Manifest> {
    let wheel = Wheel::open(&store.verified(&locked.sha256, &locked.file)?, &locked.file)?;
    identity::check(&lock.tensorflow, &git_version(&wheel)?)?;
    let tree = Tree::at(place, lock.epoch)?;
    let entries = fill(&wheel, checkout, &mut tree.hand())?;
    let mut merged = Merged::default();
    merged.add(&locked.file, entries)?;
    tree.finish(merged.finish()?)
}

fn fill(wheel: &Wheel, checkout: &Checkout, hand: &mut Hand<'_>) -> Result<Entries> {
    let mut entries = Entries::new();
    let mut put = |path: &str, bytes: &[u8]| -> Result<()> {
        let path = TreePath::try_from(path)?;
        let entry = hand.whole_file(&path, FILE, bytes)?;
        match entries.insert(path, entry) {
            None => Ok(()),
            Some(_) => Err(Error::new(
                Kind::Pins,
                "toolchains/tensorflow/repo has a file that Lockstep makes",
            )),
        }
    };
    for (path, bytes) in &checkout.files {
        put(path, bytes)?;
    }
    for (path, bytes) in headers(wheel, checkout)? {
        put(&format!("include/{path}"), &bytes)?;
    }
    put("lib/libtensorflow_framework.so.2", &wheel.read(wheel.need(LIBRARY)?)?)?;
    put(OPS, lines(op_names(wheel)?).as_bytes())?;
    let all = wheel.entries().iter().filter_map(|entry| entry.name.as_str().strip_prefix(INCLUDE));
    put(HEADERS, lines(all).as_bytes())?;
    Ok(entries)
}

/// The headers that the checkout declares, and all that they reach.
fn headers(
    wheel: &Wheel,
    checkout: &Checkout,
) -> Result<std::collections::BTreeMap<String, Vec<u8>>> {
    let missing = |header: &&String| wheel.get(&format!("{INCLUDE}{header}")).is_none();
    if let Some(header) = checkout.headers.iter().find(missing) {
        return Err(Error::new(
            Kind::Pins,
            format!("toolchains/tensorflow/headers.txt: `{header}` is not in `{}`", wheel.name()),
        ));
    }
    includes::closure(checkout.headers.iter().cloned(), |path| {
        let entry = wheel.get(&format!("{INCLUDE}{path}"));
        entry.map(|entry| wheel.read(entry)).transpose()
    })
}

fn lines<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    let sorted: std::collections::BTreeSet<String> =
        names.into_iter().map(|name| name.as_ref().to_owned() + "\n").collect();
    sorted.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The real wheel; `LOCKSTEP_TEST_WHEELS` names the folder that holds it.
    fn wheel() -> Option<PathBuf> {
        let folder = std::env::var_os("LOCKSTEP_TEST_WHEELS").map(PathBuf::from)?;
        Some(folder.join(&locked().tensorflow_wheel()?.file)).filter(|path| path.is_file())
    }

    fn locked() -> Lock {
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workspace.lock");
        Lock::load(&lock).unwrap()
    }

    #[test]
    fn the_real_wheel_becomes_a_repository() {
        let Some(path) = wheel() else {
            println!("skipped: LOCKSTEP_TEST_WHEELS names no folder with TensorFlow's wheel");
            return;
        };
        let wheel = Wheel::open(&path, &locked().tensorflow_wheel().unwrap().file).unwrap();
        assert_eq!(git_version(&wheel).unwrap(), locked().tensorflow.git_version);
        let names = op_names(&wheel).unwrap();
        assert!(names.contains("MatMul") && names.len() > 1500, "{}", names.len());

        let toolchains = Path::new(env!("CARGO_MANIFEST_DIR")).join("../toolchains/tensorflow");
        let checkout = Checkout::read(&toolchains).unwrap();
        let place = tempfile::tempdir().unwrap();
        let tree = Tree::at(place.path(), 1_700_000_000).unwrap();
        let mut merged = Merged::default();
        merged.add("tf", fill(&wheel, &checkout, &mut tree.hand()).unwrap()).unwrap();
        let manifest = tree.finish(merged.finish().unwrap()).unwrap();
        let headers = manifest.iter().filter(|(path, _)| path.starts_with("include")).count();
        println!("{} entries, {headers} below include, {} bytes", manifest.len(), manifest.bytes());
        assert!(place.path().join("include/tensorflow/core/framework/op_kernel.h").is_file());
    }
}
