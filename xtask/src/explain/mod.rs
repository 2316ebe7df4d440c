//! `cargo xtask explain`: what a log says, in words: cause, layer, fix, and the command that
//! proves it. [`known`] is the table, [`scan`] finds its words in a stream.

mod known;
mod report;
mod scan;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::error::{IoContext as _, Result};

/// `cargo xtask explain`. Exit code 1 when nothing in it is known.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The log; otherwise standard input
    pub file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What is looked for first, of every message.
pub fn words() -> impl Iterator<Item = &'static str> {
    known::all().flat_map(|known| known.words.iter().map(|words| words[0]))
}

/// Where the fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// What a person wrote to build it.
    Build,
    /// The built `.so` of an op.
    Op,
    /// What is in the image, or which image it is.
    Image,
    /// Which tasks there are and what they are told.
    Cluster,
    /// The machine or its kernel.
    Machine,
    /// The training script.
    Script,
}

impl Layer {
    fn as_str(self) -> &'static str {
        match self {
            Layer::Build => "build",
            Layer::Op => "op library",
            Layer::Image => "image",
            Layer::Cluster => "cluster",
            Layer::Machine => "machine",
            Layer::Script => "training script",
        }
    }
}

/// One message that is known.
#[derive(Debug)]
struct Known {
    /// Stable: scripts know it.
    id: &'static str,
    /// Any of these; in each, all words on one line.
    words: &'static [&'static [&'static str]],
    layer: Layer,
    cause: &'static str,
    fix: &'static str,
    /// The command that proves it.
    proof: &'static str,
    /// Something else was first: it is told last.
    follows: bool,
}

/// Explains the log.
pub fn run(options: &Options) -> Result<ExitCode> {
    let name = options.file.as_deref().unwrap_or(Path::new("-"));
    let found = match name == Path::new("-") {
        true => scan::scan(std::io::stdin().lock()),
        false => scan::scan(File::open(name).at("open", name)?),
    }
    .at("read", name)?;
    match options.json {
        true => println!("{:#}", report::json(&found)),
        false => print!("{}", report::text(&found)),
    }
    Ok(if found.places.is_empty() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests;
