//! Rules of the crates that `cargo xtask` is built from: what cargo-deny's `bans`, `licenses` and
//! `sources` say, from `cargo metadata` alone.

use std::collections::BTreeMap;

use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::tidy::{root, texts};

/// Everything that is linked or run when this platform's `xtask` is built.
fn metadata() -> Metadata {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .other_options(["--locked", "--filter-platform", &platform].map(str::to_owned))
        .exec()
        .unwrap()
}

/// The crates of others.
fn others(metadata: &Metadata) -> Vec<&Package> {
    let resolved = metadata.resolve.as_ref().unwrap().nodes.iter().map(|node| &metadata[&node.id]);
    let others = resolved.filter(|package| !metadata.workspace_members.contains(&package.id));
    let others: Vec<_> = others.collect();
    assert!(others.len() > 20, "cargo metadata says too little");
    others
}

#[test]
fn every_crate_comes_from_the_registry_that_the_lock_pins_by_digest() {
    let metadata = metadata();
    for package in others(&metadata) {
        let source = package.source.as_ref();
        assert!(source.is_some_and(cargo_metadata::Source::is_crates_io), "{}", package.id);
    }
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let packages = lock.split("[[package]]").skip(1);
    for package in packages.filter(|package| package.contains("\nsource = ")) {
        assert!(package.contains("\nchecksum = \""), "{package}");
    }
}

#[test]
fn every_crate_may_be_given_on_under_a_permissive_licence() {
    const ALLOWED: [&str; 9] = [
        "0BSD",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-3-Clause",
        "CDLA-Permissive-2.0",
        "ISC",
        "MIT",
        "Unicode-3.0",
        "Zlib",
    ];
    let metadata = metadata();
    for package in others(&metadata) {
        let licence = package.license.as_deref().unwrap_or_default().replace('/', " OR ");
        // Each part of an AND, and one of an OR.
        let all = licence.split(" AND ").all(|part| {
            let any = part.split(" OR ").map(|one| one.trim_matches(['(', ')', ' ']));
            any.into_iter().any(|one| ALLOWED.contains(&one))
        });
        assert!(all, "{} {}: licence `{licence}`", package.name, package.version);
    }
}

#[test]
fn no_crate_is_linked_in_two_major_versions() {
    let metadata = metadata();
    let mut versions = BTreeMap::<&str, Vec<String>>::new();
    for package in others(&metadata) {
        versions.entry(package.name.as_str()).or_default().push(package.version.to_string());
    }
    versions.retain(|_, versions| versions.len() > 1);
    /// What others have not agreed upon yet.
    const KNOWN: [&str; 1] = ["getrandom"];
    versions.retain(|name, _| !KNOWN.contains(name));
    assert!(versions.is_empty(), "{versions:?}");
}

#[test]
fn every_dependency_is_used_and_says_why() {
    let manifest = std::fs::read_to_string(root().join("xtask/Cargo.toml")).unwrap();
    let (_, dependencies) = manifest.split_once("[dependencies]").unwrap();
    let sources: String = texts()
        .into_iter()
        .filter(|(name, _)| name.ends_with(".rs"))
        .map(|(_, text)| text)
        .collect();
    for line in dependencies.lines().filter(|line| line.contains(" = ")) {
        let name = line.split(' ').next().unwrap();
        assert!(line.contains(" # "), "{name} has no reason");
        let path = name.replace('-', "_");
        let used = [format!("{path}::"), format!("use {path};"), format!("use {path} as")];
        assert!(used.iter().any(|use_| sources.contains(use_)), "{name} is not used");
    }
}
