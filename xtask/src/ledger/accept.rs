//! `cargo xtask accept`: a person takes what came out as the committed ledger.

use super::compare::{Texts, compare};
use super::snapshot::{Part, Snapshot};
use super::{Proposals, digests, surface};
use crate::error::{Error, Kind, Result};
use crate::workspace::Workspace;

/// The platforms that have a snapshot or a proposal.
pub fn platforms(workspace: &Workspace) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(workspace.snapshots()) else { return Vec::new() };
    let platform = |name: &str| {
        let (part, rest) = name.split_once('@')?;
        let known = Part::ALL.iter().chain(&[Part::Image]).any(|known| known.name() == part);
        let rest = rest.strip_suffix(".new").unwrap_or(rest).strip_suffix(".snap")?;
        known.then(|| rest.replace('-', "/"))
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut found: Vec<String> = names.filter_map(|name| platform(&name)).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Accepts every proposal; returns what that changes, to be shown.
pub fn accept(workspace: &Workspace, proposals: Proposals) -> Result<String> {
    if proposals == Proposals::Never {
        return Err(Error::new(Kind::Ledger, "CI does not write the ledger: a person accepts it")
            .hint("run `cargo xtask accept` on your machine and commit tests/snapshots"));
    }
    let mut shown = String::new();
    for platform in platforms(workspace) {
        let snapshots = Part::ALL.map(|part| Snapshot::of(workspace, part, &platform));
        let built = accept_platform(&snapshots)?;
        let image = accept_image(&Snapshot::of(workspace, Part::Image, &platform))?;
        for change in [built, image].into_iter().flatten() {
            shown += &format!("accepted for {platform}\n{change}");
        }
    }
    if shown.is_empty() {
        return Err(Error::new(Kind::Ledger, "nothing to accept: no proposal in tests/snapshots")
            .hint(
                "run `cargo xtask build-ops` or `cargo xtask image`: each proposes what differs",
            ));
    }
    Ok(shown)
}

/// Accepts the proposals of one platform; none when there are none.
fn accept_platform(snapshots: &[Snapshot; 2]) -> Result<Option<String>> {
    let pending = [snapshots[0].read_pending()?, snapshots[1].read_pending()?];
    if pending.iter().all(Option::is_none) {
        return Ok(None);
    }
    check(snapshots, &pending)?;
    // A committed snapshot that cannot be read is no reason to keep it.
    let old =
        snapshots.each_ref().map(|snapshot| snapshot.read().ok().flatten().unwrap_or_default());
    let mut shown = String::new();
    let texts = |digests: &Option<String>, surface: &Option<String>| Texts {
        digests: digests.clone().unwrap_or_else(|| old[0].clone()),
        surface: surface.clone().unwrap_or_else(|| old[1].clone()),
    };
    let differences = compare(&texts(&None, &None), &texts(&pending[0], &pending[1]));
    for difference in differences.unwrap_or_default() {
        shown += &format!("{difference}\n");
    }
    // Killed in between, one proposal is left, and accepting goes on.
    for (snapshot, text) in snapshots.iter().zip(&pending) {
        text.as_ref().map_or(Ok(()), |text| snapshot.accept(text))?;
    }
    Ok(Some(shown))
}

/// Accepts the proposed image; none when there is none.
fn accept_image(snapshot: &Snapshot) -> Result<Option<String>> {
    let Some(text) = snapshot.read_pending()? else { return Ok(None) };
    check_text(snapshot, &text)?;
    let old = snapshot.read().ok().flatten().unwrap_or_default();
    let differences = compare(&Texts::of_image(&old), &Texts::of_image(&text));
    snapshot.accept(&text)?;
    Ok(Some(differences.unwrap_or_default().iter().map(|line| format!("{line}\n")).collect()))
}

/// A proposal that is no ledger is not accepted.
fn check(snapshots: &[Snapshot; 2], pending: &[Option<String>; 2]) -> Result<()> {
    let proposed = snapshots.iter().zip(pending);
    proposed
        .filter_map(|(snapshot, text)| Some((snapshot, text.as_ref()?)))
        .try_for_each(|(snapshot, text)| check_text(snapshot, text))
}

fn check_text(snapshot: &Snapshot, text: &str) -> Result<()> {
    let (wrong, command) = match snapshot.part() {
        Part::Digests => (digests::parse(text).err(), "build-ops"),
        Part::Surface => (surface::parse(text).err(), "build-ops"),
        Part::Image => (digests::parse(text).err(), "image"),
    };
    wrong.map_or(Ok(()), |why| {
        Err(Error::new(Kind::Ledger, format!("{snapshot}.new is no ledger: {why}"))
            .hint(format!("remove {snapshot}.new and run `cargo xtask {command}`")))
    })
}
