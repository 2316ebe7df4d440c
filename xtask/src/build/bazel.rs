//! What Bazel is asked to do, as a value.

use std::collections::BTreeMap;
use std::path::Path;

use crate::engine::{Mount, Run};
use crate::lock::Lock;

/// Where Bazel keeps its work inside the root; the host folder behind it is kept between runs.
pub const OUT: &str = "/out";
/// Where Bazel writes its build events ([`crate::build::event`] reads them).
pub const EVENTS: &str = "bep.json";
/// The program that prints the surface.
pub const PROBE: &str = "@lockstep_toolchains//probe:surface";

/// The host folders behind the builder's mounts.
#[derive(Clone, Copy, Debug)]
pub struct Folders<'a> {
    /// Builder root.
    pub root: &'a Path,
    /// `ops/` of the workspace.
    pub ops: &'a Path,
    /// `toolchains/` of the workspace.
    pub toolchains: &'a Path,
    /// TensorFlow repository tree.
    pub tensorflow: &'a Path,
    /// Bazel's output, kept.
    pub out: &'a Path,
}

/// The environment of everything that runs in the builder root: a list that we write.
pub fn environment(lock: &Lock) -> BTreeMap<String, String> {
    let epoch = lock.epoch.to_string();
    [
        ("HOME", "/tmp"),
        ("JAVA_HOME", "/usr/lib/jvm/default"),
        ("LC_ALL", "C.UTF-8"),
        ("PATH", "/usr/bin"),
        ("SOURCE_DATE_EPOCH", &epoch),
        ("TZ", "UTC"),
        ("USER", "lockstep"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// A run of `argv` in the builder root with the build's own mounts and environment.
pub fn in_builder(lock: &Lock, folders: &Folders<'_>, argv: &[&str]) -> Run {
    let read_only = |source: &Path, target: &str| Mount::ReadOnly {
        source: source.to_owned(),
        target: target.to_owned(),
    };
    Run {
        root: folders.root.to_owned(),
        mounts: vec![
            read_only(folders.ops, "/work/ops"),
            read_only(folders.toolchains, "/work/toolchains"),
            read_only(folders.tensorflow, "/opt/tf"),
            Mount::ReadWrite { source: folders.out.to_owned(), target: OUT.to_owned() },
        ],
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        env: environment(lock),
        cwd: "/work/ops".to_owned(),
    }
}

/// The run that asks Bazel for its version: the client answers without a server.
pub fn version(lock: &Lock, folders: &Folders<'_>) -> Run {
    in_builder(lock, folders, &["/usr/bin/bazel", "--version"])
}

/// The run that builds every op package and the probe.
pub fn build(lock: &Lock, folders: &Folders<'_>) -> Run {
    let events = format!("--build_event_json_file={OUT}/{EVENTS}");
    // The system rc is the locked package's own: it says where Debian's Bazel is unpacked.
    let rc = if lock.bazel.binary.is_some() { "bazelrc" } else { "bazelrc.debian" };
    let rc = format!("--bazelrc=/work/toolchains/{rc}");
    let argv = [
        "/usr/bin/bazel",
        "--nohome_rc",
        &rc,
        "--output_user_root=/out/bazel",
        "build",
        &events,
        "--",
        "//...",
        PROBE,
    ];
    in_builder(lock, folders, &argv)
}
