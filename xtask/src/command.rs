//! The one door to processes of the host.
//!
//! Short steps whose text is the documentation go through [`shell`] (xshell); long runs,
//! shown live and kept as a log, through [`logged`] (duct). What runs *inside a root* is
//! a [`crate::engine::Run`].
