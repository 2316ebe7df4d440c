//! Every message that is known, a file for where it comes from. Of two that fit a line the earlier is meant.

mod build;
mod cluster;
mod image;
mod machine;
mod op;

use super::Known;

/// A table of messages: `id: layer; words; cause; fix; proof`, `follows` last when something
/// else was first.
macro_rules! known {
    ($($id:literal: $layer:ident; $([$($word:literal),+]),+; $cause:literal; $fix:literal; $proof:literal $(; $follows:ident)?;)*) => {
        pub(super) const KNOWN: &[crate::explain::Known] = &[$(crate::explain::Known {
            id: $id,
            words: &[$(&[$($word),+]),+],
            layer: crate::explain::Layer::$layer,
            cause: $cause,
            fix: $fix,
            proof: $proof,
            follows: false $(|| stringify!($follows).len() > 0)?,
        }),*];
    };
}
use known;

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Known> {
    [image::KNOWN, op::KNOWN, cluster::KNOWN, build::KNOWN, machine::KNOWN].into_iter().flatten()
}
