//! The digests: one row an artifact.

use serde::{Deserialize, Serialize};

use crate::abi::Facts;
use crate::digest::Sha256;

/// The digest of one thing that came out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Op package, or [`ALL`].
    pub package: String,
    /// File name; with [`CODE`] after it, the library's code and data alone.
    pub file: String,
    /// What it runs on: `linux/amd64`.
    pub platform: String,
    /// Of the file.
    pub sha256: Sha256,
}

/// The package of an artifact that carries every op: the ops wheel.
pub const ALL: &str = "*";

/// After a library's name: the row of its code and data alone. When the library's row moved
/// and this one did not, only bytes moved: names, notes, tables of the linker.
pub const CODE: &str = "#code";

impl Row {
    /// A row of one artifact.
    pub fn new(package: &str, file: &str, platform: &str, sha256: Sha256) -> Self {
        let [package, file, platform] = [package, file, platform].map(str::to_owned);
        Row { package, file, platform, sha256 }
    }

    /// The two rows of an op library.
    pub fn of_library(facts: &Facts, platform: &str) -> [Row; 2] {
        let Facts { package, file, .. } = facts;
        [
            Row::new(package, file, platform, facts.sha256),
            Row::new(package, &format!("{file}{CODE}"), platform, facts.code),
        ]
    }

    /// Whether it stands for a file of its own.
    pub fn is_artifact(&self) -> bool {
        !self.file.ends_with(CODE)
    }
}

/// The snapshot's text: `SHA256  PLATFORM  PACKAGE  FILE`, sorted by package and file.
///
/// The digest is first because it alone has a fixed width: no row moves for another's sake.
pub fn render(rows: &[Row]) -> String {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_unstable();
    let line =
        |row: &&Row| format!("{}  {}  {}  {}\n", row.sha256, row.platform, row.package, row.file);
    rows.iter().map(line).collect()
}

/// Reads the snapshot's text; the error names the line.
pub fn parse(text: &str) -> Result<Vec<Row>, String> {
    let row = |(number, line): (usize, &str)| {
        let fields: Vec<&str> = line.split("  ").collect();
        let [sha256, platform, package, file] = fields[..] else {
            return Err(format!("line {}: expected 4 columns, found {}", number + 1, fields.len()));
        };
        let sha256 = sha256.parse().map_err(|why| format!("line {}: {why}", number + 1))?;
        Ok(Row::new(package, file, platform, sha256))
    };
    text.lines().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_are_sorted_and_narrow() {
        let row = |package, file| Row::new(package, file, "linux/amd64", Sha256::of(b"x"));
        let text = render(&[row("b_ops", "libb_ops.so"), row(ALL, "ops-1-py3-none-any.whl")]);
        insta::assert_snapshot!(text, @"
        2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  linux/amd64  *  ops-1-py3-none-any.whl
        2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  linux/amd64  b_ops  libb_ops.so
        ");
    }

    #[test]
    fn a_bad_row_is_named() {
        assert_eq!(parse("a  b"), Err("line 1: expected 4 columns, found 2".into()));
        let digest = Sha256::of(b"");
        let text = format!("{digest}  p  a  b\nshort  p  a  c");
        let why = "line 2: expected 64 lower-case hex digits, found `short`";
        assert_eq!(parse(&text), Err(why.into()));
    }

    proptest! {
        #[test]
        fn rows_round_trip(names in prop::collection::btree_set(("[a-z_]{1,8}", "[a-z_.#-]{1,12}"), 0..8)) {
            let row = |(package, file): &(String, String)| {
                Row::new(package, file, "linux/amd64", Sha256::of(file.as_bytes()))
            };
            let rows: Vec<Row> = names.iter().map(row).collect();
            prop_assert_eq!(parse(&render(&rows)), Ok(rows));
        }

        #[test]
        fn no_text_breaks_the_reader(text in ".*") {
            drop(parse(&text));
        }
    }
}
