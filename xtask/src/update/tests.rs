//! The real apt against a small archive of our own (`tests/fixtures/debian`), the real pip
//! against a small index.

use std::path::{Path, PathBuf};

use super::apt::Apt;
use super::archive::Archive;
use super::*;
use crate::command::{self, Env, cmd};
use crate::fetch::server::{Answer, Server};

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
        mirror: fetch::Url::parse(&format!("file://{}", folder.path().display())).unwrap(),
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
    error: `builder.omit` names `fonts`: nothing in that root needs it
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
        hold(&apt, &lock, &[part], &pins(&[])).unwrap();
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

/// Makes wheels that hold next to nothing: arguments are a folder and `name version tag`
/// with what it requires or holds.
const MAKE_WHEELS: &str = r#"
import base64, hashlib, sys, zipfile
folder, python = sys.argv[1:]
def wheel(name, version, tag, requires="", files={}):
    info = f"{name}-{version}.dist-info"
    files = dict(files)
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}"
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n"
    def row(path, text):
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        return f"{path},sha256={digest},{len(text)}\n"
    rows = [row(path, text) for path, text in files.items()]
    files[f"{info}/RECORD"] = "".join(rows) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(f"{folder}/{name}-{version}-{tag}.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
own = {"tensorflow/python/client/_pywrap_tf_session.so": "\0v9.8.7-rc1-5-g0123456789a\0"}
needs = "Requires-Dist: numpy>=1\nRequires-Dist: never ; sys_platform == 'win32'\n"
wheel("tensorflow_cpu", "9.8.7", f"{python}-{python}-manylinux_2_27_x86_64", needs, own)
wheel("tensorflow_cpu", "9.9.0", f"{python}-{python}-manylinux_2_27_x86_64", needs, own)
wheel("numpy", "1.0", "py3-none-any")
wheel("numpy", "2.0", f"{python}-{python}-manylinux_2_31_x86_64")
wheel("numpy", "3.0", f"{python}-{python}-manylinux_2_32_x86_64")
wheel("numpy", "4.0", f"{python}-{python}-win_amd64")
"#;

/// A folder of wheels, an index that serves it, and pins of this machine's own Python.
struct Index {
    folder: tempfile::TempDir,
    server: Server,
    pins: Pins,
    store: Store,
    fetch: fetch::Options,
}

/// `None`, with the reason printed, where there is no pip.
fn index(portal: bool) -> Option<Index> {
    let shell = command::shell().unwrap();
    let script = "import pip, sys; print('%d.%d' % sys.version_info[:2])";
    let Ok(python) = command::read(cmd!(shell, "python3 -c {script}"), &Env::host(&[])) else {
        eprintln!("skipped: this machine has no python3 with pip");
        return None;
    };
    let python = python.trim();
    let folder = tempfile::tempdir().unwrap();
    let (place, tag) = (folder.path(), format!("cp{}", python.replace('.', "")));
    let make = cmd!(shell, "python3 -c {MAKE_WHEELS} {place} {tag}");
    command::read(make, &Env::host(&[])).unwrap();
    let files: std::collections::BTreeMap<String, Vec<u8>> = place
        .read_dir()
        .unwrap()
        .map(|item| item.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
        })
        .collect();
    let server = Server::start(move |request| serve(&files, request.target.as_str(), portal));
    let env = [("LOCKSTEP_PYTHON_INDEX".to_owned(), format!("{}/simple/", server.url()))];
    Some(Index {
        pins: pins(&[("\"3.9\"", &format!("\"{python}\""))]),
        store: Store::at(place.join("store")),
        fetch: fetch::Options { env: env.into(), ..fetch::Options::from_env(false) },
        folder,
        server,
    })
}

/// `/simple/NAME/` is a page (PEP 503), `/FILE` a wheel.
fn serve(
    files: &std::collections::BTreeMap<String, Vec<u8>>,
    target: &str,
    portal: bool,
) -> Answer {
    let html = |body: String| Answer::new("200 OK", "content-type: text/html\r\n", body);
    if portal {
        return html("<html><body><a href='/login'>Log in to Hotel WiFi</a>".to_owned());
    }
    let Some(project) = target.strip_prefix("/simple/") else {
        let name = target.trim_start_matches('/');
        return files
            .get(name)
            .map_or(Answer::new("404 Not Found", "", ""), |file| Answer::ok(file.clone()));
    };
    let of_project = |name: &&String| {
        name.split('-').next().map(normalised).as_deref() == Some(project.trim_end_matches('/'))
    };
    let link = |name: &String| {
        let digest = crate::digest::Sha256::of(&files[name]);
        format!("<a href='/{name}#sha256={digest}'>{name}</a>\n")
    };
    html(files.keys().filter(of_project).map(link).collect())
}

impl Index {
    fn sources(&self) -> Sources<'_> {
        Sources { pins: &self.pins, store: &self.store, fetch: &self.fetch }
    }

    /// What `parts` of the wheels come to, on glibc 2.31, as a whole lock.
    fn resolve(&self, old: Option<&Lock>, parts: &[Part]) -> Result<Lock> {
        let mut lock = Lock { tensorflow: tensorflow(&self.pins), ..Lock::example() };
        lock.packages[0].version = "2.31-1".to_owned();
        lock.wheels = python_wheels(self.sources(), old, parts, &lock.packages)?;
        identified(lock, old, self.sources())
    }
}

