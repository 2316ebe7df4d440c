//! The image as one file, as `docker load` and `podman load` take it, started there.

use std::path::{Path, PathBuf};

use xtask::command::{self, Env, cmd};

use crate::image::{Case, Dockerd, xtask};

/// The archive of the image, and what engines call it.
fn archive(case: &Case) -> (PathBuf, String) {
    let file = case.folder.path().join("image.tar");
    let xtask = xtask();
    case.run(cmd!(case.sh, "{xtask} --offline image --no-smoke --archive {file}"));
    (file, format!("lockstep-ops:{}", case.tag))
}

/// The report of the image's own check of every file.
fn checked(report: &str) {
    let report: serde_json::Value = serde_json::from_str(report).unwrap();
    assert_eq!(report["ok"], true, "{report}");
    assert!(report["files"].as_u64().unwrap() > 10_000, "{report}");
}

#[test]
fn docker_loads_runs_and_keeps_what_was_written() {
    let Some(case) = Case::with(&[("dockerd", "docker.io")]) else { return };
    let (sh, docker) = (&case.sh, Dockerd::CLIENT);
    let engine = Dockerd::start(case.folder.path());
    let (file, name) = archive(&case);
    let said = engine.run(cmd!(sh, "{docker} load -q -i {file}"), &[]);
    assert_eq!(said.trim(), format!("Loaded image: {name}"));
    std::fs::remove_file(file).unwrap();
    let hard = ["--network=none", "--read-only", "--cap-drop=ALL", "--tmpfs=/tmp"];
    checked(&engine.run(cmd!(sh, "{docker} run --rm {hard...} {name} lockstep-check --json"), &[]));
    let xtask = xtask();
    let said = engine.run(cmd!(sh, "{xtask} verify docker:{name}"), &[]);
    assert!(said.ends_with("as workspace.lock and the committed ledger say\n"), "{said}");
}

#[test]
fn podman_loads_and_runs_what_was_written() {
    let Some(case) = Case::with(&[("podman", "podman"), ("runc", "runc")]) else { return };
    let (file, name) = archive(&case);
    let podman = Podman::at(case.folder.path());
    podman.run(&["load", "-q", "-i", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
    let limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000"];
    let mut words = vec!["run", "--rm", "--network=none", "--cap-drop=ALL"];
    words.extend(limits);
    let name = format!("localhost/{name}");
    words.extend([&*name, "lockstep-check", "--json"]);
    checked(&podman.run(&words));
}

/// Podman with a store of its own.
struct Podman {
    before: Vec<String>,
    store: PathBuf,
}

impl Podman {
    fn at(place: &Path) -> Podman {
        let (store, run) = (place.join("store"), place.join("run"));
        let (root, runroot) = (store.display().to_string(), run.display().to_string());
        let words = ["--root", &root, "--runroot", &runroot, "--runtime", "runc"];
        let more = ["--cgroup-manager", "cgroupfs", "--events-backend", "none"];
        Podman { before: words.into_iter().chain(more).map(str::to_owned).collect(), store }
    }

    fn run(&self, words: &[&str]) -> String {
        let (sh, before) = (command::shell().unwrap(), &self.before);
        command::read(cmd!(sh, "podman {before...} {words...}"), &Env::host(&[]))
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Podman binds its store onto itself, for good; a test's folder would not go with that.
impl Drop for Podman {
    fn drop(&mut self) {
        let flags = nix::mount::MntFlags::MNT_DETACH;
        let _unless_not_mounted = nix::mount::umount2(&self.store.join("overlay"), flags);
    }
}
