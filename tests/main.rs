//! The one integration binary.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic; clippy.toml covers only #[test] functions"
)]

mod abi;
mod bazel;
mod build;
mod bundle;
mod check;
mod cluster;
mod cluster_breaks;
mod cluster_docker;
mod cluster_smoke;
mod dependencies;
mod engine;
mod engines;
mod faults;
mod frozen;
mod image;
mod image_smoke;
mod ledger;
mod load;
mod machine;
mod materials;
mod registry;
mod shell;
mod slim;
mod source;
mod surroundings;
mod tidy;
mod zstd;
