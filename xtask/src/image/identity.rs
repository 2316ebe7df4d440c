//! Who an image is: what its labels say, what it says at every start, and how it starts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::build::source::{self, Sources};
use crate::digest::{Key, Sha256};
use crate::lock::Lock;
use crate::root::runtime::dist_packages;

use super::oci::Start;

/// Where the image keeps what it knows of itself.
pub const SHARE: &str = "usr/local/share/lockstep";
/// The program that starts everything, and the folder of the names that it has.
pub const PROGRAM: &str = "usr/local/lib/lockstep/lockstep_entrypoint.py";
/// What the program is called by.
pub const ENTRYPOINT: &str = "usr/local/bin/lockstep-entrypoint";
/// What reads every file of the image.
pub const CHECK: &str = "usr/local/bin/lockstep-check";

/// Whoever runs the image's processes: not root.
const USER: &str = "1000:1000";

/// Who an image is.
#[derive(Clone, Debug)]
pub struct Identity<'l> {
    lock: &'l Lock,
    /// Of the lock and all sources.
    pub workspace: Sha256,
    /// Of all sources alone: their revision, whatever commits it stands in.
    pub sources: Sha256,
}

impl<'l> Identity<'l> {
    /// The identity of what `lock` and `sources` make.
    pub fn of(lock: &'l Lock, sources: &Sources) -> Self {
        let revision = sources
            .iter()
            .fold(Key::new("sources 1"), |key, (name, digest)| key.field(name, digest.bytes()));
        let workspace = source::workspace_id(&lock.digest(), sources);
        Identity { lock, workspace, sources: revision.finish() }
    }

    /// The tag under which layout and archives hold the image. It never moves.
    pub fn tag(&self) -> String {
        self.workspace.short()
    }

    /// Labels of the image (OCI image specification v1.1, "Pre-Defined Annotation Keys").
    pub fn labels(&self) -> BTreeMap<String, String> {
        let (lock, tensorflow) = (self.lock, &self.lock.tensorflow);
        let mut labels: BTreeMap<String, String> = [
            ("dev.lockstep.lock", lock.digest().to_string()),
            ("dev.lockstep.tensorflow.git-version", tensorflow.git_version.clone()),
            ("dev.lockstep.tensorflow.revision", tensorflow.revision.clone()),
            ("dev.lockstep.tensorflow.version", tensorflow.version.clone()),
            ("dev.lockstep.workspace-id", self.workspace.to_string()),
            ("org.opencontainers.image.created", super::oci::timestamp(lock.epoch)),
            ("org.opencontainers.image.revision", self.sources.to_string()),
            ("org.opencontainers.image.title", lock.ops.name.clone()),
            ("org.opencontainers.image.version", lock.ops.version.clone()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        if lock.image.slim {
            labels.insert("dev.lockstep.slim".to_owned(), "true".to_owned());
        }
        if let Some(base) = &lock.base {
            let mut label = |key: &str, value| {
                labels.insert(format!("org.opencontainers.image.base.{key}"), value);
            };
            label("digest", base.digest.named());
            label("name", base.name.clone());
        }
        labels
    }

    /// The file `identity` in the image: a key and its values a line, tabs between them.
    /// `manifests` are path and digest of each layer's manifest, the lowest first.
    pub fn text(&self, manifests: &[(String, Sha256)]) -> String {
        let tensorflow = &self.lock.tensorflow;
        let mut text = format!(
            "schema\t1\nworkspace-id\t{}\ntensorflow\t{}\nrevision\t{}\nsite\t{}\n",
            self.workspace,
            tensorflow.version,
            tensorflow.revision,
            dist_packages(&self.lock.python),
        );
        for (name, value) in paths(self.lock) {
            let _infallible = writeln!(text, "env\t{name}\t{value}");
        }
        for (path, digest) in manifests {
            let _infallible = writeln!(text, "manifest\t{path}\t{digest}");
        }
        text
    }
}

/// What leads a process to the image's own code; the entrypoint lets nobody change it.
fn paths(lock: &Lock) -> BTreeMap<String, String> {
    let site = dist_packages(&lock.python);
    [("LD_LIBRARY_PATH", format!("/{site}/tensorflow")), ("PYTHONPATH", format!("/{site}"))]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
}

/// How a container of the image starts.
pub fn start(lock: &Lock) -> Start {
    let site = dist_packages(&lock.python);
    let mut env = paths(lock);
    let path = format!("/usr/local/bin:/usr/bin:/{site}/bin");
    let more = [
        ("HOME", "/tmp"), // the one folder that anybody may write
        ("LC_ALL", "C.UTF-8"),
        ("PATH", &path),
        ("PYTHONDONTWRITEBYTECODE", "1"),
        ("PYTHONNOUSERSITE", "1"),
        ("PYTHONUNBUFFERED", "1"), // a log is whole even when its process is killed
    ];
    env.extend(more.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Start {
        user: USER.to_owned(),
        env,
        entrypoint: vec![format!("/{ENTRYPOINT}")],
        command: vec!["help".to_owned()],
        folder: "/tmp".to_owned(),
        stop_signal: "SIGTERM".to_owned(),
    }
}
