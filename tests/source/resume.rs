//! How much of a build is left after a kill: a measurement, not a test.

use std::time::{Duration, Instant};

use super::upstream::Upstream;
use super::{checkout, killed_when, xtask};

/// So many seconds of work that it is the greater part of the build.
const STEPS: usize = 40;

#[test]
#[ignore = "a measurement: `cargo xtask bench resume` runs it"]
fn a_build_that_was_killed_half_way_and_a_whole_one() {
    let Some(upstream) = Upstream::with_steps(STEPS) else { return };
    let there = checkout(&upstream);
    xtask(&there, &upstream, &["update", "tensorflow"]).with(0, &[]);
    let store = tempfile::tempdir().unwrap();
    let store = [("LOCKSTEP_STORE", store.path().to_str().unwrap())];
    let vault = there.root().join("vault");
    let vault = vault.to_str().unwrap();
    xtask(&there, &upstream, &["vault", "export", vault]).with(0, &[]);
    there.xtask_with(&store, &["vault", "import", vault]).with(0, &[]);

    // The builder root is no part of it: the first build makes it.
    let time = |words: &[&str]| {
        let start = Instant::now();
        there.xtask_with(&store, words).with(0, &[]);
        start.elapsed()
    };
    let build = ["--offline", "build-tf"];
    time(&build);
    let forget = || {
        std::fs::remove_dir_all(std::path::Path::new(store[0].1).join("built")).unwrap();
    };
    let whole = time(&["--offline", "build-tf", "--verify"]);
    forget();
    std::fs::remove_dir_all(there.root().join("target/lockstep/source")).unwrap();
    let start = Instant::now();
    killed_when(&there, store[0], || start.elapsed() >= whole / 2);
    let rest = time(&build);
    let seconds = |time: Duration| time.as_secs_f64();
    println!("measured: {:.1} s of {:.1} s", seconds(rest), seconds(whole));
}
