//! The image, from wheels and packages in the store to blobs that can be pushed. Without its
//! smoke test, which is TensorFlow's time and not ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xshell::cmd;

use crate::build::source::Sources;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::fetch;
use crate::image::command::program;
use crate::image::dockerfile::CONTEXT;
use crate::image::identity::Identity;
use crate::image::layer::Layer;
use crate::image::run::{self, Written};
use crate::image::stack::Parts;
use crate::lock::RootKind;
use crate::root;
use crate::store::Store;

use super::builders::{self, BuildKit};
use super::memory;
use super::pair::{pairs, timed};
use super::row::{Row, Unit};
use super::setting::Setting;

const COLD: &str = "image from wheels and packages / inflating and hashing the same, once";
const UMOCI: &str = "the same / `umoci insert` of the unpacked wheels";
const BUILDKIT: &str = "the same / BuildKit: `docker build` of the Dockerfile, `docker save`";
const BUILDAH: &str = "the same / `buildah build` of the Dockerfile, `buildah push`";
const MEMORY: &str = "peak of our own process while it writes the image";
const EDIT: &str = "image after the ops wheel changed";
const PUSH: &str = "bytes to push then / bytes of the image";
const SIZE: &str = "compressed layers / the wheels and packages in them";

/// All that is measured of the image.
pub fn image(setting: &Setting<'_>) -> Result<Vec<Row>> {
    let downloads = fetch::Options::from_env(setting.offline);
    fetch::ensure(&setting.lock, setting.store, &fetch::Selection::all(), &downloads)?;
    let case = Case { setting, ops: find_wheel(&setting.built()?.dist())? };
    let ours = |_: usize| case.cold().map(|(time, _)| time);
    let peak = memory::peak(|| case.cold().map(drop))?;
    let cold = pairs(setting.runs, ours, |_| builders::unavoidable(setting))?;
    let mut rows = vec![Row::of_pairs("image", COLD, &cold, Unit::Times, 1.2)];
    rows.push(match setting.lacks(cmd!(setting.sh, "umoci --version")) {
        Some(why) => Row::skipped("image-umoci", UMOCI, &why, Unit::Times, 1.0 / 3.0),
        None => {
            let site = root::site::ensure(&setting.lock, setting.store)?;
            let pairs = pairs(1, ours, |_| builders::umoci(setting, &site))?;
            Row::of_pairs("image-umoci", UMOCI, &pairs, Unit::Times, 1.0 / 3.0)
        }
    });
    rows.extend(case.builders(ours)?);
    rows.push(match peak {
        Some(peak) => Row::alone("image-memory", MEMORY, peak, Unit::Memory, 256.0),
        None => {
            let why = "this machine forgets no peak (/proc/self/clear_refs)";
            Row::skipped("image-memory", MEMORY, why, Unit::Memory, 256.0)
        }
    });
    rows.extend(case.edit()?);
    Ok(rows)
}

/// The ops wheel of a build, if it made one.
pub fn find_wheel(dist: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(dist).at("list", dist)?.flatten().map(|entry| entry.path());
    let mut wheels = entries.filter(|path| path.extension().is_some_and(|sort| sort == "whl"));
    wheels.next().ok_or_else(|| Error::new(Kind::Io, "the build made no wheel"))
}

/// What is measured, and the ops wheel that the image is to have.
struct Case<'a> {
    setting: &'a Setting<'a>,
    ops: PathBuf,
}

impl Case<'_> {
    /// A new image, from downloads alone.
    fn cold(&self) -> Result<(Duration, Written)> {
        let store = self.store()?;
        self.write(&store, &self.setting.place.fresh("image")?, b"")
    }

    fn store(&self) -> Result<Store> {
        let Setting { place, store, lock, .. } = self.setting;
        place.store("image-store", store, lock)
    }

    /// How long it takes to write the image into `dist`; `more` makes its top layer another.
    fn write(&self, store: &Store, dist: &Path, more: &[u8]) -> Result<(Duration, Written)> {
        let (lock, sources) = (&self.setting.lock, Sources::new());
        let program = [&program(self.setting.workspace)?, more].concat();
        let mut written = None;
        let time = timed(|| {
            let identity = Identity::of(lock, &sources);
            let tools = self.setting.tools(store);
            let parts = Parts::open(&tools, &self.ops, program)?;
            let smoke = Some(|_: &[Layer<'_>], _: &Path| Ok(()));
            written = Some(run::write(&identity, &parts, &tools, dist, &[], smoke)?);
            Ok(())
        })?;
        let written = written.ok_or_else(|| Error::new(Kind::Io, "no image was written"))?;
        Ok((time, written))
    }

    /// Others that build the generated Dockerfile.
    fn builders(&self, ours: impl Fn(usize) -> Result<Duration>) -> Result<Vec<Row>> {
        let setting = self.setting;
        let context = self.cold()?.1.place.join(CONTEXT);
        let kept = setting.place.fresh("context")?.join(CONTEXT);
        fs::rename(&context, &kept).at("rename the context to", &kept)?;
        let skipped =
            |name, what, why: &str, most| Row::skipped(name, what, why, Unit::Times, most);
        let buildkit = match BuildKit::find(setting) {
            Err(why) => skipped("image-buildkit", BUILDKIT, &why, 1.0 / 6.0),
            Ok(buildkit) => {
                let pairs = pairs(1, &ours, |_| buildkit.time(setting, &kept))?;
                Row::of_pairs("image-buildkit", BUILDKIT, &pairs, Unit::Times, 1.0 / 6.0)
            }
        };
        let buildah = match setting.lacks(cmd!(setting.sh, "buildah --version")) {
            Some(why) => skipped("image-buildah", BUILDAH, &why, 0.1),
            None => {
                let pairs = pairs(1, &ours, |_| builders::buildah(setting, &kept))?;
                Row::of_pairs("image-buildah", BUILDAH, &pairs, Unit::Times, 0.1)
            }
        };
        Ok(vec![buildkit, buildah])
    }

    /// The image again, when all but its top layer is as it was.
    fn edit(&self) -> Result<[Row; 3]> {
        let (store, dist) = (self.store()?, self.setting.place.fresh("image")?);
        let (_, old) = self.write(&store, &dist, b"")?;
        let (time, new) = self.write(&store, &dist, b"# edited\n")?;
        let known = |digest| old.image.layers.iter().any(|layer| layer.blob.digest == digest);
        let (mut bytes, mut sent) = (0, 0);
        for blob in new.image.layers.iter().map(|layer| &layer.blob) {
            bytes += blob.size;
            sent += if known(blob.digest) { 0 } else { blob.size };
        }
        let texts = [&new.documents.config, &new.documents.manifest];
        let texts: u64 = texts.iter().map(|document| document.text.len() as u64).sum();
        let sent = (sent + texts) as f64 / (bytes + texts) as f64;
        let size = bytes as f64 / self.packed() as f64;
        Ok([
            Row::alone("image-edit", EDIT, time.as_secs_f64(), Unit::Seconds, 1.0),
            Row::alone("image-push", PUSH, sent * 100.0, Unit::Percent, 1.0),
            Row::alone("image-size", SIZE, size, Unit::Times, 1.02),
        ])
    }

    /// Bytes of all that is in the image, as it was downloaded.
    fn packed(&self) -> u64 {
        let lock = &self.setting.lock;
        let packages = lock.packages_of(RootKind::Runtime).map(|package| package.size);
        packages.chain(lock.wheels.iter().map(|wheel| wheel.size)).sum()
    }
}
