//! What is wrong with a source, a vault, a target: said by name.

use std::fs;

use xtask::lock::Lock;

use crate::build::Checkout;

use super::disk::on_a_full_disk;
use super::upstream::Upstream;
use super::{TARGET, checkout, xtask};

#[test]
fn what_is_wrong_with_a_source_is_said_by_name() {
    let Some(upstream) = Upstream::new() else { return };
    let there = checkout(&upstream);
    let update = || xtask(&there, &upstream, &["update", "tensorflow"]);
    let replace = |from: &str, to: &str| {
        there.edit("workspace.toml", |text| text.replace(from, to));
    };

    // A commit that the remote does not have.
    let other = format!("{}{}", &upstream.commit[..11], "0".repeat(29));
    replace(&upstream.commit, &other);
    update().with(6, &["`tensorflow.git` does not give revision", &other]);
    replace(&other, &upstream.commit);
    // A description that is not git's.
    let wrong = upstream.describe.replace("-0-g", "-3-g");
    replace(&upstream.describe, &wrong);
    update().with(2, &["`tensorflow.describe`: expected", &wrong, &upstream.describe]);
    replace(&wrong, &upstream.describe);
    // A remote that serves another tree under the commit's name.
    let damaged = upstream.damaged();
    replace(&upstream.git, &damaged);
    update().with(6, &["`tensorflow.git` does not give revision"]);
    replace(&damaged, &upstream.git);
    // A target that yields no wheel, one that yields two, one that yields another TensorFlow's.
    let targets = [
        ("none", 7, "to yield one wheel, found none"),
        ("two", 7, "to yield one wheel, found 2: "),
        ("foreign", 5, "found GIT_VERSION v0.0.0-0-g0123456789a"),
    ];
    for (target, code, found) in targets {
        let target = format!("//tensorflow/tools/pip_package:{target}");
        replace(TARGET, &target);
        update().with(0, &[]);
        xtask(&there, &upstream, &["build-tf"]).with(code, &[found]);
        replace(&target, TARGET);
    }
    update().with(0, &[]);
    // Too little room.
    replace("configs =", "disk-gb = 100000000\nconfigs =");
    update().with(0, &[]);
    xtask(&there, &upstream, &["build-tf"]).with(1, &["not enough room"]);
    replace("disk-gb = 100000000\n", "");
    update().with(0, &[]);
    vault_with_faults(&there, &upstream);
}

/// A build whose store lacks a file of the vault, then has other bytes in its place; `vault` makes
/// it good again.
pub fn of_a_store_with_faults(there: &Checkout, store: (&str, &str), vault: &str) {
    let lock = Lock::load(&there.root().join("workspace.lock")).unwrap();
    let externals = lock.source.unwrap().externals;
    let greeting = externals.iter().find(|e| e.from.contains("greeting")).unwrap();
    let name = greeting.sha256.to_string();
    let object = std::path::Path::new(store.1).join("objects").join(&name[..2]).join(&name[2..]);
    let build = || there.xtask_with(&[store], &["--offline", "build-tf"]);
    fs::remove_file(&object).unwrap();
    build().with(6, &["external index/greeting/greeting-1.0", "--offline is given"]);
    fs::write(&object, vec![b'x'; usize::try_from(greeting.size).unwrap()]).unwrap();
    build().with(5, &["external index/greeting/greeting-1.0", &name]);
    there.xtask_with(&[store], &["vault", "import", vault]).with(0, &[]);
}

/// A file of the vault that is damaged, one that is missing.
fn vault_with_faults(there: &Checkout, upstream: &Upstream) {
    let vault = there.root().join("vault");
    let folder = vault.to_str().unwrap();
    xtask(there, upstream, &["vault", "export", folder]).with(0, &["3 files that"]);
    let lock = Lock::load(&there.root().join("workspace.lock")).unwrap();
    let externals = lock.source.unwrap().externals;
    let greeting = externals.iter().find(|e| e.from.contains("greeting")).unwrap();
    let blob = vault.join("blobs/sha256").join(greeting.sha256.to_string());
    let empty = tempfile::tempdir().unwrap();
    let store = [("LOCKSTEP_STORE", empty.path().to_str().unwrap())];
    let import = || there.xtask_with(&store, &["vault", "import", folder]);
    fs::write(&blob, "other bytes").unwrap();
    import().with(5, &["greeting-1.0", "expected sha256", ", found "]);
    fs::remove_file(&blob).unwrap();
    import().with(6, &["has no external index/greeting/greeting-1.0"]);
    on_a_full_disk(there, folder);
    there
        .xtask_with(&store, &["--offline", "build-tf"])
        .with(6, &["not in the store, and --offline is given"]);
}

#[test]
fn another_bazel_than_the_sources_ask_for_is_refused() {
    let Some(upstream) = Upstream::with_bazel("0.0.1") else { return };
    let there = checkout(&upstream);
    xtask(&there, &upstream, &["update", "tensorflow"])
        .with(2, &["`bazel.version` is", "asks for 0.0.1 (its .bazelversion)"]);
}
