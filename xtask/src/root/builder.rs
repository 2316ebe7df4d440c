//! The builder root: compiler, Bazel, Python.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::Result;
use crate::lock::{Lock, RootKind};
use crate::store::Store;

use super::assembly::Recipe;

/// Where an official Bazel binary goes when one is pinned by URL.
const BAZEL: &str = "usr/bin/bazel";
/// What a build mounts: the workspace's two folders, the outputs, TensorFlow.
const MOUNT_POINTS: [&str; 4] = ["opt/tf", "out", "work/ops", "work/toolchains"];

/// The builder root of `lock` in `store`.
pub fn ensure(lock: &Lock, store: &Store) -> Result<PathBuf> {
    recipe(lock).ensure(store)
}

/// All that the builder root is a function of.
pub fn recipe(lock: &Lock) -> Recipe<'_> {
    let mut recipe = Recipe::of(lock, RootKind::Builder, "builder");
    recipe.mount_points = MOUNT_POINTS.map(str::to_owned).into();
    recipe.programs = lock.bazel.binary.iter().map(|binary| (BAZEL, binary)).collect();
    recipe
}

/// The environment of everything that runs in the builder root: a list that we write.
pub fn environment(lock: &Lock) -> BTreeMap<String, String> {
    let epoch = lock.epoch.to_string();
    [
        ("HOME", "/tmp"),
        ("JAVA_HOME", "/usr/lib/jvm/default"),
        ("LC_ALL", "C.UTF-8"),
        ("PATH", "/usr/bin"),
        ("SOURCE_DATE_EPOCH", &epoch),
        ("TZ", "UTC"),
        ("USER", "lockstep"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}
