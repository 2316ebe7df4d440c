//! Provenance: an in-toto statement ("in-toto Attestation Framework", Statement v1) with
//! SLSA's predicate ("SLSA Provenance v1.0"). Its subjects are the ledger's artifacts, its
//! materials the lock's. Who built, where and when is not in it: it is the same everywhere.

use serde_json::{Value, json};

use crate::digest::Sha256;
use crate::ledger::Row;
use crate::lock::{Lock, RootKind, Source};

use super::identity::Identity;

/// Its name beside the image.
pub const FILE: &str = "provenance.intoto.json";

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://slsa.dev/provenance/v1";
/// What the parameters mean: those of `workspace.toml`.
const BUILD: &str = "https://lockstep.dev/build/v1";
const BUILDER: &str = concat!("https://lockstep.dev/xtask/v", env!("CARGO_PKG_VERSION"));

/// How `artifacts`, rows of the ledger, came to be.
pub fn statement(lock: &Lock, identity: &Identity<'_>, artifacts: &[Row]) -> Value {
    let subject = |row: &Row| {
        let name = format!("{}/{}", row.package, row.file);
        described(&name, &row.sha256)
    };
    let subjects: Vec<_> = artifacts.iter().filter(|row| row.is_artifact()).map(subject).collect();
    json!({
        "_type": STATEMENT,
        "subject": subjects,
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD,
                "externalParameters": { "pins": lock.pins, "platform": lock.platform },
                "internalParameters": {
                    "epoch": lock.epoch,
                    "workspaceId": identity.workspace.to_string(),
                },
                "resolvedDependencies": materials(lock, identity),
            },
            "runDetails": { "builder": { "id": BUILDER } },
        },
    })
}

/// All that went in: the lock, our sources, and what the lock names.
fn materials(lock: &Lock, identity: &Identity<'_>) -> Vec<Value> {
    let own =
        [described("workspace.lock", &lock.digest()), described("sources", &identity.sources)];
    let bazel = lock.bazel.binary.iter().map(|binary| {
        let mut material = described("bazel", &binary.sha256);
        material["uri"] = binary.url.clone().into();
        material
    });
    let base = lock.base.iter().map(|base| described(&base.name, &base.digest));
    let packages = lock.packages.iter().map(|package| {
        let mut material = described(&package.path, &package.sha256);
        let roots: Vec<_> = package.roots.iter().copied().map(RootKind::name).collect();
        material["annotations"] = json!({ "roots": roots, "version": package.version });
        material
    });
    let wheels = lock.wheels.iter().map(|wheel| described(&wheel.file, &wheel.sha256));
    let locked = own.into_iter().chain(bazel).chain(base).chain(packages).chain(wheels);
    locked.chain(lock.source.iter().flat_map(|source| built(lock, source))).collect()
}

/// What TensorFlow is built of, where it is built from source.
fn built(lock: &Lock, source: &Source) -> Vec<Value> {
    let (package, revision) = (&lock.tensorflow.package, &lock.tensorflow.revision);
    let tree = json!({
        "name": package,
        "uri": format!("git+{}@{revision}", source.git),
        "digest": { "gitCommit": revision },
    });
    let files = source.externals.iter().map(|file| described(&file.from, &file.sha256));
    std::iter::once(tree).chain(files).collect()
}

/// A resource descriptor ("ResourceDescriptor v1").
fn described(name: &str, sha256: &Sha256) -> Value {
    json!({ "name": name, "digest": { "sha256": sha256.to_string() } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::source::Sources;
    use crate::lock::External;

    #[test]
    fn subjects_are_the_ledgers_files_and_materials_the_locks() {
        let lock = Lock::example();
        let row = |file| Row::new("a", file, "linux/amd64", Sha256::of(b"a"));
        let (sources, rows) = (Sources::new(), [row("liba.so"), row("liba.so#code")]);
        let statement = statement(&lock, &Identity::of(&lock, &sources), &rows);
        let subjects = statement["subject"].as_array().unwrap();
        assert_eq!(subjects.len(), 1);
        assert_eq!(subjects[0]["name"], "a/liba.so");
        let definition = &statement["predicate"]["buildDefinition"];
        let materials = definition["resolvedDependencies"].as_array().unwrap();
        let binary = usize::from(lock.bazel.binary.is_some());
        assert_eq!(materials.len(), 2 + binary + lock.packages.len() + lock.wheels.len());
        assert_eq!(materials[0]["digest"]["sha256"], lock.digest().to_string());
    }

    #[test]
    fn what_tensorflow_is_built_of_is_among_the_materials() {
        let mut lock = Lock::example();
        let (sources, before) =
            (Sources::new(), materials(&lock, &Identity::of(&lock, &Sources::new())));
        lock.source = Some(Source {
            git: "https://mirror.example/tf.git".to_owned(),
            target: String::new(),
            configs: Vec::new(),
            repo_env: Vec::new(),
            disk_gb: None,
            vault: Sha256::of(b""),
            externals: vec![External {
                from: "a.zip".to_owned(),
                size: 1,
                sha256: Sha256::of(b"a"),
            }],
        });
        let after = materials(&lock, &Identity::of(&lock, &sources));
        insta::assert_snapshot!(json!(after[before.len()..]), @r#"[{"digest":{"gitCommit":"0123456789abcdef0123456789abcdef01234567"},"name":"tensorflow-cpu","uri":"git+https://mirror.example/tf.git@0123456789abcdef0123456789abcdef01234567"},{"digest":{"sha256":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"},"name":"a.zip"}]"#);
    }
}
