//! What came out: published to `dist/`, described by the surface, compared with the ledger.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::abi::{Facts, OpLibrary, Surface};
use crate::atomic;
use crate::build::op::OpPackage;
use crate::build::wheel::{self, Member};
use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::lock::Lock;
use crate::workspace::Workspace;

/// A library to publish.
#[derive(Clone, Debug)]
pub struct Library {
    /// Op package.
    pub package: String,
    /// File name.
    pub file: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Bytes of the libraries that Bazel made. The build is over and its processes are dead; a
/// link in a library's place is still not followed, and the bytes are those that were judged.
pub fn read_libraries(libraries: &[OpLibrary], judged: &[Surface]) -> Result<Vec<Library>> {
    libraries.iter().zip(judged).map(|(library, surface)| read(library, &surface.facts)).collect()
}

fn read(library: &OpLibrary, judged: &Facts) -> Result<Library> {
    let path = &library.path;
    let mut options = fs::OpenOptions::new();
    let mut file = options.read(true).custom_flags(libc::O_NOFOLLOW).open(path).at("open", path)?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut bytes).at("read", path)?;
    if Sha256::of(&bytes) != judged.sha256 {
        let message =
            format!("`{}` changed between the ABI gate and its publication", path.display());
        return Err(Error::new(Kind::Digest, message).hint("run `cargo xtask build-ops` again"));
    }
    Ok(Library { package: library.package.clone(), file: judged.file.clone(), bytes })
}

/// The highest glibc that any library needs, as `(major, minor)`.
pub fn glibc_floor(surfaces: &[Surface]) -> (u32, u32) {
    let floor = |surface: &Surface| {
        let mut parts = surface.facts.floors.get("GLIBC")?.split('.').map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    // 2.17 is where manylinux tags of this form begin (PEP 600).
    surfaces.iter().filter_map(floor).max().unwrap_or_default().max((2, 17))
}

/// The files of the ops wheel: each library in `tensorflow-plugins/`, each package's Python
/// wrapper, and the loader that they share.
pub fn members(
    workspace: &Workspace,
    packages: &[OpPackage],
    libraries: &[Library],
) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for Library { file, bytes, .. } in libraries {
        members.push((format!("{}/{file}", wheel::PLUGINS), bytes.clone()));
    }
    for package in packages {
        let folder = workspace.ops().join(package.name());
        let before = members.len();
        python(&folder, package.name(), &mut members)?;
        if members.len() == before || !folder.join("__init__.py").is_file() {
            return Err(Error::new(
                Kind::Pins,
                format!(
                    "op package `{}` has no Python wrapper: expected `ops/{0}/__init__.py`",
                    package.name()
                ),
            )
            .hint("`cargo xtask new-op NAME` makes one to copy from"));
        }
    }
    python(&workspace.toolchains().join("wheel"), "", &mut members)?;
    Ok(members)
}

/// Folders of an op package that are not shipped.
const APART: [&str; 3] = ["tests", "fuzz", "__pycache__"];

fn python(folder: &Path, prefix: &str, members: &mut Vec<Member>) -> Result<()> {
    for entry in fs::read_dir(folder).at("list", folder)? {
        let entry = entry.at("list", folder)?;
        let file = entry.file_name().to_string_lossy().into_owned();
        let name = if prefix.is_empty() { file.clone() } else { format!("{prefix}/{file}") };
        let path = entry.path();
        if entry.file_type().at("read", &path)?.is_dir() && !APART.contains(&file.as_str()) {
            python(&path, &name, members)?;
        } else if file.ends_with(".py") && file != "bench.py" {
            members.push((name, fs::read(&path).at("read", &path)?));
        }
    }
    Ok(())
}

/// Two libraries of one file name would lie over each other in `tensorflow-plugins/`.
pub fn distinct(libraries: &[OpLibrary]) -> Result<()> {
    let mut seen = BTreeSet::new();
    for library in libraries {
        let file = library.path.file_name().unwrap_or_default();
        if !seen.insert(file) {
            return Err(Error::new(
                Kind::Pins,
                format!(
                    "two op packages make a library `{}`: `{}` is one of them",
                    file.to_string_lossy(),
                    library.package
                ),
            )
            .hint("name each library after its package: `libPACKAGE.so`"));
        }
    }
    Ok(())
}

/// An op that TensorFlow has under the same name would be TensorFlow's own in each process.
pub fn not_tensorflows<'a>(
    ops: impl IntoIterator<Item = (&'a str, &'a str)>,
    tensorflow: &BTreeSet<String>,
) -> Result<()> {
    match ops.into_iter().find(|(_, op)| tensorflow.contains(*op)) {
        None => Ok(()),
        Some((package, op)) => Err(Error::new(
            Kind::Abi,
            format!("op package `{package}` registers `{op}`, an op that TensorFlow itself has: a process would use one of the two and say nothing"),
        )
        .hint(format!("give it a name of its own, for example `{}{op}`", crate::build::new_op::camel(package)))),
    }
}

/// Publishes the libraries and the ops wheel under `dist/`; returns the paths in the
/// workspace. Each file is written whole or not at all, and files of an earlier build that
/// this one does not make are removed.
pub fn publish(
    workspace: &Workspace,
    lock: &Lock,
    libraries: &[Library],
    wheel_file: &str,
    wheel: &[u8],
) -> Result<Vec<String>> {
    let mut outputs = vec![format!("dist/{wheel_file}")];
    atomic::write(&workspace.dist().join(wheel_file), wheel)?;
    for Library { package, file, bytes } in libraries {
        atomic::write(&workspace.dist().join("ops").join(package).join(file), bytes)?;
        outputs.push(format!("dist/ops/{package}/{file}"));
    }
    let stem = format!("{}-", wheel::escaped(&lock.ops.name));
    sweep(
        &workspace.dist(),
        "dist",
        &|name| name.starts_with(&stem) && name.ends_with(".whl"),
        &outputs,
    )?;
    sweep(&workspace.dist().join("ops"), "dist/ops", &|_| true, &outputs)?;
    Ok(outputs)
}

/// Removes files that `ours` claims and this build did not make, and folders left empty.
fn sweep(folder: &Path, name: &str, ours: &dyn Fn(&str) -> bool, outputs: &[String]) -> Result<()> {
    for entry in fs::read_dir(folder).at("list", folder)? {
        let entry = entry.at("list", folder)?;
        let (path, file) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let name = format!("{name}/{file}");
        if entry.file_type().at("read", &path)?.is_dir() {
            if outputs.iter().any(|output| output.starts_with(&format!("{name}/"))) {
                sweep(&path, &name, ours, outputs)?;
            } else if name.starts_with("dist/ops/") {
                fs::remove_dir_all(&path).at("remove", &path)?;
            }
        } else if ours(&file) && !outputs.contains(&name) {
            fs::remove_file(&path).at("remove", &path)?;
        }
    }
    Ok(())
}
