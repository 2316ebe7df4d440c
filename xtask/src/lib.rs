//! Lockstep: one `workspace.toml` in, the same bits out, on every machine.
//!
//! Read the modules in the order of the pipeline; data flows one way:
//!
//! ```text
//! pins ─▶ lock ─▶ fetch ─▶ store ─▶ root ─▶ engine ─▶ build ─▶ abi ─▶ ledger ─▶ image ─▶ verify ─▶ cluster
//! ```
//!
//! A stage imports only stages before it and the shared ones
//! ([`error`], [`digest`], [`atomic`], [`base64`], [`date`], [`nearest`], [`pieces`],
//! [`temporary`], [`command`], [`interrupt`], [`progress`], [`workspace`], [`mod@reference`]);
//! `store`, which `fetch` fills, stands before it. The gate and the ledger judge files and do not
//! care who made them; `build`, which asks them for their judgement, stands after them in this
//! file. Last come the commands that go round the pipeline.

pub mod atomic;
pub mod base64;
pub mod command;
pub mod date;
pub mod digest;
pub mod error;
pub mod interrupt;
pub mod nearest;
pub mod pieces;
pub mod progress;
pub mod reference;
pub mod temporary;
pub mod workspace;

pub mod pins;

pub mod lock;

pub mod store;

pub mod fetch;

pub mod root;

pub mod engine;

pub mod abi;

pub mod cause;

pub mod source;

pub mod ledger;

pub mod build;

pub mod image;

pub mod verify;

pub mod cluster;

pub mod explain;

pub mod doctor;

pub mod bench;

pub mod check;

pub mod update;

pub mod ci;

pub mod faults;

pub mod cli;
