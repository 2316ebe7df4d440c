//! The image `dist/image/`, as the programs that people use see it.
//!
//! They run as root; `cargo xtask image` makes what they read, and where `CI` is set what is
//! missing is installed.

use std::collections::BTreeMap;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use xtask::command::{self, Env, Shell, cmd};
use xtask::root::tree::Entries;
use xtask::store::{Entry, Manifest};
use xtask::verify::bundle::Bundle;
use xtask::verify::stream;
use xtask::workspace::Workspace;

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

/// The image in `dist/`.
struct Case {
    sh: Shell,
    env: Env,
    layout: PathBuf,
    digest: String,
    tag: String,
    folder: TempDir,
}

impl Case {
    /// A case for the programs of `packages`, named alike; none when the test is skipped.
    fn with(packages: &[(&str, &str)]) -> Option<Case> {
        let skip = |why: &str| {
            println!("skipped: {why}");
            None
        };
        let layout = checkout().dist().join("image/oci");
        if !layout.is_dir() {
            return skip("no dist/image: `cargo xtask image` makes it");
        }
        if !nix::unistd::geteuid().is_root() {
            return skip("not root");
        }
        let (sh, env) = (command::shell().unwrap(), Env::host(&["DEBIAN_FRONTEND"]));
        let missing: Vec<&str> =
            packages.iter().filter(|(p, _)| !there(p)).map(|(_, package)| *package).collect();
        if !missing.is_empty() {
            if std::env::var_os("CI").is_none() {
                return skip(&format!("{missing:?} are not installed; with CI=true they would be"));
            }
            command::read(cmd!(sh, "apt-get update -qq"), &env).unwrap();
            let install = cmd!(sh, "apt-get install -qq -y --no-install-recommends {missing...}");
            command::read(install, &env).unwrap();
        }
        let index = fs::read(layout.join("index.json")).unwrap();
        let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
        let image = &index["manifests"][0];
        let tag = &image["annotations"]["org.opencontainers.image.ref.name"];
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let (digest, tag) = (text(&image["digest"]), text(tag));
        Some(Case { sh, env, layout, digest, tag, folder: tempfile::tempdir().unwrap() })
    }

    fn run(&self, step: xshell::Cmd<'_>) -> String {
        command::read(step, &self.env).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What the layers say is in the image.
    fn entries(&self) -> BTreeMap<PathBuf, Entry> {
        let bundle = Bundle::of_folder(&self.layout).unwrap();
        let manifest = bundle.json(&format!("blobs/{}", self.digest.replace(':', "/"))).unwrap();
        let mut entries = BTreeMap::new();
        for layer in manifest["layers"].as_array().unwrap() {
            let name = layer["digest"].as_str().unwrap().replace(':', "/");
            let found = stream::read(bundle.open(&format!("blobs/{name}")).unwrap()).unwrap();
            let found: Entries = found.entries.unwrap();
            entries.extend(found.into_iter().map(|(path, entry)| (PathBuf::from(path), entry)));
        }
        entries
    }
}

fn there(program: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
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

/// A server of this machine, ended with the test.
struct Server(duct::Handle);

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM: dockerd ends its containerd and its mounts with itself.
        let pid = self.0.pids().first().and_then(|pid| i32::try_from(*pid).ok());
        if let Some(pid) = pid {
            let _ended =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGTERM);
        }
        let _ended = self.0.wait();
    }
}

/// Waits until `ready` answers.
fn wait(what: &str, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what} is not ready after 60 s");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_registry_gives_back_the_same_digest() {
    let Some(case) = Case::with(&[("skopeo", "skopeo"), ("docker-registry", "docker-registry")])
    else {
        return;
    };
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let (config, data) = (case.folder.path().join("config.yml"), case.folder.path().join("data"));
    let text = format!(
        "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{address}'}}\n",
        data.display()
    );
    fs::write(&config, text).unwrap();
    let log = case.folder.path().join("log");
    let server =
        duct::cmd!("docker-registry", "serve", &config).stderr_to_stdout().stdout_path(&log);
    let _server = Server(server.unchecked().start().unwrap());
    wait("the registry", || std::net::TcpStream::connect(&address).is_ok());
    let (from, back) = (format!("oci:{}", case.layout.display()), case.folder.path().join("back"));
    let (there, back_to) = (format!("docker://{address}/ops:x"), format!("oci:{}", back.display()));
    case.run(cmd!(case.sh, "skopeo --insecure-policy copy --dest-tls-verify=false {from} {there}"));
    let by_digest = format!("docker://{address}/ops@{}", case.digest);
    case.run(cmd!(
        case.sh,
        "skopeo --insecure-policy copy --src-tls-verify=false {by_digest} {back_to}"
    ));
    let blobs = |layout: &Path| {
        Bundle::of_folder(layout)
            .unwrap()
            .names()
            .filter(|n| n.starts_with("blobs/"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(blobs(&case.layout), blobs(&back));
}

/// Both builders of Docker make of the Dockerfile the file system that the layers say.
#[test]
fn docker_builds_the_same_file_system() {
    let Some(case) = Case::with(&[("dockerd", "docker.io")]) else { return };
    let place = case.folder.path();
    let path = |name: &str| place.join(name);
    let host = format!("unix://{}", path("docker.sock").display());
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
    let log = path("log");
    let _server = Server(daemon.stderr_to_stdout().stdout_path(&log).unchecked().start().unwrap());
    let (sh, docker) = (&case.sh, "/usr/bin/docker");
    let env = |kit: &str| case.env.clone().with("DOCKER_HOST", &host).with("DOCKER_BUILDKIT", kit);
    let run = |step, kit| command::read(step, &env(kit)).unwrap_or_else(|error| panic!("{error}"));
    wait("dockerd", || command::read(cmd!(sh, "{docker} version"), &env("0")).is_ok());
    let context = case.layout.with_file_name("docker");
    let mut expected = case.entries();
    expected.retain(|path, _| !is_dockers(path));
    for kit in ["0", "1"] {
        let image = format!("built:{kit}");
        run(cmd!(sh, "{docker} build --network none -q -t {image} {context}"), kit);
        let container = run(cmd!(sh, "{docker} create {image}"), kit);
        let (container, export) = (container.trim(), path("export.tar"));
        run(cmd!(sh, "{docker} export -o {export} {container}"), kit);
        let found = exported(&export);
        assert!(expected == found, "builder {kit}: {:?}", first_difference(&expected, &found));
        run(cmd!(sh, "{docker} rm {container}"), kit);
    }
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
