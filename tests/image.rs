//! The image `dist/image/`, as the programs that people use see it.
//!
//! They run as root; `cargo xtask image` makes what they read, and where `CI` is set what is
//! missing is installed.

use std::collections::BTreeMap;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use xtask::command::{self, Env, Shell, cmd};
use xtask::engine::{Native, Outcome, Output, Run};
use xtask::store::{Entry, Manifest};
use xtask::verify::bundle::Bundle;
use xtask::verify::stream;
use xtask::workspace::Workspace;

use crate::machine::{self, Server, wait};

/// Files that an engine puts into each container it makes.
const DOCKERS: [&str; 5] =
    [".dockerenv", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"];

fn checkout() -> Workspace {
    Workspace::at(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
}

/// The entrypoint's own tests, by this machine's Python.
#[test]
fn the_entrypoint_checks_what_it_says() {
    let tests = checkout().toolchains().join("image/tests/test_entrypoint.py");
    let sh = command::shell().unwrap();
    if let Err(error) = command::read(cmd!(sh, "python3 -IB {tests}"), &Env::host(&[])) {
        assert_eq!(error.message(), "this machine has no `python3`", "{error}");
        println!("skipped: {}", error.message());
    }
}

/// The program that is tested.
pub fn xtask() -> &'static str {
    env!("CARGO_BIN_EXE_xtask")
}

/// The native engine of our own program, as the image's tools ask for it.
pub fn native(run: &Run, output: Output<'_>) -> xtask::error::Result<Outcome> {
    Native::with(xtask()).run(run, output)
}

/// What leads our own program to its store.
const OURS: [&str; 3] = ["CI", "LOCKSTEP_STORE", "XDG_CACHE_HOME"];

/// The image in `dist/`.
pub struct Case {
    pub sh: Shell,
    pub env: Env,
    pub layout: PathBuf,
    pub digest: String,
    pub tag: String,
    pub folder: TempDir,
}

impl Case {
    /// A case for the programs of `packages`, named alike; none when the test is skipped.
    pub fn with(packages: &[(&str, &str)]) -> Option<Case> {
        let layout = checkout().dist().join("image/oci");
        if !layout.is_dir() {
            assert!(std::env::var_os("CI").is_none(), "no dist/image: `cargo xtask ci` makes it");
            machine::skip("no dist/image: `cargo xtask image` makes it");
            return None;
        }
        if !nix::unistd::geteuid().is_root() {
            machine::skip("not root");
            return None;
        }
        if !machine::has(packages) {
            return None;
        }
        let (sh, env) = (command::shell().unwrap(), Env::host(&OURS));
        let index = fs::read(layout.join("index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        let image = &index["manifests"][0];
        let tag = &image["annotations"]["org.opencontainers.image.ref.name"];
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let (digest, tag) = (text(&image["digest"]), text(tag));
        Some(Case { sh, env, layout, digest, tag, folder: tempfile::tempdir().unwrap() })
    }

    pub fn run(&self, step: xshell::Cmd<'_>) -> String {
        command::read(step, &self.env).unwrap_or_else(|error| panic!("{error}"))
    }

    /// The checkout.
    pub fn workspace(&self) -> Workspace {
        checkout()
    }

    /// The same case of another image's folder.
    pub fn of(self, image: &Path) -> Case {
        let layout = image.join("oci");
        let index = fs::read(layout.join("index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        let digest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
        Case { layout, digest, ..self }
    }

    /// Builds the image's Dockerfile by docker, by the classic builder (`0`) and BuildKit
    /// (`1`), and compares what comes out with what the layers say.
    pub fn is_what_docker_builds(&self, kits: &[&str]) {
        let place = self.folder.path();
        let engine = Dockerd::start(place);
        let (sh, docker) = (&self.sh, Dockerd::CLIENT);
        let run = |step, kit| engine.run(step, &[("DOCKER_BUILDKIT", kit)]);
        let context = self.layout.with_file_name("docker");
        let mut expected = self.entries();
        expected.retain(|path, _| !is_dockers(path));
        for kit in kits {
            let image = format!("built:{kit}");
            run(cmd!(sh, "{docker} build --network none -q -t {image} {context}"), *kit);
            let container = run(cmd!(sh, "{docker} create {image}"), *kit);
            let (container, export) = (container.trim(), place.join("export.tar"));
            run(cmd!(sh, "{docker} export -o {export} {container}"), *kit);
            let found = exported(&export);
            assert!(expected == found, "builder {kit}: {:?}", first_difference(&expected, &found));
            run(cmd!(sh, "{docker} rm {container}"), *kit);
        }
    }

    /// Digest and size of each layer, the lowest first.
    pub fn layers(&self) -> Vec<(String, u64)> {
        let bundle = Bundle::of_folder(&self.layout).unwrap();
        let manifest = bundle.json(&format!("blobs/{}", self.digest.replace(':', "/"))).unwrap();
        let layer = |layer: &serde_json::Value| {
            (layer["digest"].as_str().unwrap().to_owned(), layer["size"].as_u64().unwrap())
        };
        manifest["layers"].as_array().unwrap().iter().map(layer).collect()
    }

    /// What the layers say is in the image.
    fn entries(&self) -> BTreeMap<PathBuf, Entry> {
        let bundle = Bundle::of_folder(&self.layout).unwrap();
        let mut entries = BTreeMap::new();
        for (digest, _) in self.layers() {
            let name = digest.replace(':', "/");
            let layer = bundle.open(&format!("blobs/{name}")).unwrap();
            let mut put = |path, entry| drop(entries.insert(PathBuf::from(path), entry));
            let found = stream::read_each(layer, &mut put).unwrap();
            assert_eq!(found.foreign, None);
        }
        entries
    }
}

#[test]
fn umoci_unpacks_what_the_layers_say() {
    let Some(case) = Case::with(&[("umoci", "umoci")]) else { return };
    let (image, root) =
        (format!("{}:{}", case.layout.display(), case.tag), case.folder.path().join("root"));
    case.run(cmd!(case.sh, "umoci raw unpack --image {image} {root}"));
    let found: BTreeMap<_, _> =
        Manifest::of_tree(&root).unwrap().iter().map(|(p, e)| (p.to_owned(), e.clone())).collect();
    assert!(case.entries() == found, "{:?}", first_difference(&case.entries(), &found));
}

fn first_difference<'a>(
    one: &'a BTreeMap<PathBuf, Entry>,
    other: &'a BTreeMap<PathBuf, Entry>,
) -> Option<(&'a PathBuf, Option<&'a Entry>, Option<&'a Entry>)> {
    let paths = one.keys().chain(other.keys());
    paths.map(|path| (path, one.get(path), other.get(path))).find(|(_, a, b)| a != b)
}

/// Docker's engine, in a folder of its own and without a network.
pub struct Dockerd {
    env: Env,
    _server: Server,
}

impl Dockerd {
    /// Debian's client, whatever else is on `PATH`.
    pub const CLIENT: &str = "/usr/bin/docker";

    pub fn start(place: &Path) -> Dockerd {
        let path = |name: &str| place.join(name);
        let host = format!("unix://{}", path("docker.sock").display());
        // Of a daemon that was killed, and its containerd: a new one believes what they say.
        forget(&path("pid"), "dockerd");
        forget(&path("run/containerd/containerd.pid"), "containerd");
        let daemon = duct::cmd!(
            "dockerd",
            "--host",
            &host,
            "--data-root",
            path("data"),
            "--exec-root",
            path("run"),
            "--pidfile",
            path("pid"),
            "--bridge=none",
            "--iptables=false"
        );
        let env = Env::host(&OURS).with("DOCKER_HOST", &host);
        let (sh, client) = (command::shell().unwrap(), Dockerd::CLIENT);
        let answers = || command::read(cmd!(sh, "{client} version"), &env).is_ok();
        // It ends when its containerd is not there within 15 s, which a busy disk can cost.
        for _ in 0..3 {
            let server = Server::start(daemon.clone(), &path("log"));
            wait("dockerd", || answers() || server.ended());
            if !server.ended() {
                return Dockerd { env, _server: server };
            }
        }
        panic!("dockerd ends by itself: {}", fs::read_to_string(path("log")).unwrap());
    }

    pub fn run(&self, step: xshell::Cmd<'_>, more: &[(&str, &str)]) -> String {
        let env = more.iter().fold(self.env.clone(), |env, (name, value)| env.with(name, *value));
        command::read(step, &env).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Removes the pid file of the server `name`, which is dead or dies.
fn forget(file: &Path, name: &str) {
    let Ok(text) = fs::read_to_string(file) else { return };
    let process = Path::new("/proc").join(text.trim()).join("cmdline");
    let lives = || fs::read_to_string(&process).is_ok_and(|line| line.contains(name));
    if let (true, Ok(pid)) = (lives(), text.trim().parse()) {
        let _ended = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGKILL,
        );
    }
    wait("the end of a killed server", || !lives());
    fs::remove_file(file).unwrap();
}

/// Both builders of Docker make of the Dockerfile the file system that the layers say.
#[test]
fn docker_builds_the_same_file_system() {
    let Some(case) = Case::with(&[("dockerd", "docker.io")]) else { return };
    case.is_what_docker_builds(&["0", "1"]);
}

/// What docker writes itself, and what it mounts over.
fn is_dockers(path: &Path) -> bool {
    DOCKERS.contains(&&*path.to_string_lossy()) || path.starts_with("dev")
}

/// What is in docker's export: everything is root's, and not docker's own.
fn exported(tar: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut archive = tar::Archive::new(BufReader::new(fs::File::open(tar).unwrap()));
    let mut entries = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().components().collect::<PathBuf>();
        let header = entry.header().clone();
        if is_dockers(&path) {
            continue;
        }
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0), "{}", path.display());
        let mode = header.mode().unwrap() & 0o7777;
        let found = match header.entry_type() {
            tar::EntryType::Directory => Entry::folder(mode),
            tar::EntryType::Symlink => {
                Entry::link(entry.link_name().unwrap().unwrap().into_owned())
            }
            tar::EntryType::Regular => {
                let (digest, size) = xtask::digest::Sha256::of_reader(&mut entry).unwrap();
                Entry::file(mode, size, digest)
            }
            other => panic!("{}: {other:?}", path.display()),
        };
        entries.insert(path, found);
    }
    entries
}
