//! The ledger: what is committed, what is proposed, what a person reads when they differ.

use std::fs;
use std::path::Path;
use std::process::Command;

use xtask::abi::{Facts, Surface};
use xtask::digest::Sha256;
use xtask::error::Kind;
use xtask::ledger::snapshot::{DESCRIPTION, Part, Snapshot, suffix};
use xtask::ledger::{Ledger, Proposals, Row, accept, digests};
use xtask::workspace::Workspace;

/// The checkout that these tests were compiled in.
fn checkout() -> Workspace {
    Workspace::at(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
}

/// What `build-ops` last left in `dist/`, asserted by insta itself.
#[test]
fn dist_is_what_was_accepted() {
    let workspace = checkout();
    let path = Ledger::file(&workspace);
    let Ok(text) = fs::read_to_string(&path) else {
        println!("skipped: no {}, run `cargo xtask build-ops`", path.display());
        return;
    };
    let ledger: Ledger = serde_json::from_str(&text).unwrap();
    assert_by_insta(&ledger, "snapshots".as_ref());
}

fn assert_by_insta(ledger: &Ledger, folder: &Path) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path(folder);
    settings.set_snapshot_suffix(suffix(&ledger.platform));
    settings.set_omit_expression(true);
    settings.set_description(DESCRIPTION);
    let texts = ledger.texts();
    settings.bind(|| {
        insta::assert_snapshot!(Part::Digests.name(), texts.digests);
        insta::assert_snapshot!(Part::Surface.name(), texts.surface);
    });
}

const FOLDER: &str = "LOCKSTEP_TEST_INSTA_FOLDER";

/// Not a test of its own: what [`insta_writes_the_same_bytes`] runs again with insta told
/// to write into another folder.
#[test]
fn insta_writes_where_it_is_told() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        assert_by_insta(&two_ops(), Path::new(&folder));
    }
}

#[test]
fn insta_writes_the_same_bytes() {
    let (_keep, workspace) = workspace();
    two_ops().check(&workspace, Proposals::Write).unwrap_err();
    accept::accept(&workspace, Proposals::Write).unwrap();
    let theirs = tempfile::tempdir().unwrap();
    #[expect(clippy::disallowed_methods, reason = "this very test, with another environment")]
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "ledger::insta_writes_where_it_is_told"])
        .env(FOLDER, theirs.path())
        .env("INSTA_UPDATE", "always")
        .output()
        .unwrap();
    assert!(status.status.success(), "{status:?}");
    for part in Part::ALL {
        let ours = Snapshot::of(&workspace, part, "linux/amd64").path().clone();
        let theirs = theirs.path().join(ours.file_name().unwrap());
        assert_eq!(fs::read_to_string(ours).unwrap(), fs::read_to_string(theirs).unwrap());
    }
}

fn workspace() -> (tempfile::TempDir, Workspace) {
    let root = tempfile::tempdir().unwrap();
    let workspace = Workspace::at(root.path());
    (root, workspace)
}

fn surface(package: &str, contents: &str, ops: &[&str]) -> Surface {
    Surface {
        facts: Facts {
            package: package.to_owned(),
            file: format!("lib{package}.so"),
            sha256: Sha256::of(contents.as_bytes()),
            code: Sha256::of(contents.trim_end().as_bytes()),
            needed: vec!["libtensorflow_framework.so.2".to_owned(), "libc.so.6".to_owned()],
            runpath: "$ORIGIN/../tensorflow".to_owned(),
            floors: [("GLIBC", "2.14"), ("GLIBCXX", "3.4.21")]
                .map(|(family, version)| (family.to_owned(), version.to_owned()))
                .into(),
            absl_lts: Some("lts_20250814".to_owned()),
            isa: "x86-64".to_owned(),
            compilers: vec!["GCC: (Debian 9.1.0-14) 9.1.0".to_owned()],
        },
        ops: ops.iter().map(ToString::to_string).collect(),
        kernels: vec!["Mix on CPU; T in {float}".to_owned()],
    }
}

fn ledger(surfaces: Vec<Surface>, wheel: &str) -> Ledger {
    let platform = "linux/amd64".to_owned();
    let mut rows: Vec<Row> =
        surfaces.iter().flat_map(|surface| Row::of_library(&surface.facts, &platform)).collect();
    let digest = Sha256::of(wheel.as_bytes());
    rows.push(Row::new(digests::ALL, "ops-1-py3-none-any.whl", &platform, digest));
    Ledger { platform, rows, surfaces }
}

fn two_ops() -> Ledger {
    let image = surface("image_ops", "image", &["DecodeQoi(contents: string) -> (image: uint8)"]);
    let mix = surface("mix_ops", "mix", &["Mix(a: T) -> (b: T); T: {float} = float"]);
    ledger(vec![mix, image], "wheel")
}

