//! Bazel, asked to compile ops: what is there, what must run, what came out.
//!
//! [`op`] finds op packages, [`source`] digests everything outputs are a function of,
//! [`stamp`] remembers it so that nothing runs when nothing changed, [`bazel`] plans the
//! run, [`event`] reads what Bazel did, [`failure`] explains it, [`wheel`] writes the ops
//! wheel, and [`run`] joins them.

pub mod bazel;
pub mod check;
pub mod compile;
pub mod event;
pub mod failure;
pub mod finished;
pub mod label;
pub mod material;
pub mod new_op;
pub mod op;
pub mod output;
pub mod run;
pub mod shell;
pub mod source;
pub mod stamp;
pub mod trial;
pub mod wheel;
