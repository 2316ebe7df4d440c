//! The image in the ledger: a row a layer, by its diff id, and one for the manifest, by the
//! digest that names the image.

use super::compare::{Texts, compare};
use super::snapshot::{Part, Snapshot};
use super::{Proposals, Report, Row, digests, not_pending};
use crate::error::{Error, Kind, Result};
use crate::workspace::Workspace;

/// Compares `rows` with the committed image, as [`super::Ledger::check`] does.
pub fn check(
    rows: &[Row],
    workspace: &Workspace,
    platform: &str,
    proposals: Proposals,
) -> Result<Report> {
    let snapshot = Snapshot::of(workspace, Part::Image, platform);
    if proposals == Proposals::Never {
        not_pending(&snapshot)?;
    }
    let found = digests::render(rows);
    let committed = snapshot.read()?;
    if committed.as_ref() == Some(&found) {
        snapshot.withdraw()?;
        return Ok(Report { artifacts: rows.len() });
    }
    if proposals == Proposals::Write {
        snapshot.propose(&found)?;
    }
    let message = match committed {
        None => format!("no image for {platform} is in the committed ledger"),
        Some(committed) => differs(&committed, &found, platform),
    };
    Err(Error::new(Kind::Ledger, message).hint(match proposals {
        Proposals::Write => "if that is what you meant, `cargo xtask accept`, and commit tests/snapshots",
        Proposals::Never => "run `cargo xtask image` and `cargo xtask accept` on your machine, and commit tests/snapshots",
    }))
}

fn differs(committed: &str, found: &str, platform: &str) -> String {
    let differences = match compare(&Texts::of_image(committed), &Texts::of_image(found)) {
        Ok(differences) => differences,
        Err(why) => return format!("the committed image for {platform} is no ledger: {why}"),
    };
    let head =
        format!("not reproduced: the image differs from the committed ledger for {platform}");
    differences.iter().fold(head, |message, difference| format!("{message}\n{difference}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;

    fn rows(ops: &[u8]) -> Vec<Row> {
        let row = |file, bytes| Row::new("image", file, "linux/amd64", Sha256::of(bytes));
        vec![row("layer base", b"base"), row("layer ops", ops), row("manifest", ops)]
    }

    #[test]
    fn what_came_out_is_proposed_accepted_and_then_reproduced() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::at(folder.path());
        let check = |bytes| check(&rows(bytes), &workspace, "linux/amd64", Proposals::Write);
        insta::assert_snapshot!(check(b"1").unwrap_err(), @"
        error: no image for linux/amd64 is in the committed ledger
        hint: if that is what you meant, `cargo xtask accept`, and commit tests/snapshots
        ");
        insta::assert_snapshot!(super::super::accept::accept(&workspace, Proposals::Write).unwrap(), @"
        accepted for linux/amd64
        image: layer base: new
        image: layer ops: new
        image: manifest: new
        ");
        assert_eq!(check(b"1").unwrap(), Report { artifacts: 3 });
        insta::assert_snapshot!(check(b"2").unwrap_err(), @"
        error: not reproduced: the image differs from the committed ledger for linux/amd64
        image: layer ops: other contents
          expected: sha256 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b
          found: sha256 d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35
        image: manifest: other contents
          expected: sha256 6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b
          found: sha256 d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35
        hint: if that is what you meant, `cargo xtask accept`, and commit tests/snapshots
        ");
        assert_eq!(check(b"1").unwrap(), Report { artifacts: 3 }, "the proposal is withdrawn");
    }
}
