//! A small TensorFlow as others have it: a git repository, servers of what it is built from.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use xtask::digest::Sha256;
use xtask::lock::Lock;
use xtask::store::Store;
use xtask::{fetch, root};

/// Steps of a second each, one after the other, before its wheel is packed.
const STEPS: usize = 6;

/// The repository and its servers.
pub struct Upstream {
    folder: tempfile::TempDir,
    /// Its URL.
    pub git: String,
    pub commit: String,
    pub describe: String,
    /// The version of its wheel.
    pub version: String,
    /// The Python index that its rules ask.
    pub index: String,
    stopped: Arc<AtomicBool>,
}

impl Upstream {
    /// That asks for the pinned Bazel; `None`, having said why, where this machine has no pip.
    pub fn new() -> Option<Self> {
        Self::of(None, STEPS)
    }

    /// That asks for another Bazel.
    pub fn with_bazel(bazel: &str) -> Option<Self> {
        Self::of(Some(bazel), STEPS)
    }

    /// That takes its time.
    pub fn with_steps(steps: usize) -> Option<Self> {
        Self::of(None, steps)
    }

    fn of(bazel: Option<&str>, steps: usize) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let Some(pip) = pip(folder.path()) else {
            println!("skipped: pip does not give its own wheel here");
            return None;
        };
        let original = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let lock = Lock::load(&original.join("workspace.lock")).unwrap();
        let framework = framework(&lock, original, folder.path());
        let stopped = Arc::new(AtomicBool::new(false));
        let digests = [Sha256::of(&framework), Sha256::of(&pip)];
        let server = serve(files(framework, pip), &stopped);
        let version = lock.tensorflow.version.clone();
        let texts = [
            ("@FRAMEWORK@", digests[0].to_string()),
            ("@PIP@", digests[1].to_string()),
            ("@SERVER@", server.clone()),
            ("@VERSION@", version.clone()),
            ("@STEPS@", steps.to_string()),
        ];
        let place = folder.path().join("upstream");
        write(&place, &texts, bazel.unwrap_or(&lock.bazel.version));
        let tag = format!("v{version}");
        let commit = commit(&place, &tag);
        Some(Upstream {
            git: format!("file://{}", place.display()),
            describe: format!("{tag}-0-g{}", &commit[..11]),
            commit,
            version,
            index: format!("{server}/simple"),
            stopped,
            folder,
        })
    }

    /// From now on nobody serves anything.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// The URL of a copy in which another tree stands under the name of the commit's.
    pub fn damaged(&self) -> String {
        let (here, there) =
            (self.folder.path().join("upstream"), self.folder.path().join("damaged"));
        git(
            self.folder.path(),
            &["clone", "--quiet", "--no-local", &here.to_string_lossy(), "damaged"],
        );
        let pack = there.join(".git/objects/pack");
        let moved = self.folder.path().join("packs");
        fs::rename(&pack, &moved).unwrap();
        for file in fs::read_dir(&moved).unwrap().map(|e| e.unwrap().path()) {
            if file.extension().is_some_and(|e| e == "pack") {
                unpack(&there, &file);
            }
        }
        let object = |name: &str| there.join(".git/objects").join(&name[..2]).join(&name[2..]);
        let tree = git(&there, &["show", "-s", "--format=%T", "HEAD"]);
        let other = git(&there, &["rev-parse", "HEAD:tensorflow"]);
        let bytes = fs::read(object(other.trim())).unwrap();
        let place = object(tree.trim());
        fs::remove_file(&place).unwrap();
        fs::write(&place, bytes).unwrap();
        format!("file://{}", there.display())
    }
}

#[expect(clippy::disallowed_methods, reason = "a fixture, made before the test begins")]
fn unpack(place: &Path, pack: &Path) {
    let mut command = Command::new("git");
    let input = fs::File::open(pack).unwrap();
    let status = command.args(["unpack-objects", "-q"]).stdin(input).current_dir(place).status();
    assert!(status.unwrap().success());
}

/// pip's own wheel, from the machine's index.
#[expect(clippy::disallowed_methods, reason = "a fixture, made before the test begins")]
fn pip(folder: &Path) -> Option<Vec<u8>> {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "download", "--quiet", "--no-deps", "--dest", "pip", "pip"]);
    let status = command.current_dir(folder).status();
    let listed = fs::read_dir(folder.join("pip")).ok()?.flatten().map(|entry| entry.path());
    status
        .is_ok_and(|s| s.success())
        .then(|| listed.into_iter().next())?
        .map(|p| fs::read(p).unwrap())
}

