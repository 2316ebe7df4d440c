//! The image's peers: what others make of the same content, each at its best.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use liblzma::read::XzDecoder;
use xshell::{Cmd, cmd};

use crate::command;
use crate::digest::{Hasher, Sha256};
use crate::engine;
use crate::error::{IoContext as _, Result};
use crate::image::source::open;
use crate::lock::{Package, RootKind};
use crate::root::deb::Deb;
use crate::root::packages::label;
use crate::root::wheel::Wheel;
use crate::root::work::spread;
use crate::store::Store;

use super::pair::timed;
use super::setting::Setting;

/// What the image is called while a builder has it.
const NAME: &str = "localhost/lockstep-bench";

/// A piece of what cannot be avoided.
enum Work<'a> {
    /// Inflate some members of a wheel and hash them.
    Members(&'a Wheel, std::ops::Range<usize>),
    /// Hash a file as it is.
    Compressed(PathBuf),
    /// Decompress a package.
    Package(&'a Package),
}

/// Inflating all wheels once, hashing both sides, decompressing the packages: on all cores,
/// the largest piece first.
pub fn unavoidable(setting: &Setting<'_>) -> Result<Duration> {
    const MEMBERS: usize = 500;
    let (lock, store) = (&setting.lock, setting.store);
    let wheels = lock.wheels.iter().map(|wheel| open(store, wheel)).collect::<Result<Vec<_>>>()?;
    let mut work: Vec<(u64, Work<'_>)> = Vec::new();
    for (wheel, locked) in wheels.iter().zip(&lock.wheels) {
        for start in (0..wheel.entries().len()).step_by(MEMBERS) {
            let range = start..(start + MEMBERS).min(wheel.entries().len());
            let bytes = wheel.entries()[range.clone()].iter().map(|member| member.size).sum();
            work.push((bytes, Work::Members(wheel, range)));
        }
        work.push((locked.size, Work::Compressed(store.object(&locked.sha256))));
    }
    let packages = lock.packages_of(RootKind::Runtime);
    work.extend(packages.map(|package| (package.size * 4, Work::Package(package))));
    work.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    timed(|| spread(&work, |(_, work)| work.carry_out(store)).map(drop))
}

impl Work<'_> {
    fn carry_out(&self, store: &Store) -> Result<()> {
        let mut hasher = Hasher::default();
        match self {
            Work::Members(wheel, range) => {
                wheel.entries()[range.clone()].iter().try_for_each(|member| {
                    wheel.copy(member, |piece| {
                        hasher.update(piece);
                        Ok(())
                    })
                })
            }
            Work::Compressed(path) => Sha256::of_file(path).map(drop),
            Work::Package(package) => {
                let path = store.verified(&package.sha256, &label(package))?;
                let mut deb = Deb::open(File::open(&path).at("open", &path)?)?;
                let unpacked = io::copy(&mut XzDecoder::new(deb.packed()?), &mut hasher);
                unpacked.map(drop).at("decompress", &path)
            }
        }
    }
}

/// `umoci` makes a layer of the unpacked wheels.
pub fn umoci(setting: &Setting<'_>, site: &Path) -> Result<Duration> {
    let (folder, sh) = (setting.place.fresh("umoci")?, &setting.sh);
    let layout = folder.join("oci");
    let image = format!("{}:bench", layout.display());
    setting.read(cmd!(sh, "umoci init --layout {layout}"))?;
    setting.read(cmd!(sh, "umoci new --image {image}"))?;
    let rootless = if nix::unistd::geteuid().is_root() { None } else { Some("--rootless") };
    let insert = cmd!(sh, "umoci insert {rootless...} --image {image} {site} /site");
    timed(|| setting.read(insert).map(drop))
}

/// Docker's client with BuildKit: where the newest has no plug-in for it, an older one does.
pub struct BuildKit(&'static str);

impl BuildKit {
    /// The client that can build here; or why there is none.
    pub fn find(setting: &Setting<'_>) -> Result<Self, String> {
        let tries = || -> Result<Result<Self, String>> {
            let folder = setting.place.fresh("buildkit")?;
            let path = folder.join("Dockerfile");
            fs::write(&path, "FROM scratch\nLABEL a=b\n").at("write", &path)?;
            let mut why = String::new();
            for program in ["docker", "/usr/bin/docker"] {
                match BuildKit(program).build(setting, &folder) {
                    Ok(()) => {
                        docker(cmd!(setting.sh, "{program} image rm --force {NAME}"))?;
                        return Ok(Ok(BuildKit(program)));
                    }
                    Err(error) => why = error.message().replace('\n', " "),
                }
            }
            Ok(Err(why))
        };
        tries().unwrap_or_else(|error| Err(error.message().to_owned()))
    }

    /// Builds and saves the context in `folder`.
    pub fn time(&self, setting: &Setting<'_>, folder: &Path) -> Result<Duration> {
        let (program, sh) = (self.0, &setting.sh);
        let file = setting.place.fresh("buildkit")?.join("image.tar");
        let time = timed(|| {
            self.build(setting, folder)?;
            docker(cmd!(sh, "{program} save -o {file} {NAME}"))
        })?;
        docker(cmd!(sh, "{program} image rm --force {NAME}"))?;
        Ok(time)
    }

    fn build(&self, setting: &Setting<'_>, folder: &Path) -> Result<()> {
        let (program, sh) = (self.0, &setting.sh);
        docker(cmd!(sh, "{program} build --no-cache --quiet --tag {NAME} {folder}"))
    }
}

/// Runs a step of Docker's client.
fn docker(step: Cmd<'_>) -> Result<()> {
    command::read(step, &engine::client().with("DOCKER_BUILDKIT", "1")).map(drop)
}

/// `buildah` builds the context in `folder`, in a storage of its own, and writes the image as
/// compressed layers.
pub fn buildah(setting: &Setting<'_>, folder: &Path) -> Result<Duration> {
    let (place, sh) = (setting.place.fresh("buildah")?, &setting.sh);
    let (root, run) = (place.join("root"), place.join("run"));
    let target = format!("oci:{}:bench", place.join("oci").display());
    let own = ["--root", &*root.to_string_lossy(), "--runroot", &*run.to_string_lossy()];
    timed(|| {
        setting.read(cmd!(sh, "buildah {own...} build --quiet --tag {NAME} {folder}"))?;
        setting.read(cmd!(sh, "buildah {own...} push --quiet {NAME} {target}")).map(drop)
    })
}
