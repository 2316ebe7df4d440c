//! Rendered cluster files, as the programs that people use read them.

mod schemas;

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use xtask::cluster::render::{Format, Plan};
use xtask::cluster::scripts::Scripts;
use xtask::command::{self, Env, Shell, cmd};
use xtask::digest::Sha256;

use crate::machine;

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The workspace's own cluster, each format in a folder of its own.
fn rendered(edit: impl Fn(&str) -> String) -> (TempDir, Shell) {
    let text = edit(&std::fs::read_to_string(here().join("workspace.toml")).unwrap());
    let cluster = xtask::pins::parse(&text).unwrap().cluster.unwrap();
    let scripts = Scripts::of([("train.py", "print(1)\n\n")]);
    let (image, workspace_id) = (Sha256::of(b"image"), Sha256::of(b"id"));
    let plan = Plan { cluster, image, workspace_id, scripts };
    let folder = tempfile::tempdir().unwrap();
    for format in Format::ALL {
        for (name, text) in plan.render(format) {
            let path = folder.path().join(format.folder()).join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
    }
    (folder, command::shell().unwrap())
}

#[test]
fn docker_compose_reads_what_was_pinned() {
    if !machine::has(&[("docker-compose", "docker-compose")]) {
        return;
    }
    let strange = |text: &str| {
        text.replace("[cluster.ps]", "[cluster.ps]\nenvironment = { A = \"$B 'c' ${D}\" }")
    };
    let (folder, sh) = rendered(strange);
    let file = folder.path().join("compose/compose.yaml");
    let read = command::read(cmd!(sh, "docker-compose -f {file} config"), &Env::host(&[])).unwrap();
    let image = format!("image: registry.example/lockstep@sha256:{}", Sha256::of(b"image"));
    assert_eq!(read.matches(&image).count(), 7, "{read}");
    // docker-compose writes a dollar sign as it must be written in a file.
    assert_eq!(read.matches("A: $$B 'c' $${D}").count(), 2, "{read}");
    assert_eq!(read.matches(r#""type":"worker","index":2"#).count(), 1, "{read}");
    let broken = std::fs::read_to_string(&file).unwrap().replace("read_only", "readonly");
    std::fs::write(&file, broken).unwrap();
    command::read(cmd!(sh, "docker-compose -f {file} config"), &Env::host(&[])).unwrap_err();
}

#[test]
fn systemd_reads_every_unit() {
    if !machine::has(&[("systemd-analyze", "systemd"), ("podman", "podman")]) {
        return;
    }
    let (folder, sh) = rendered(str::to_owned);
    let units = (0..3).map(|n| folder.path().join(format!("systemd/train-worker-{n}.service")));
    let units: Vec<_> = units.collect();
    let (paths, env) = (&units, Env::host(&[]));
    command::read(cmd!(sh, "systemd-analyze verify {paths...}"), &env).unwrap();
    let broken = std::fs::read_to_string(&units[0]).unwrap().replace("ExecStart=", "ExecStar=");
    std::fs::write(&units[0], broken).unwrap();
    command::read(cmd!(sh, "systemd-analyze verify {paths...}"), &env).unwrap_err();
}
