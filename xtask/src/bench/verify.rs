//! Hashing an unpacked image, against openssl.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xshell::cmd;

use crate::build::source::Sources;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::image::command::program;
use crate::image::identity::Identity;
use crate::image::stack::Parts;
use crate::root;
use crate::root::runtime::dist_packages;
use crate::verify::tree;

use super::image::find_wheel;
use super::pair::{pairs, timed};
use super::row::{Row, Unit};
use super::setting::Setting;

/// All but the ops' layer, which is nothing beside the others.
pub fn verify(setting: &Setting<'_>) -> Result<Vec<Row>> {
    const WHAT: &str = "`verify` of an unpacked image / `openssl sha256` on all cores";
    if let Some(why) = setting.lacks(cmd!(setting.sh, "openssl version")) {
        return Ok(vec![Row::skipped("verify", WHAT, &why, Unit::Times, 1.0)]);
    }
    let (lock, store, sources) = (&setting.lock, setting.store, Sources::new());
    let ops = find_wheel(&setting.built()?.dist())?;
    let tools = setting.tools(store);
    let parts = Parts::open(&tools, &ops, program(setting.workspace)?)?;
    let layers = parts.layers(&Identity::of(lock, &sources))?;
    let layers = &layers[..layers.len() - 1];
    let place = setting.place.fresh("unpacked")?;
    copy(setting, &root::runtime::ensure(lock, store)?, &place)?;
    copy(setting, &root::site::ensure(lock, store)?, &place.join(dist_packages(&lock.python)))?;
    for (path, bytes) in layers.iter().flat_map(|layer| layer.own_files()) {
        let path = place.join(path);
        let folder = path.parent().unwrap_or(&place);
        fs::create_dir_all(folder).at("create", folder)?;
        fs::write(&path, bytes).at("write", &path)?;
    }
    let openssl = Openssl::of(setting, &place)?;
    let ours = || match tree::verify(&place, layers)?.first() {
        None => Ok(()),
        Some(finding) => Err(Error::new(Kind::Io, format!("the copy differs: {finding}"))),
    };
    let pairs = pairs(setting.runs.max(3), |_| timed(ours), |_| openssl.time(setting))?;
    Ok(vec![Row::of_pairs("verify", WHAT, &pairs, Unit::Times, 1.0)])
}

/// Copies all that is in the folder `from` into the folder `to`.
fn copy(setting: &Setting<'_>, from: &Path, to: &Path) -> Result<()> {
    let all = from.join(".");
    setting.read(cmd!(setting.sh, "cp -a --reflink=auto {all} {to}")).map(drop)
}

/// Files shared out to as many `openssl` as there are cores: each has as many bytes.
pub struct Openssl(Vec<PathBuf>);

impl Openssl {
    /// For all files below `root`, shared out beforehand.
    pub fn of(setting: &Setting<'_>, root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for item in fs::read_dir(&folder).at("read", &folder)? {
                let item = item.at("read", &folder)?;
                let (path, stat) = (item.path(), item.metadata().at("read", &folder)?);
                match stat.is_dir() {
                    true => folders.push(path),
                    false if stat.is_file() => files.push((stat.len(), path)),
                    false => {}
                }
            }
        }
        files.sort_by_key(|(size, _)| std::cmp::Reverse(*size));
        let mut lists = vec![(0, String::new()); setting.cores];
        for (size, path) in files {
            if let Some((bytes, list)) = lists.iter_mut().min_by_key(|(bytes, _)| *bytes) {
                *bytes += size;
                list.push_str(&format!("{}\0", path.display()));
            }
        }
        let folder = setting.place.fresh("openssl")?;
        let written = lists.into_iter().enumerate().map(|(at, (_, list))| {
            let path = folder.join(at.to_string());
            fs::write(&path, list).at("write", &path).map(|()| path)
        });
        written.collect::<Result<_>>().map(Openssl)
    }

    /// How long they all take.
    pub fn time(&self, setting: &Setting<'_>) -> Result<Duration> {
        let (lists, sh) = (&self.0, &setting.sh);
        let words = "for list; do xargs -0 -a \"$list\" openssl sha256 >/dev/null & done; wait";
        timed(|| setting.read(cmd!(sh, "sh -c {words} sh {lists...}")).map(drop))
    }
}
