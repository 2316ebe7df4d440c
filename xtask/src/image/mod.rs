//! One image for every role: deterministic layers, written by Lockstep itself.
//!
//! [`source`] says what the layers are made of, [`layer`] makes of each a [`tar`] stream and
//! a [`gzip`] blob, [`oci`] writes the texts around them and [`layout`] puts all on disk;
//! [`identity`] is who the image is.

pub mod archive;
pub mod command;
pub mod dockerfile;
pub mod gzip;
pub mod identity;
pub mod layer;
pub mod layout;
pub mod oci;
pub mod run;
pub mod source;
pub mod stack;
pub mod tar;
