//! The stages that write.

/// What a victim does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Writes workspace.lock
    Lock,
    /// Brings a file of 1 MiB into the store
    Object,
    /// Assembles a root of three locked packages
    Tree,
    /// Writes dist/ and proposes a ledger
    Publish,
    /// Forgets the last build, writes dist/, records that it is finished
    Record,
    /// Writes dist/image
    Image,
}

impl Stage {
    /// All, in the order of the pipeline.
    pub const ALL: [Stage; 6] =
        [Stage::Lock, Stage::Object, Stage::Tree, Stage::Publish, Stage::Record, Stage::Image];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Lock => "lock",
            Stage::Object => "object",
            Stage::Tree => "tree",
            Stage::Publish => "publish",
            Stage::Record => "record",
            Stage::Image => "image",
        }
    }

    /// Whether old and new differ by one rename, so that nothing lies between them.
    pub fn is_one_step(self) -> bool {
        matches!(self, Stage::Lock | Stage::Object | Stage::Tree | Stage::Image)
    }

    /// Whether a run begins with nothing of it there: what is content-addressed has no old
    /// version.
    pub fn begins_empty(self) -> bool {
        matches!(self, Stage::Object | Stage::Tree)
    }
}
