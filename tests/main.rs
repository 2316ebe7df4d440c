//! The one integration binary.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic; clippy.toml covers only #[test] functions"
)]

mod abi;
mod bazel;
mod build;
mod engine;
mod faults;
mod frozen;
mod image;
mod ledger;
mod shell;
mod tidy;
