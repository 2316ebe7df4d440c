//! The peer of a root: mmdebstrap, from the same packages.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use xshell::cmd;

use crate::error::{IoContext as _, Result};
use crate::lock::RootKind;
use crate::root;

use super::pair::{pairs, timed};
use super::place::link;
use super::row::{Row, Unit};
use super::setting::Setting;

/// Both roots, against `mmdebstrap --variant=extract`, which runs no maintainer script either.
pub fn debootstrap(setting: &Setting<'_>) -> Result<Vec<Row>> {
    const WHAT: &str = "builder and runtime root from packages / `mmdebstrap --variant=extract`";
    const MOST: f64 = 0.1;
    if let Some(why) = setting.lacks(cmd!(setting.sh, "mmdebstrap --version")) {
        return Ok(vec![Row::skipped("debootstrap", WHAT, &why, Unit::Times, MOST)]);
    }
    let archives = [RootKind::Builder, RootKind::Runtime].map(|kind| Archive::of(setting, kind));
    let [builder, runtime] = archives;
    let (builder, runtime) = (builder?, runtime?);
    let pairs = pairs(
        setting.runs,
        |_| {
            let store = setting.place.store("roots", setting.store, &setting.lock)?;
            timed(|| {
                root::builder::ensure(&setting.lock, &store)?;
                root::runtime::ensure(&setting.lock, &store).map(drop)
            })
        },
        |_| Ok(builder.unpack(setting)? + runtime.unpack(setting)?),
    )?;
    Ok(vec![Row::of_pairs("debootstrap", WHAT, &pairs, Unit::Times, MOST)])
}

/// A flat archive of a root's packages.
struct Archive {
    folder: PathBuf,
    names: String,
}

impl Archive {
    /// With an index that names no dependency: the lock leaves some out, and apt would object.
    fn of(setting: &Setting<'_>, kind: RootKind) -> Result<Self> {
        let folder = setting.place.fresh(&format!("archive-{kind:?}").to_lowercase())?;
        let (mut index, mut names) = (String::new(), Vec::new());
        for package in setting.lock.packages_of(kind) {
            let file = format!("{}.deb", package.sha256);
            link(setting.store, &package.sha256, &folder.join(&file))?;
            let crate::lock::Package { name, version, architecture, size, sha256, .. } = package;
            let _infallible = writeln!(
                index,
                "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n\
                 Maintainer: none\nDescription: none\n\
                 Filename: ./{file}\nSize: {size}\nSHA256: {sha256}\n"
            );
            names.push(name.clone());
        }
        let path = folder.join("Packages");
        fs::write(&path, index).at("write", &path)?;
        Ok(Archive { folder, names: names.join(",") })
    }

    /// How long mmdebstrap takes to unpack them all.
    fn unpack(&self, setting: &Setting<'_>) -> Result<Duration> {
        let target = setting.place.fresh("mmdebstrap")?.join("root");
        let source = format!("deb [trusted=yes] copy:{} ./", self.folder.display());
        let (sh, names) = (&setting.sh, &self.names);
        let step = cmd!(
            sh,
            "mmdebstrap --quiet --mode=root --variant=extract --include={names} '' {target} {source}"
        );
        timed(|| setting.read(step).map(drop))
    }
}
