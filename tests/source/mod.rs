//! The lane `source`: a small TensorFlow, from git, by the real Bazel in the real engine.

mod bad;
mod compare;
mod disk;
mod plan;
mod repack;
mod resume;
mod upstream;

use std::fs;
use std::path::Path;

use xtask::lock::Lock;

use crate::build::Checkout;
use upstream::Upstream;

const LOG: &str = "target/lockstep/log/build-tf.log";
const TARGET: &str = "//tensorflow/tools/pip_package:wheel";

/// A checkout with the lane `source` of `upstream`.
fn checkout(upstream: &Upstream) -> Checkout {
    let there = Checkout::copy();
    // One op package is enough to show that ops are built against the wheel.
    fs::remove_dir_all(there.root().join("ops/embedding_ops")).unwrap();
    pin(&there, upstream, TARGET);
    there
}

fn pin(there: &Checkout, upstream: &Upstream, target: &str) {
    let (git, commit, describe) = (&upstream.git, &upstream.commit, &upstream.describe);
    let (package, version) = ("tensorflow-cpu", &upstream.version);
    let table = format!(
        "[tensorflow]\npackage = \"{package}\"\nversion = \"{version}\"\nrevision = \"{commit}\"\n\
         lane = \"source\"\ngit = \"{git}\"\ndescribe = \"{describe}\"\ntarget = \"{target}\"\n\
         configs = [\"release\"]\nrepo-env = [\"HERMETIC=1\"]\n"
    );
    there.edit("workspace.toml", |text| {
        let from = text.find("[tensorflow]").unwrap();
        let to = from + text[from..].find("\n[").unwrap();
        format!("{}{table}{}", &text[..from], &text[to..])
    });
}

fn xtask(there: &Checkout, upstream: &Upstream, words: &[&str]) -> crate::build::Said {
    there.xtask_with(&[("LOCKSTEP_PYTHON_INDEX", &upstream.index)], words)
}

#[test]
fn tensorflow_is_built_from_its_commit_without_a_network_twice_the_same() {
    let Some(upstream) = Upstream::new() else { return };
    let there = checkout(&upstream);

    // Before it is built, whoever needs it says so.
    xtask(&there, &upstream, &["update", "tensorflow"]).with(
        0,
        &["+ external index/greeting/greeting-1.0-py3-none-any.whl", "framework.tar.gz", "pip.whl"],
    );
    let lock = Lock::load(&there.root().join("workspace.lock")).unwrap();
    assert_eq!(lock.source.unwrap().externals.len(), 3);
    xtask(&there, &upstream, &["build-ops"]).with(4, &["cargo xtask build-tf"]);
    // The vault travels as a folder, to a machine that has nothing and reaches nothing.
    let vault = there.root().join("vault");
    let vault = vault.to_str().unwrap();
    const WHOLE: &str = "3 files that the build asks for, ";
    xtask(&there, &upstream, &["vault", "export", vault]).with(0, &[WHOLE, "artifact sha256:"]);
    upstream.stop();
    let other = tempfile::tempdir().unwrap();
    let other = [("LOCKSTEP_STORE", other.path().to_str().unwrap())];
    there.xtask_with(&other, &["vault", "import", vault]).with(0, &[WHOLE, "in the store"]);

    // The build there has the vault and nothing else. It is killed half way, and goes on.
    let build = ["--offline", "build-tf"];
    bad::of_a_store_with_faults(&there, other[0], vault);
    let log = there.root().join(LOG);
    let said = |word: &str| fs::read_to_string(&log).unwrap_or_default().contains(word);
    killed_when(&there, other[0], || said("step 3 is done"));
    let first = there.xtask_with(&other, &build).with(0, &["  dist/tensorflow_cpu-"]);
    // Three steps, the wheel, and a library that is compiled and linked beside them. What a
    // cached step once said is no sign: it is said again unless Bazel's own action cache has
    // it, which is written every few seconds.
    let again = sandboxed(&log);
    assert!((1..=6).contains(&again), "{}", fs::read_to_string(&log).unwrap());

    // It took hours: the store keeps it, whatever is swept out.
    there.xtask_with(&other, &["store", "gc"]).with(0, &[]);
    fs::remove_file(&log).unwrap();
    there.xtask_with(&other, &build).with(0, &["  dist/tensorflow_cpu-"]);
    assert!(!log.exists(), "it was built again");

    // Here, once more from nothing: the same bits, whatever the clock says, after a disk that
    // was full in the middle.
    fs::remove_dir_all(there.root().join("target/lockstep/source")).unwrap();
    let second = xtask(&there, &upstream, &build).with(0, &[]);
    assert_eq!(first.out, second.out);
    assert!(sandboxed(&log) > 6, "{}", fs::read_to_string(&log).unwrap());
    disk::on_a_small_disk(&there, &["--offline", "build-tf", "--verify"]);

    // Ops go on from it as from any wheel; with the same headers and library come the same bits.
    let said = xtask(&there, &upstream, &["--offline", "build-ops"]).with(9, &["tensorflow_cpu-"]);
    drop(said);
    let ledger = fs::read_to_string(there.root().join("dist/ledger.json")).unwrap();
    let committed = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/snapshots/ledger__digests@linux-amd64.snap"),
    );
    let committed = committed.unwrap();
    let line = committed.lines().find(|line| line.ends_with("  libimage_ops.so")).unwrap();
    assert!(ledger.contains(line.split(' ').next().unwrap()), "{ledger}");
}

/// How many actions Bazel ran in its sandbox, as the log of a build says at its end:
/// `INFO: 11 processes: 5 remote cache hit, 2 internal, 4 linux-sandbox.`
fn sandboxed(log: &Path) -> usize {
    let text = fs::read_to_string(log).unwrap();
    let line = text.lines().rfind(|line| line.contains(" processes: ")).unwrap();
    let counts = line.trim_end_matches('.').split([':', ',']);
    let count = counts.filter_map(|count| count.trim().strip_suffix(" linux-sandbox")).next();
    count.map_or(0, |count| count.parse().unwrap())
}

/// Starts the build and kills it once `now` says so.
#[expect(clippy::disallowed_methods, reason = "the program under test, to be killed")]
fn killed_when(there: &Checkout, store: (&str, &str), now: impl Fn() -> bool) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("--workspace").arg(there.root()).args(["--offline", "build-tf"]);
    let mut child = command.env_remove("CI").env(store.0, store.1).spawn().unwrap();
    while !now() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    assert!(!child.wait().unwrap().success());
}
