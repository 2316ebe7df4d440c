//! What a person may choose.

use std::path::PathBuf;

use crate::engine::{self, Engine};

/// What a person may choose.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Options {
    /// What differs from build to build: `all`, `none`, names with commas, `-NAME` for all but
    /// it; `list` prints them
    #[arg(long, default_value = "all", value_name = "LIST", allow_hyphen_values = true)]
    pub vary: String,
    /// Builds on the first engine; each further engine makes one. With 0, dist/ledger.json is
    /// compared with the others
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub builds: u32,
    /// Where builds run, separated by commas; one that is not to be had is skipped by name
    #[arg(
        long,
        env = engine::VARIABLE,
        value_enum,
        value_delimiter = ',',
        default_value = "native",
        value_name = "ENGINE"
    )]
    pub engine: Vec<Engine>,
    /// Ledgers of other machines to agree with: files or addresses of their dist/ledger.json
    #[arg(long, num_args = 1.., value_name = "LEDGER")]
    pub against: Vec<String>,
    /// Also write the image of each build's ops (from this store's layers) and compare them
    #[arg(long)]
    pub image: bool,
    /// Do not look for the guilty variation when builds differ
    #[arg(long)]
    pub no_bisect: bool,
    /// Folder on another file system, for the output of varied builds (default: /dev/shm)
    #[arg(long, value_name = "DIR")]
    pub elsewhere: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Write JUnit's XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the dated page about what was tried
    #[arg(long, value_name = "FILE")]
    pub publish: Option<PathBuf>,
}

/// Below the options of `--help`.
const AFTER_HELP: &str = "\
Exit codes:
  0   all builds, the committed ledger and all others that were asked agree
  9   the builds agree, a ledger does not
  11  the builds differ from each other
  3   no engine of those named is to be had; others: as everywhere (README.md)

With GITHUB_ACTIONS=true, what is wrong is also told as annotations with file and line.";
