//! The builder root: compiler, Bazel, Python.

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
