//! A committed insta snapshot, read and proposed as insta itself does it.
//!
//! Format: insta 1 (`insta::internals::Snapshot`): `---`, YAML metadata, `---`, the text. A
//! proposal is the same file with `.new` after its name.

use std::fmt;
use std::path::PathBuf;

use crate::atomic;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::workspace::Workspace;

/// Who asserts it, as insta spells it: the one test binary is built from `xtask/`.
pub const SOURCE: &str = "xtask/../tests/ledger.rs";

/// What stands above it, for people. Plain YAML: no quotes, no comma, no colon.
pub const DESCRIPTION: &str =
    "What came out of cargo xtask build-ops. A person accepts it with cargo xtask accept.";

/// The same above the image's digests.
const OF_THE_IMAGE: &str =
    "What came out of cargo xtask image. A person accepts it with cargo xtask accept.";

/// The parts of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A digest an artifact.
    Digests,
    /// What loaders and TensorFlow see of each op library.
    Surface,
    /// The image: its layers and its manifest.
    Image,
}

impl Part {
    /// Both of what `build-ops` makes.
    pub const ALL: [Part; 2] = [Part::Digests, Part::Surface];

    /// insta's name of the snapshot, without the platform.
    pub fn name(self) -> &'static str {
        match self {
            Part::Digests => "ledger__digests",
            Part::Surface => "ledger__surface",
            Part::Image => "image__digests",
        }
    }
}

/// One part for one platform: `ledger__digests@linux-amd64.snap`.
#[derive(Clone, Debug)]
pub struct Snapshot {
    part: Part,
    file: String,
    path: PathBuf,
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tests/snapshots/{}", self.file)
    }
}

impl Snapshot {
    /// The snapshot of `part` for `platform` (`linux/amd64`).
    pub fn of(workspace: &Workspace, part: Part, platform: &str) -> Self {
        let file = format!("{}@{}.snap", part.name(), suffix(platform));
        Snapshot { part, path: workspace.snapshots().join(&file), file }
    }

    /// Which part of the ledger it is.
    pub fn part(&self) -> Part {
        self.part
    }

    /// Where the committed snapshot is.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Where a proposal for it is.
    pub fn pending(&self) -> PathBuf {
        self.path.with_extension("snap.new")
    }

    /// The committed text; none when nothing was accepted yet.
    pub fn read(&self) -> Result<Option<String>> {
        self.read_at(&self.path)
    }

    /// The proposed text; none when nothing is proposed.
    pub fn read_pending(&self) -> Result<Option<String>> {
        self.read_at(&self.pending())
    }

    fn read_at(&self, path: &PathBuf) -> Result<Option<String>> {
        let file = match std::fs::read_to_string(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.at("read", path)?,
        };
        let named = |why: String| {
            let hint = "take one side's version (`git checkout --ours` or `--theirs`), then \
                        `cargo xtask build-ops` and `cargo xtask accept`";
            Error::new(Kind::Ledger, format!("{self}: {why}")).hint(hint)
        };
        contents(&file).map(|text| Some(text.to_owned())).map_err(named)
    }

    /// Writes `text` as a proposal beside the committed snapshot.
    pub fn propose(&self, text: &str) -> Result<()> {
        atomic::write(&self.pending(), with_header(self.part, text).as_bytes())
    }

    /// Takes a proposal back: what came out is what is committed.
    pub fn withdraw(&self) -> Result<()> {
        let path = self.pending();
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.at("remove", &path),
        }
    }

    /// Makes `text` the committed snapshot and removes the proposal.
    pub fn accept(&self, text: &str) -> Result<()> {
        atomic::write(&self.path, with_header(self.part, text).as_bytes())?;
        self.withdraw()
    }
}

/// A platform as insta's suffix: `linux-amd64`.
pub fn suffix(platform: &str) -> String {
    platform.replace('/', "-")
}

/// The file that insta writes for `text`.
fn with_header(part: Part, text: &str) -> String {
    let description = if part == Part::Image { OF_THE_IMAGE } else { DESCRIPTION };
    format!("---\nsource: {SOURCE}\ndescription: {description}\n---\n{}\n", text.trim_end())
}

/// The text in a snapshot file, with one newline at its end.
fn contents(file: &str) -> Result<String, String> {
    for (number, line) in file.lines().enumerate() {
        if ["<<<<<<< ", ">>>>>>> ", "||||||| "].iter().any(|mark| line.starts_with(mark)) {
            return Err(format!("line {}: a merge conflict is not resolved", number + 1));
        }
    }
    let body = file.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"));
    let (_, text) = body.ok_or("expected insta's header between two `---` lines")?;
    Ok(format!("{}\n", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(contents(&with_header(Part::Digests, "a\nb\n")).as_deref(), Ok("a\nb\n"));
    }

    #[test]
    fn conflicts_and_foreign_files_are_refused() {
        let conflict = "---\nsource: x\n---\na\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> other\n";
        let why = "line 5: a merge conflict is not resolved";
        assert_eq!(contents(conflict), Err(why.into()));
        assert!(contents("no header\n").is_err());
        assert!(contents("").is_err());
    }
}
