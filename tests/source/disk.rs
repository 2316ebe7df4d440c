//! Disks that are full.

use std::fs;
use std::process::Command;

use crate::build::Checkout;

use super::LOG;

/// Runs xtask with the build's output on a file system of its own, which is large enough when
/// it begins, has next to no room when Bazel's log begins, and is large enough again for the
/// second run, which must come out well.
#[expect(clippy::disallowed_methods, reason = "the program under test, on a small disk")]
pub fn on_a_small_disk(there: &Checkout, words: &[&str]) {
    const SCRIPT: &str = r#"
disk=$1 log=$2; shift 2
mount -t tmpfs -o size=1500m none "$disk" || exit 99
"$@" & build=$!
until [ -s "$log" ] && mount -o remount,size=$(($(df -k --output=used "$disk" | tail -1) + 16384))k "$disk"; do
	kill -0 $build || exit 98
done 2>/dev/null
wait $build
echo "exit code $?" >&2
mount -o remount,size=1500m "$disk" && exec "$@"
"#;
    let (disk, log) = (there.root().join("target/lockstep/source"), there.root().join(LOG));
    fs::remove_file(&log).unwrap();
    let mut command = Command::new("unshare");
    command.args(["-Urm", "bash", "-c", SCRIPT, "bash"]).arg(&disk).arg(&log);
    command.arg(env!("CARGO_BIN_EXE_xtask")).arg("--workspace").arg(there.root()).args(words);
    let output = command.env_remove("CI").output().unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}\n{out}\n{err}", output.status);
    for word in
        ["not enough room", "target/lockstep/source/", " needed, ", " free\n", "exit code 1\n"]
    {
        assert!(err.contains(word), "no `{word}` in:\n{err}");
    }
    assert_eq!(out.matches("the same bits").count(), 1, "{out}");
}
/// The store of an import has no room for the vault's largest file.
#[expect(clippy::disallowed_methods, reason = "the program under test, on a full disk")]
pub fn on_a_full_disk(there: &Checkout, vault: &str) {
    const SCRIPT: &str = "mount -t tmpfs -o size=1m none \"$LOCKSTEP_STORE\" && exec \"$@\"";
    let store = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["-Urm", "sh", "-c", SCRIPT, "sh", env!("CARGO_BIN_EXE_xtask"), "--workspace"]);
    command.arg(there.root()).args(["vault", "import", vault]);
    let output = command.env("LOCKSTEP_STORE", store.path()).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    let store = store.path().to_string_lossy();
    assert_eq!(output.status.code(), Some(1), "{err}");
    for word in ["cannot write", &store, " needed, ", " free"] {
        assert!(err.contains(word), "no `{word}` in:\n{err}");
    }
}
