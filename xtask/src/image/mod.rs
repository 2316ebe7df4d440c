//! One image for every role: deterministic layers, written by Lockstep itself.
//!
//! [`source`] says what the layers are made of, [`layer`] makes of each a [`tar`] stream and
//! a [`gzip`] blob with its [`diff`] id on all cores ([`press`]), or a [`zstd`] one; [`unpack`]
//! reads both back. [`stack`] joins them, [`oci`] writes the texts around them, [`layout`] puts
//! all on disk, [`archive`] and [`dockerfile`] say the same in other forms; [`identity`] is who
//! the image is, [`bom`] what is in it, [`provenance`] what it came from, [`slim`] what a small
//! one leaves out. [`smoke`] starts it before it has its name; [`push`] sends it to a registry,
//! and [`attach`] what is said about it. [`bundle`] is the same for machines without containers.

pub mod archive;
pub mod attach;
pub mod base;
pub mod bom;
pub mod bundle;
pub mod command;
pub mod diff;
pub mod dockerfile;
pub mod gzip;
pub mod identity;
pub mod layer;
pub mod layout;
pub mod oci;
pub mod press;
pub mod provenance;
pub mod push;
pub mod run;
pub mod sink;
pub mod slim;
pub mod smoke;
pub mod source;
pub mod stack;
pub mod tar;
pub mod tools;
pub mod unpack;
pub mod zstd;