fn wheels(lock: &Lock) -> Vec<&str> {
    lock.wheels.iter().map(|wheel| wheel.file.as_str()).collect()
}

#[test]
fn wheels_are_those_of_the_pinned_python_and_the_roots_glibc() {
    let Some(index) = index(false) else { return };
    let lock = index.resolve(None, &[]).unwrap();
    let files = wheels(&lock);
    assert!(files[0].starts_with("numpy-2.0-") && files[0].contains("_2_31_"), "{files:?}");
    assert!(files[1].starts_with("tensorflow_cpu-9.8.7-") && files.len() == 2, "{files:?}");
    for wheel in &lock.wheels {
        let bytes = std::fs::read(index.folder.path().join(&wheel.file)).unwrap();
        assert_eq!(
            (wheel.size, wheel.sha256),
            (bytes.len() as u64, crate::digest::Sha256::of(&bytes))
        );
    }
    assert_eq!(lock.tensorflow.git_version, "v9.8.7-rc1-5-g0123456789a");
    assert_eq!(Lock::parse(&lock.render()).unwrap(), lock);
}

#[test]
fn updating_tensorflow_leaves_its_dependencies_as_locked() {
    let Some(index) = index(false) else { return };
    let mut old = index.resolve(None, &[]).unwrap();
    let bytes = std::fs::read(index.folder.path().join("numpy-1.0-py3-none-any.whl")).unwrap();
    old.wheels[0] = Wheel {
        name: "numpy".to_owned(),
        version: "1.0".to_owned(),
        file: "numpy-1.0-py3-none-any.whl".to_owned(),
        size: bytes.len() as u64,
        sha256: crate::digest::Sha256::of(&bytes),
    };
    let requests = index.server.requests();
    let kept = index.resolve(Some(&old), &[Part::TensorFlow]).unwrap();
    assert_eq!(kept.wheels, old.wheels);
    assert!(index.server.requests() - requests < requests, "what is known is asked for again");
    let freed = index.resolve(Some(&old), &[Part::Python]).unwrap();
    assert_eq!(freed.wheels[0].version, "2.0");
}

#[test]
fn a_wheel_of_another_revision_is_refused() {
    let Some(mut index) = index(false) else { return };
    index.pins.tensorflow.revision = "f".repeat(40).parse().unwrap();
    insta::assert_snapshot!(index.resolve(None, &[]).unwrap_err(), @r#"
    error: tensorflow-cpu 9.8.7 is not of `tensorflow.revision`: expected a wheel built from ffffffffffffffffffffffffffffffffffffffff, found GIT_VERSION v9.8.7-rc1-5-g0123456789a
    hint: pin the revision of that release in workspace.toml, or another version
    "#);
}

#[test]
fn a_version_that_the_index_lacks_is_named() {
    let Some(mut index) = index(false) else { return };
    index.pins.tensorflow.version = "9.8.6".parse().unwrap();
    let error = index.resolve(None, &[]).unwrap_err().to_string();
    assert!(error.contains("tensorflow-cpu==9.8.6") && error.contains("9.8.7"), "{error}");
}

#[test]
fn a_captive_portal_is_no_index() {
    let Some(index) = index(true) else { return };
    let error = index.resolve(None, &[]).unwrap_err();
    assert_eq!(error.kind(), Kind::Fetch);
    assert!(error.message().contains("tensorflow-cpu==9.8.7"), "{error}");
}

#[test]
fn a_bazel_pinned_by_url_is_locked_with_its_size() {
    let server = Server::start(|_| Answer::ok("#!/bin/sh\n"));
    let digest = crate::digest::Sha256::of(b"#!/bin/sh\n");
    let url = format!("{}/bazel", server.url());
    let binary = format!("url = \"{url}\", sha256 = \"{digest}\"");
    let pins = pins(&[("package = \"bazel-bootstrap\"", &binary), ("[\"default-jdk\", ", "[")]);
    let (store, fetch) = (Store::at("/nowhere"), fetch::Options::from_env(false));
    let sources = Sources { pins: &pins, store: &store, fetch: &fetch };
    let locked = bazel(sources, None).unwrap();
    assert_eq!(locked.binary, Some(lock::Binary { url, size: 10, sha256: digest }));
    let old = Lock { bazel: locked.clone(), ..Lock::example() };
    assert_eq!(bazel(sources, Some(&old)).unwrap(), locked);
    assert_eq!(server.requests(), 1, "a known size is asked for again");
}

#[test]
fn offline_nothing_is_asked() {
    let Some(mut index) = index(false) else { return };
    index.fetch.offline = true;
    insta::assert_snapshot!(index.resolve(None, &[]).unwrap_err(), @"error: wheels are resolved with pip, and --offline is given");
    assert_eq!(index.server.requests(), 0);
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
