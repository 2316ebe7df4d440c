//! `cargo xtask bundle`, as a machine without containers uses it: pip, a virtual
//! environment, a shell.

use std::fs;
use std::path::{Path, PathBuf};

use xtask::command::{self, Env, cmd};
use xtask::lock::Lock;
use xtask::store::Store;
use xtask::workspace::Workspace;

use crate::image::xtask;
use crate::machine;

fn checkout() -> Workspace {
    Workspace::at(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
}

/// What the check of a bundle says of the files in site-packages at the folder `$0`.
const FILES: &str = r"
import sys
from bundle_check import Files, lockstep
fields = [f'{key}\tx' for key in ('workspace-id', 'tensorflow', 'revision')]
identity = lockstep.Identity('\n'.join([*fields, 'site\tsite', 'manifest\tm\tx']))
files = Files(sys.argv[1], identity)
files.whole()
print(*[finding.what for finding in files.findings], sep='\n')
";

#[test]
fn a_folder_beside_the_ops_is_looked_into() {
    let folder = tempfile::tempdir().unwrap();
    let (place, toolchains) = (folder.path(), checkout().toolchains());
    let check = checkout().root().join("xtask/src/image/bundle_check.py");
    fs::copy(check, place.join("bundle_check.py")).unwrap();
    let program = toolchains.join("image/lockstep_entrypoint.py");
    fs::copy(program, place.join("lockstep_entrypoint.py")).unwrap();
    let plugins = place.join("site/tensorflow-plugins/__pycache__");
    fs::create_dir_all(&plugins).unwrap();
    fs::write(plugins.join("x.so"), "").unwrap();
    fs::write(place.join("site/anyones.py"), "").unwrap();
    let sh = command::shell().unwrap();
    let env = Env::host(&[]).with("PYTHONPATH", place);
    match command::read(cmd!(sh, "python3 -B -c {FILES} {place}"), &env) {
        Ok(said) => insta::assert_snapshot!(said, @"
        /m is not what the image was made with: No such file or directory
        /site/tensorflow-plugins/__pycache__/x.so is not in the image's manifests
        "),
        Err(error) => {
            assert_eq!(error.message(), "this machine has no `python3`", "{error}");
            machine::skip(error.message());
        }
    }
}

/// All locked wheels under their own names, in the new folder `place`.
fn wheels(lock: &Lock, place: &Path) {
    let store = Store::from_env(|name| std::env::var_os(name)).unwrap();
    fs::create_dir(place).unwrap();
    for wheel in &lock.wheels {
        let from = store.verified(&wheel.sha256, &wheel.file).unwrap();
        std::os::unix::fs::symlink(from, place.join(&wheel.file)).unwrap();
    }
}

/// Runs `words` in a shell in which the virtual environment and the bundle are active.
const ACTIVE: &str = ". \"$0/venv/bin/activate\" && . \"$0/lockstep-bundle/activate\" && \"$@\"";

#[test]
fn unpacked_and_activated_in_a_plain_venv_it_passes_its_check() {
    let lock = Lock::load(&checkout().lock()).unwrap();
    let python = format!("python{}", lock.python);
    if checkout().dist().join("ledger.json").is_file() {
        if !machine::has(&[(&*python, &*format!("{python}-venv"))]) {
            return;
        }
    } else {
        assert!(std::env::var_os("CI").is_none(), "no dist/: `cargo xtask ci` makes it");
        machine::skip("no dist/: `cargo xtask build-ops` makes it");
        return;
    }
    let sh = command::shell().unwrap();
    let env = Env::host(&["CI", "LOCKSTEP_STORE", "XDG_CACHE_HOME"]);
    let run = |step| command::read(step, &env).unwrap_or_else(|error| panic!("{error}"));
    let (xtask, root) = (xtask(), checkout().root().to_owned());
    let archive = checkout().dist().join("bundle/lockstep-bundle.tar.gz");
    let made = || {
        run(cmd!(sh, "{xtask} --workspace {root} --offline bundle"));
        fs::read(&archive).unwrap()
    };
    assert!(made() == made(), "two runs, two archives");

    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    run(cmd!(sh, "tar -xzf {archive} -C {place}"));
    run(cmd!(sh, "{python} -m venv {place}/venv"));
    wheels(&lock, &place.join("locked"));
    let (pip, bundle) = (place.join("venv/bin/pip"), place.join("lockstep-bundle"));
    run(cmd!(sh, "{pip} install --quiet --no-index --no-deps --require-hashes --no-compile")
        .args(["--find-links", "locked", "--find-links", "lockstep-bundle/wheels"].map(|word| {
            if word.starts_with("--") { PathBuf::from(word) } else { place.join(word) }
        }))
        .arg("-r")
        .arg(bundle.join("requirements.txt")));

    let check = bundle.join("lockstep-check");
    let report = run(cmd!(sh, "sh -c {ACTIVE} {place} {check}"));
    assert!(report.contains(" bytes: all as the image was made"), "{report}");
    let one = "import tensorflow as tf, image_ops; print(image_ops.decode_qoi, tf.__file__)";
    run(cmd!(sh, "sh -c {ACTIVE} {place} python3 -c {one}"));

    let site = place.join(format!("venv/lib/{python}/site-packages"));
    let damaged = site.join("numpy/version.py");
    let text = fs::read_to_string(&damaged).unwrap();
    fs::remove_file(&damaged).unwrap();
    fs::write(&damaged, text.replacen('n', "m", 1)).unwrap();
    fs::write(site.join("tensorflow-plugins/libother.so"), "").unwrap();
    let refused = command::read(cmd!(sh, "sh -c {ACTIVE} {place} {check}"), &env).unwrap_err();
    for word in ["/numpy/version.py is not what", "tensorflow-plugins/libother.so is not in"] {
        assert!(refused.message().contains(word), "no `{word}`: {refused}");
    }
    // Without `activate` the node's own environment decides what is loaded.
    let other = "LD_LIBRARY_PATH=/opt/other PYTHONPATH= exec \"$0/venv/bin/python3\" \"$1\"";
    let refused = command::read(cmd!(sh, "sh -c {other} {place} {check}"), &env).unwrap_err();
    assert!(refused.message().contains("LD_LIBRARY_PATH is `/opt/other`"), "{refused}");
}
