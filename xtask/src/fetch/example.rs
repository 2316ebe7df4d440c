//! A small lock and the bytes of its files, for tests.

use std::collections::BTreeMap;

use crate::digest::Sha256;
use crate::lock::{Bazel, Binary, Lock, OpsWheel, Package, RootKind, SCHEMA, TensorFlow, Wheel};

/// The bytes of an example file: longer than any buffer on the way.
pub fn bytes(name: &str) -> Vec<u8> {
    let size = match name {
        "tensorflow_cpu-2.0-py3-none-any.whl" => 900_000,
        "bazel-9.8.7" => 500_000,
        "gcc_12_amd64.deb" => 400_000,
        "numpy-1.0-py3-none-any.whl" => 1_000,
        _ => 10,
    };
    name.bytes().cycle().take(size).collect()
}

/// A lock of five files.
pub fn lock() -> Lock {
    let (builder, runtime) = (RootKind::Builder, RootKind::Runtime);
    let package = |name: &str, version: &str, file: &str, roots: &[RootKind]| Package {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: "amd64".to_owned(),
        path: format!("pool/main/{name}/{file}"),
        size: bytes(file).len() as u64,
        sha256: Sha256::of(&bytes(file)),
        roots: roots.iter().copied().collect(),
    };
    let wheel = |name: &str, version: &str, file: &str| Wheel {
        name: name.to_owned(),
        version: version.to_owned(),
        file: file.to_owned(),
        size: bytes(file).len() as u64,
        sha256: Sha256::of(&bytes(file)),
    };
    Lock {
        schema: SCHEMA,
        platform: "linux/amd64".to_owned(),
        epoch: 0,
        pins: BTreeMap::from([("debian.suite".to_owned(), "bookworm".to_owned())]),
        bazel: Bazel {
            modules: false,
            version: "9.8.7".to_owned(),
            answer: "bazel 9.8.7".to_owned(),
            binary: Some(Binary {
                url: "https://bazel.example/bazel-9.8.7".to_owned(),
                size: bytes("bazel-9.8.7").len() as u64,
                sha256: Sha256::of(&bytes("bazel-9.8.7")),
            }),
        },
        tensorflow: TensorFlow {
            lane: "wheel".to_owned(),
            package: "tensorflow-cpu".to_owned(),
            version: "2.0".to_owned(),
            revision: "0".repeat(40),
            git_version: "v2.0".to_owned(),
        },
        python: "3.0".to_owned(),
        ops: OpsWheel { name: "ops".to_owned(), version: "1".to_owned() },
        source: None,
        packages: vec![
            package("gcc", "12", "gcc_12_amd64.deb", &[builder]),
            package("libc6", "2.36", "libc6_2.36_amd64.deb", &[builder, runtime]),
        ],
        image: crate::lock::Image::default(),
        base: None,
        wheels: vec![
            wheel("numpy", "1.0", "numpy-1.0-py3-none-any.whl"),
            wheel("tensorflow-cpu", "2.0", "tensorflow_cpu-2.0-py3-none-any.whl"),
        ],
    }
}
