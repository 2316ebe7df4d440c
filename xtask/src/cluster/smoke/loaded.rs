//! The image of `dist/`, loaded into Docker.

use xshell::cmd;

use crate::command;
use crate::engine;
use crate::error::{Error, Kind, Result};
use crate::image;
use crate::lock::Lock;
use crate::temporary;

use super::unpacked::Image;

/// Sees to it that Docker has the image; what it calls it.
pub fn ensure(image: &Image, lock: &Lock) -> Result<String> {
    let (sh, env) = (command::shell()?, engine::client());
    let tag = image::run::named(lock, &image.manifest.short());
    let ask = || {
        let id = command::read(cmd!(sh, "docker image inspect --format {ID} {tag}"), &env)?;
        Ok(id.trim().to_owned())
    };
    // Docker's older store calls an image by its config, the newer one by its manifest.
    let ours = |id: &str| [image.config.digest, image.manifest].iter().any(|d| id == d.named());
    if let Some(id) = ask().ok().filter(|id: &String| ours(id)) {
        return Ok(id);
    }
    let folder = temporary::folder()?;
    let path = folder.path().join("image.tar");
    image.docker(lock.epoch).write(&tag, &path)?;
    command::read(cmd!(sh, "docker load --quiet --input {path}"), &env)?;
    let id: String = ask()?;
    match ours(&id) {
        true => Ok(id),
        false => Err(Error::new(
            Kind::Digest,
            format!("docker made {id} of the image: expected sha256:{}", image.config.digest),
        )),
    }
}

/// What docker says an image's name is.
const ID: &str = "{{.Id}}";
