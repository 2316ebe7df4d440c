//! One image for every role: deterministic layers, written by Lockstep itself.
//!
//! [`source`] says what the layers are made of, [`layer`] makes of each a [`tar`] stream and
//! a [`gzip`] blob, [`stack`] joins them, [`oci`] writes the texts around them, [`layout`]
//! puts all on disk, [`archive`] and [`dockerfile`] say the same in other forms; [`identity`]
//! is who the image is. [`smoke`] starts it before it has its name.

pub mod archive;
pub mod command;
pub mod dockerfile;
pub mod gzip;
pub mod identity;
pub mod layer;
pub mod layout;
pub mod oci;
pub mod run;
pub mod smoke;
pub mod source;
pub mod stack;
pub mod tar;
