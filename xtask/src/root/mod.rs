//! Root file systems and trees, assembled from locked packages and wheels.
//!
//! Foreign formats are read by strict readers ([`deb`], [`tar`], [`zip`]) that refuse what two
//! readers could see differently; every name passes [`path`], every size [`budget`];
//! every byte is written by [`tree`], which follows no link; [`merged`] says who owns what.

pub mod assembly;
pub mod budget;
pub mod builder;
#[cfg(test)]
mod closure;
#[cfg(test)]
mod corpus;
pub mod deb;
pub mod debian;
pub mod fixups;
pub mod includes;
pub mod merged;
pub mod packages;
pub mod path;
pub mod runtime;
pub mod site;
pub mod tar;
pub mod tensorflow;
pub mod tree;
pub mod wheel;
pub mod work;
pub mod zip;

use crate::error::{Error, Kind};

/// What a failed read means: the operating system's errors are its own, all others come
/// from a decoder, so the archive is damaged.
fn read_fault(cause: std::io::Error) -> Error {
    match cause.raw_os_error() {
        Some(_) => Error::new(Kind::Io, format!("cannot read it: {cause}")),
        None => Error::new(Kind::Archive, format!("damaged: {cause}")),
    }
}
