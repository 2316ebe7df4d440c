//! What Bazel is asked to do, as a value.

use std::path::Path;

use crate::engine::{Mount, Run};
use crate::lock::Lock;
use crate::root::builder;

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
    /// Laid over the root's `/etc`: what `check` makes a build see. None for what is shipped.
    pub etc: Option<&'a Path>,
}

/// A run of `argv` in the builder root with the build's own mounts and environment.
pub fn in_builder(lock: &Lock, folders: &Folders<'_>, argv: &[&str]) -> Run {
    let read_only = |source: &Path, target: &str| Mount::ReadOnly {
        source: source.to_owned(),
        target: target.to_owned(),
    };
    let etc = folders.etc.map(|etc| Mount::Overlay {
        sources: vec![etc.to_owned(), folders.root.join("etc")],
        target: "/etc".to_owned(),
    });
    let mut mounts = vec![
        read_only(folders.ops, "/work/ops"),
        read_only(folders.toolchains, "/work/toolchains"),
        read_only(folders.tensorflow, "/opt/tf"),
        Mount::ReadWrite { source: folders.out.to_owned(), target: OUT.to_owned() },
    ];
    mounts.extend(etc);
    Run {
        root: folders.root.to_owned(),
        mounts,
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        env: builder::environment(lock),
        cwd: "/work/ops".to_owned(),
    }
}

/// The run that asks Bazel for its version: the client answers without a server.
pub fn version(lock: &Lock, folders: &Folders<'_>) -> Run {
    in_builder(lock, folders, &["/usr/bin/bazel", "--version"])
}

/// The run that builds every op package and the probe.
pub fn build(lock: &Lock, folders: &Folders<'_>) -> Run {
    let rc = |name: &str| format!("--bazelrc=/work/toolchains/{name}");
    let mut argv = vec!["/usr/bin/bazel".to_owned(), "--nohome_rc".to_owned()];
    // The system rc is the locked package's own: it says where Debian's Bazel is unpacked.
    argv.push(rc(if lock.bazel.binary.is_some() { "bazelrc" } else { "bazelrc.debian" }));
    if lock.bazel.modules {
        argv.push(rc("bazelrc.modules"));
    }
    argv.extend(["--output_user_root=/out/bazel".to_owned(), "build".to_owned()]);
    argv.push(format!("--build_event_json_file={OUT}/{EVENTS}"));
    // Since its release 7 Bazel looks for modules, and for their registry, unless told not to.
    if !lock.bazel.modules && major(lock) >= 7 {
        argv.push("--noenable_bzlmod".to_owned());
    }
    argv.extend(["--", "//...", PROBE].map(str::to_owned));
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    in_builder(lock, folders, &argv)
}

/// The first number of the pinned version.
fn major(lock: &Lock) -> u64 {
    lock.bazel.version.split('.').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}