/// A workspace whose committed ledger is that of [`two_ops`].
fn accepted() -> (tempfile::TempDir, Workspace) {
    let (keep, workspace) = workspace();
    two_ops().check(&workspace, Proposals::Write).unwrap_err();
    accept::accept(&workspace, Proposals::Write).unwrap();
    (keep, workspace)
}

fn files(workspace: &Workspace) -> Vec<String> {
    let entries = fs::read_dir(workspace.snapshots()).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

const COMMITTED: [&str; 2] =
    ["ledger__digests@linux-amd64.snap", "ledger__surface@linux-amd64.snap"];

#[test]
fn the_first_ledger_is_proposed_then_accepted_then_reproduced() {
    let (_keep, workspace) = workspace();
    let error = two_ops().check(&workspace, Proposals::Write).unwrap_err();
    assert_eq!(error.kind(), Kind::Ledger);
    insta::assert_snapshot!(error, @"
    error: no ledger for linux/amd64 is committed
    hint: if that is what you meant, `cargo xtask accept`, and commit tests/snapshots
    ");
    assert_eq!(files(&workspace), COMMITTED.map(|name| format!("{name}.new")));
    let shown = accept::accept(&workspace, Proposals::Write).unwrap();
    insta::assert_snapshot!(shown, @"
    accepted for linux/amd64
    ops-1-py3-none-any.whl: new
    image_ops: libimage_ops.so: new
    mix_ops: libmix_ops.so: new
    ");
    assert_eq!(files(&workspace), COMMITTED);
    let report = two_ops().check(&workspace, Proposals::Write).unwrap();
    assert_eq!(report.to_string(), "reproduced: 3 artifacts");
    assert_eq!(files(&workspace), COMMITTED);
}

#[test]
fn the_surface_reads_like_op_definitions() {
    insta::assert_snapshot!(two_ops().texts().surface, @"
    image_ops/libimage_ops.so
      op DecodeQoi(contents: string) -> (image: uint8)
      kernel Mix on CPU; T in {float}
      needed libtensorflow_framework.so.2
      needed libc.so.6
      runpath $ORIGIN/../tensorflow
      floor GLIBC_2.14
      floor GLIBCXX_3.4.21
      absl lts_20250814
      isa x86-64
      compiler GCC: (Debian 9.1.0-14) 9.1.0
      undefined none

    mix_ops/libmix_ops.so
      op Mix(a: T) -> (b: T); T: {float} = float
      kernel Mix on CPU; T in {float}
      needed libtensorflow_framework.so.2
      needed libc.so.6
      runpath $ORIGIN/../tensorflow
      floor GLIBC_2.14
      floor GLIBCXX_3.4.21
      absl lts_20250814
      isa x86-64
      compiler GCC: (Debian 9.1.0-14) 9.1.0
      undefined none
    ");
}

#[test]
fn a_reviewer_reads_what_sort_of_change_it_is() {
    let (_keep, workspace) = accepted();
    let image =
        surface("image_ops", "image \n", &["DecodeQoi(contents: string) -> (image: uint8)"]);
    let mix = surface("mix_ops", "other code", &["Mix(a: T) -> (b: T); T: {float} = float"]);
    let error =
        ledger(vec![image, mix], "wheel 2").check(&workspace, Proposals::Write).unwrap_err();
    insta::assert_snapshot!(error, @"
    error: not reproduced: 3 of 3 artifacts differ from the committed ledger for linux/amd64
    ops-1-py3-none-any.whl: other contents
      expected: sha256 ba59926159d2aa256eb8739b8da7e2b574b960e1202c6d624cbe981cef996c91
      found: sha256 92fadf057f1226e1e315b9cb4768f13b8bc9bf9ef792c90f03e8e8be0f173acb
    image_ops: libimage_ops.so: only bytes moved: same code, same surface
    mix_ops: libmix_ops.so: the code changed, the surface is as it was
    hint: if that is what you meant, `cargo xtask accept`, and commit tests/snapshots
    ");
    // The surface is as it was: nothing is proposed for it.
    let new = format!("{}.new", COMMITTED[0]);
    assert_eq!(files(&workspace), [COMMITTED[0], &*new, COMMITTED[1]]);
}

#[test]
fn a_changed_signature_is_shown_line_by_line() {
    let (_keep, workspace) = accepted();
    let mix = surface(
        "mix_ops",
        "mix 2",
        &["Mix(a: T, n: int32) -> (b: T); T: {float} = float", "New() -> ()"],
    );
    let added = surface("added_ops", "added", &["Added() -> ()"]);
    let error = ledger(vec![mix, added], "wheel").check(&workspace, Proposals::Never).unwrap_err();
    insta::assert_snapshot!(error, @"
    error: not reproduced: 3 of 3 artifacts differ from the committed ledger for linux/amd64
    added_ops: libadded_ops.so: new
    image_ops: libimage_ops.so: no longer there
    mix_ops: libmix_ops.so: op Mix changed its signature, op New is new
      - op Mix(a: T) -> (b: T); T: {float} = float
      + op Mix(a: T, n: int32) -> (b: T); T: {float} = float
      + op New() -> ()
    hint: run `cargo xtask build-ops` and `cargo xtask accept` on your machine, and commit tests/snapshots
    ");
    assert_eq!(files(&workspace), COMMITTED, "CI writes nothing");
}

#[test]
fn ci_neither_accepts_nor_overlooks_a_proposal() {
    let (_keep, workspace) = accepted();
    let snapshot = Snapshot::of(&workspace, Part::Digests, "linux/amd64");
    snapshot.propose("x").unwrap();
    insta::assert_snapshot!(accept::accept(&workspace, Proposals::Never).unwrap_err(), @"
    error: CI does not write the ledger: a person accepts it
    hint: run `cargo xtask accept` on your machine and commit tests/snapshots
    ");
    insta::assert_snapshot!(two_ops().check(&workspace, Proposals::Never).unwrap_err(), @"
    error: tests/snapshots/ledger__digests@linux-amd64.snap.new is a proposal that nobody accepted
    hint: run `cargo xtask accept` on your machine, or remove it, and commit tests/snapshots
    ");
    let env = |value: Option<&'static str>| Proposals::from_env(|_| value.map(Into::into));
    assert_eq!(env(Some("true")), Proposals::Never);
    assert_eq!([env(None), env(Some("")), env(Some("false"))], [Proposals::Write; 3]);
}

#[test]
fn a_proposal_that_is_no_ledger_is_not_accepted() {
    let (_keep, workspace) = accepted();
    let before = Snapshot::of(&workspace, Part::Digests, "linux/amd64");
    before.propose("sha  p  a  b").unwrap();
    insta::assert_snapshot!(accept::accept(&workspace, Proposals::Write).unwrap_err(), @"
    error: tests/snapshots/ledger__digests@linux-amd64.snap.new is no ledger: line 1: expected 64 lower-case hex digits, found `sha`
    hint: remove tests/snapshots/ledger__digests@linux-amd64.snap.new and run `cargo xtask build-ops`
    ");
    before.withdraw().unwrap();
    two_ops().check(&workspace, Proposals::Never).unwrap();
    insta::assert_snapshot!(accept::accept(&workspace, Proposals::Write).unwrap_err(), @"
    error: nothing to accept: no proposal in tests/snapshots
    hint: run `cargo xtask build-ops` or `cargo xtask image`: each proposes what differs
    ");
}

#[test]
fn a_conflict_is_named_and_accepting_resolves_it() {
    let (_keep, workspace) = accepted();
    let snapshot = Snapshot::of(&workspace, Part::Digests, "linux/amd64");
    let text = fs::read_to_string(snapshot.path()).unwrap();
    let conflict = text.replacen("\n---\n", "\n---\n<<<<<<< HEAD\n", 1) + "=======\n>>>>>>> b\n";
    fs::write(snapshot.path(), conflict).unwrap();
    insta::assert_snapshot!(two_ops().check(&workspace, Proposals::Write).unwrap_err(), @"
    error: tests/snapshots/ledger__digests@linux-amd64.snap: line 5: a merge conflict is not resolved
    hint: take one side's version (`git checkout --ours` or `--theirs`), then `cargo xtask build-ops` and `cargo xtask accept`
    ");
}

#[test]
fn a_ledger_of_another_platform_is_no_ledger_of_this_one() {
    let (_keep, workspace) = accepted();
    let mut arm = two_ops();
    arm.platform = "linux/arm64".to_owned();
    insta::assert_snapshot!(arm.check(&workspace, Proposals::Never).unwrap_err(), @"
    error: no ledger for linux/arm64 is committed; there is one for linux/amd64
    hint: run `cargo xtask build-ops` and `cargo xtask accept` on your machine, and commit tests/snapshots
    ");
    // Renamed by hand: the rows say what they are of.
    for part in Part::ALL {
        let amd = Snapshot::of(&workspace, part, "linux/amd64");
        let arm = Snapshot::of(&workspace, part, "linux/arm64");
        fs::rename(amd.path(), arm.path()).unwrap();
    }
    arm.rows.iter_mut().for_each(|row| row.platform = "linux/arm64".to_owned());
    insta::assert_snapshot!(arm.check(&workspace, Proposals::Never).unwrap_err(), @"
    error: the committed ledger for linux/arm64 is no ledger: the row of ops-1-py3-none-any.whl is for linux/amd64, expected linux/arm64
    hint: run `cargo xtask build-ops` and `cargo xtask accept` on your machine, and commit tests/snapshots
    ");
}
