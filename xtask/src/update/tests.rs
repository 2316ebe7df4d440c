//! apt against a small archive of our own (`tests/fixtures/debian`), served from a folder.

use std::path::{Path, PathBuf};

use super::apt::Apt;
use super::archive::Archive;
use super::*;

/// A folder that apt takes for an archive, with this file as its `InRelease`.
struct Served {
    folder: tempfile::TempDir,
    archive: Archive,
}

fn served(in_release: &str) -> Served {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/debian");
    let folder = tempfile::tempdir().unwrap();
    let suite = folder.path().join("dists/stable");
    std::fs::create_dir_all(suite.join("main/binary-amd64")).unwrap();
    let copy = |from: PathBuf, to: &str| std::fs::copy(from, suite.join(to)).unwrap();
    copy(fixture.join("Packages"), "main/binary-amd64/Packages");
    copy(fixture.join(in_release), "InRelease");
    let archive = Archive {
        mirror: format!("file://{}", folder.path().display()),
        suite: "stable".to_owned(),
        keyring: fixture.join("keyring.gpg").canonicalize().unwrap(),
    };
    Served { folder, archive }
}

/// Whether apt is here; otherwise says that the test is skipped.
fn has_apt() -> bool {
    let here = Path::new("/usr/bin/apt-get").exists();
    if !here {
        eprintln!("skipped: this machine has no apt-get");
    }
    here
}

fn pins(edits: &[(&str, &str)]) -> Pins {
    let text = r#"
schema = 1
platform = "linux/amd64"
epoch = 1700000000
bazel = { version = "1.2.3", package = "bazel-bootstrap", answer = "bazel 1.2.3" }
compiler = { package = "g++-9", version = "9.1.0" }
debian = { suite = "stable" }
ops = { name = "my-ops", version = "0.1.0" }
python = { version = "3.9" }
[builder]
packages = ["sed", "python3-minimal"]
omit = ["default-jdk", "dpkg"]
[runtime]
packages = ["python3-minimal"]
omit = ["dpkg", "mawk"]
[tensorflow]
package = "tensorflow-cpu"
version = "9.8.7"
revision = "0123456789abcdef0123456789abcdef01234567"
lane = "wheel"
"#;
    let text = edits.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the pins");
        text.replacen(from, to, 1)
    });
    pins::parse(&text).unwrap()
}

fn shown(packages: &[Package]) -> String {
    let roots = |package: &Package| {
        package.roots.iter().map(|root| root.name()).collect::<Vec<_>>().join(" ")
    };
    packages.iter().map(|p| format!("{} {} {}\n", p.name, p.version, roots(p))).collect()
}

