//! The runtime root: Python, nothing else.

use std::path::PathBuf;

use crate::error::Result;
use crate::lock::{Lock, RootKind};
use crate::store::Store;

use super::assembly::Recipe;

/// The runtime root of `lock` in `store`.
pub fn ensure(lock: &Lock, store: &Store) -> Result<PathBuf> {
    recipe(lock).ensure(store)
}

/// All that the runtime root is a function of.
pub fn recipe(lock: &Lock) -> Recipe<'_> {
    let mut recipe = Recipe::of(lock, RootKind::Runtime, "runtime");
    recipe.mount_points =
        vec!["work/ops".to_owned(), "out".to_owned(), dist_packages(&lock.python)];
    recipe
}

/// The folder of site-packages that Debian's Python of this `major.minor` looks in by itself.
pub fn dist_packages(python: &str) -> String {
    format!("usr/local/lib/python{python}/dist-packages")
}
