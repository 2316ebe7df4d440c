//! `cargo xtask cluster verify`: do the tasks that run have the one image? [`member`] reads
//! what an engine or Kubernetes says of them, [`compare`] judges.

pub mod command;
mod compare;
mod member;

#[cfg(test)]
mod tests;