#[test]
fn roots_are_resolved_by_apt_and_cut_at_what_is_omitted() {
    if !has_apt() {
        return;
    }
    let served = served("InRelease");
    let packages = debian::resolve(&Apt::open(&served.archive).unwrap(), &pins(&[])).unwrap();
    insta::assert_snapshot!(shown(&packages), @r#"
    bazel-bootstrap 1.2.3+ds-2 builder
    bazel-bootstrap-data 1.2.3+ds-2 builder
    g++-9 9.1.0-2 builder
    gcc-9 9.1.0-2 builder
    libc6 2.31-2 builder runtime
    mawk 1.3-1 builder
    python3-minimal 3.9.2-1 builder runtime
    sed 1:4.9-1 builder
    "#);
    assert_eq!(
        packages[0].path,
        "pool/main/b/bazel-bootstrap/bazel-bootstrap_1.2.3+ds-2_amd64.deb"
    );
    assert_eq!(packages[0].sha256, crate::digest::Sha256::of(b"bazel-bootstrap1.2.3+ds-2"));
}

#[test]
fn what_the_archive_lacks_is_named_with_its_pin() {
    if !has_apt() {
        return;
    }
    let served = served("InRelease");
    let apt = Apt::open(&served.archive).unwrap();
    let refused = |from, to| debian::resolve(&apt, &pins(&[(from, to)])).unwrap_err();
    insta::assert_snapshot!(refused("\"sed\"", "\"sed=1:4.7-1\""), @r#"
    error: `builder.packages`: the mirror does not serve sed 1:4.7-1; `stable` has 1:4.9-1, 1:4.8-1
    hint: pin a version that it serves, or none, in workspace.toml
    "#);
    insta::assert_snapshot!(refused("\"sed\"", "\"sedd\""), @r#"
    error: `builder.packages`: `stable` has no package `sedd`
    hint: did you mean `sed`?
    "#);
    insta::assert_snapshot!(refused("bazel-bootstrap", "bazel-bootstrap=1.2.2+ds-1"), @r#"
    error: `bazel.package`: the mirror does not serve bazel-bootstrap 1.2.2+ds-1; `stable` has 1.2.3+ds-2, 1.2.3+ds-1
    hint: pin a version that it serves, or none, in workspace.toml
    "#);
    insta::assert_snapshot!(refused("9.1.0", "9.2.0"), @r#"
    error: `compiler.version`: expected g++-9 9.2.0, found 9.1.0-2
    hint: pin what the suite has, or another suite
    "#);
    insta::assert_snapshot!(refused("\"3.9\"", "\"3.1\""), @r#"
    error: `python.version`: expected python3-minimal 3.1, found 3.9.2-1
    hint: pin what the suite has, or another suite
    "#);
    insta::assert_snapshot!(refused("\"default-jdk\"", "\"default-jdk\", \"fonts\""), @r#"
    error: `builder.omit` names `fonts`, which nothing in that root needs
    hint: take it out of workspace.toml
    "#);
    insta::assert_snapshot!(refused("\"sed\"", "\"sed\", \"bazel-bootstrap-data=1.2.3+ds-1\""), @r#"
    error: apt cannot resolve the packages: bazel-bootstrap : Depends: bazel-bootstrap-data (= 1.2.3+ds-2) but 1.2.3+ds-1 is to be installed
      E: Unable to correct problems, you have held broken packages.
    "#);
}

#[test]
fn what_stays_as_locked_is_preferred() {
    if !has_apt() {
        return;
    }
    let served = served("InRelease");
    let older = pins(&[
        (
            "\"sed\"",
            "\"sed=1:4.8-1\", \"bazel-bootstrap-data=1.2.3+ds-1\", \"gcc-9=9.1.0-1\", \"libc6=2.31-1\"",
        ),
        ("bootstrap", "bootstrap=1.2.3+ds-1"),
        ("g++-9", "g++-9=9.1.0-1"),
        ("packages = [\"python3-minimal\"]", "packages = [\"python3-minimal\", \"libc6=2.31-1\"]"),
    ]);
    let mut lock = crate::lock::Lock::example();
    lock.packages = debian::resolve(&Apt::open(&served.archive).unwrap(), &older).unwrap();
    let updated = |part| {
        let apt = Apt::open(&served.archive).unwrap();
        hold(&apt, &lock, part, &pins(&[])).unwrap();
        let new = crate::lock::Lock {
            packages: debian::resolve(&apt, &pins(&[])).unwrap(),
            ..lock.clone()
        };
        moves(Some(&lock), &new).iter().map(|moved| format!("{moved}\n")).collect::<String>()
    };
    insta::assert_snapshot!(updated(Part::Bazel), @r#"
    ~ package bazel-bootstrap 1.2.3+ds-1 -> 1.2.3+ds-2
    ~ package bazel-bootstrap-data 1.2.3+ds-1 -> 1.2.3+ds-2
    "#);
    insta::assert_snapshot!(updated(Part::Compiler), @r#"
    ~ package g++-9 9.1.0-1 -> 9.1.0-2
    ~ package gcc-9 9.1.0-1 -> 9.1.0-2
    "#);
    insta::assert_snapshot!(updated(Part::Runtime), @"~ package libc6 2.31-1 -> 2.31-2");
    insta::assert_snapshot!(updated(Part::Debian), @r#"
    ~ package bazel-bootstrap 1.2.3+ds-1 -> 1.2.3+ds-2
    ~ package bazel-bootstrap-data 1.2.3+ds-1 -> 1.2.3+ds-2
    ~ package g++-9 9.1.0-1 -> 9.1.0-2
    ~ package gcc-9 9.1.0-1 -> 9.1.0-2
    ~ package libc6 2.31-1 -> 2.31-2
    ~ package sed 1:4.8-1 -> 1:4.9-1
    "#);
}

#[test]
fn an_archive_that_cannot_be_believed_is_refused() {
    if !has_apt() {
        return;
    }
    for (in_release, word) in [
        ("InRelease.unsigned", "is not signed"),
        ("InRelease.other-key", "NO_PUBKEY"),
        ("InRelease.tampered", "BADSIG"),
        ("InRelease.expired", "expired"),
        ("InRelease.future", "not valid yet"),
        ("InRelease.sha1", "weak security"),
        ("Packages", "is not signed"),
        ("make.sh", "is not signed"),
    ] {
        let served = served(in_release);
        let error = Apt::open(&served.archive).map(|_| ()).expect_err(in_release).to_string();
        let error = error.replace(&served.folder.path().display().to_string(), "…");
        assert!(error.contains("cannot read `stable` of file://…"), "{in_release}: {error}");
        assert!(error.contains(word), "{in_release}: {error}");
    }
}

#[test]
fn indices_that_the_signature_does_not_cover_are_refused() {
    if !has_apt() {
        return;
    }
    let served = served("InRelease");
    let packages = served.folder.path().join("dists/stable/main/binary-amd64/Packages");
    std::fs::write(&packages, "<html>Log in to Hotel WiFi</html>").unwrap();
    let error = Apt::open(&served.archive).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("Packages"), "{error}");
}

#[test]
fn the_suites_glibc_says_which_wheels_run() {
    let mut package = crate::lock::Lock::example().packages.remove(0);
    let minor = |package: &Package| glibc_minor(std::slice::from_ref(package));
    package.version = "2.36-9+deb12u14".to_owned();
    assert_eq!(minor(&package).unwrap(), 36);
    package.version = "3.0-1".to_owned();
    insta::assert_snapshot!(minor(&package).unwrap_err(), @"error: `runtime.packages` needs libc6 2.x, found 3.0-1");
}