/// What ops see of the locked TensorFlow, as an archive.
#[expect(clippy::disallowed_methods, reason = "a fixture, made before the test begins")]
fn framework(lock: &Lock, original: &Path, folder: &Path) -> Vec<u8> {
    let store = Store::from_env(|name| std::env::var_os(name)).unwrap();
    let own =
        fetch::Selection { roots: [].into(), wheels: fetch::Wheels::TensorFlow, externals: false };
    fetch::ensure(lock, &store, &own, &fetch::Options::from_env(false)).unwrap();
    let tree = root::tensorflow::ensure(lock, &store, &original.join("toolchains")).unwrap();
    let archive = folder.join("framework.tar.gz");
    let status = Command::new("tar")
        .args(["-I", "gzip -1", "--sort=name", "--mtime=@0", "-cf"])
        .arg(&archive)
        .args(["include", "lib"])
        .current_dir(tree)
        .status();
    assert!(status.unwrap().success(), "tar");
    fs::read(archive).unwrap()
}

/// A wheel that only pip's own rules ask for.
#[expect(clippy::disallowed_methods, reason = "a fixture, made before the test begins")]
fn greeting() -> Vec<u8> {
    const PACK: &str = "
import sys, zipfile
with zipfile.ZipFile(sys.stdout.buffer, 'w') as archive:
    for name, text in (
        ('METADATA', 'Metadata-Version: 2.1\\nName: greeting\\nVersion: 1.0\\n'),
        ('WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'),
        ('RECORD', ''),
    ):
        archive.writestr(zipfile.ZipInfo('greeting-1.0.dist-info/' + name), text)
";
    let output = Command::new("python3").args(["-c", PACK]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// By path on the server.
fn files(framework: Vec<u8>, pip: Vec<u8>) -> BTreeMap<String, Vec<u8>> {
    let greeting = greeting();
    let page = format!(
        "<a href=\"../../files/greeting-1.0-py3-none-any.whl#sha256={}\">greeting-1.0-py3-none-any.whl</a>",
        Sha256::of(&greeting)
    );
    [
        ("/framework.tar.gz", framework),
        ("/pip.whl", pip),
        ("/simple/greeting/", page.into_bytes()),
        ("/files/greeting-1.0-py3-none-any.whl", greeting),
    ]
    .map(|(path, bytes)| (path.to_owned(), bytes))
    .into()
}

/// Serves `files` until it is stopped; returns the address.
fn serve(files: BTreeMap<String, Vec<u8>>, stopped: &Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let stopped = Arc::clone(stopped);
    let files = Arc::new(files);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            reader.read_line(&mut request).ok();
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|n| n > 2) {
                line.clear();
            }
            let path = request.split(' ').nth(1).unwrap_or_default();
            let found = files.get(path).filter(|_| !stopped.load(Ordering::Relaxed));
            let (status, kind) = match found {
                Some(_) if path.starts_with("/simple") => ("200 OK", "text/html"),
                Some(_) => ("200 OK", "application/octet-stream"),
                None => ("404 Not Found", "text/plain"),
            };
            let bytes = found.map_or(&[][..], Vec::as_slice);
            let length = bytes.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            // The client may hang up early; that is its affair.
            stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(bytes)).ok();
        }
    });
    address
}

fn write(place: &Path, texts: &[(&str, String)], bazel: &str) {
    let package = "tensorflow/tools/pip_package";
    let bazel = format!("{bazel}\n# As TensorFlow's own, it has a note.\n");
    let unique = format!("{}", place.display()); // a commit that no other test has
    for (path, text) in [
        (".bazelversion", bazel.as_str()),
        (".bazelrc", "build --spawn_strategy=standalone\nbuild:release --define=release=1\n"),
        ("WORKSPACE", include_str!("WORKSPACE.txt")),
        ("BUILD", ""),
        ("README", unique.as_str()),
        ("third_party/BUILD", ""),
        ("third_party/rules_cc/WORKSPACE", ""),
        ("third_party/rules_cc/BUILD", ""),
        ("third_party/rules_cc/cc/BUILD", ""),
        (
            "third_party/rules_cc/cc/defs.bzl",
            include_str!("../../toolchains/bazel/rules_cc/cc/defs.bzl"),
        ),
        ("third_party/repositories.bzl", include_str!("repositories.bzl")),
        (&format!("{package}/BUILD"), include_str!("BUILD.txt")),
        (&format!("{package}/wheel.py"), include_str!("wheel.py")),
    ] {
        let path: PathBuf = place.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = texts.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        fs::write(path, text).unwrap();
    }
}

/// Makes the repository with one tagged commit; returns its id.
fn commit(place: &Path, tag: &str) -> String {
    git(place, &["init", "--quiet", "--initial-branch=main"]);
    git(place, &["add", "--all"]);
    git(place, &["commit", "--quiet", "--message=a small TensorFlow"]);
    git(place, &["tag", tag]);
    git(place, &["rev-parse", "HEAD"]).trim().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "a fixture, made before the test begins")]
fn git(place: &Path, words: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args([
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@localhost",
        "-c",
        "commit.gpgsign=false",
    ]);
    let output =
        command.args(words).current_dir(place).stdin(std::process::Stdio::null()).output().unwrap();
    assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
