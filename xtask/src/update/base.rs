//! The image that ours starts from: a pinned digest to its layers.

use serde_json::Value;

use super::{Sources, online};
use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::fetch::base::Place;
use crate::fetch::registry::{INDEX, MANIFESTS};
use crate::lock::{Base, BaseLayer, Lock};

/// A list of manifests, as docker calls it.
const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Layers that docker and OCI mean by one thing.
const LAYERS: [&str; 2] = [
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];

/// The pinned base, as it was locked before or as its registry has it: a digest says it all.
pub(super) fn resolve(sources: Sources<'_>, old: Option<&Lock>) -> Result<Option<Base>> {
    let Some(pinned) = &sources.pins.image.base else { return Ok(None) };
    let known = old.and_then(|old| old.base.as_ref());
    let same = |base: &&Base| base.digest == pinned.digest && base.name == pinned.repository;
    if let Some(base) = known.filter(same) {
        return Ok(Some(base.clone()));
    }
    let place = Place::open(&pinned.repository, sources.fetch)?;
    if place.is_remote() {
        online(sources, "the base's layers are asked of its registry")?;
    }
    let base = Named { place: &place, name: pinned.to_string() };
    let layers = base.layers(&pinned.digest, &sources.pins.platform.to_string())?;
    Ok(Some(Base { name: pinned.repository.clone(), digest: pinned.digest, layers }))
}

struct Named<'a> {
    place: &'a Place,
    name: String,
}

impl Named<'_> {
    fn layers(&self, digest: &Sha256, platform: &str) -> Result<Vec<BaseLayer>> {
        let accept = [MANIFESTS[0], MANIFESTS[1], INDEX, LIST];
        let mut manifest = self.json(&self.place.manifest(digest, &accept)?)?;
        if let Some(choice) = manifest["manifests"].as_array() {
            let fits = |one: &&Value| {
                let part = |key: &str| one["platform"][key].as_str().unwrap_or_default();
                format!("{}/{}", part("os"), part("architecture")) == platform
            };
            let one = choice.iter().find(fits);
            let one = one.ok_or_else(|| self.wrong(&format!("it is not there for {platform}")))?;
            let (digest, _) = self.descriptor(one)?;
            manifest = self.json(&self.place.manifest(&digest, &MANIFESTS)?)?;
        }
        let (config, size) = self.descriptor(&manifest["config"])?;
        let config = self.json(&self.place.small(&config, size)?)?;
        let part = |key: &str| config[key].as_str().unwrap_or_default();
        let found = format!("{}/{}", part("os"), part("architecture"));
        if found != platform {
            return Err(self.wrong(&format!("expected an image for {platform}, found {found}")));
        }
        let diff_ids = config["rootfs"]["diff_ids"].as_array().map_or(&[][..], Vec::as_slice);
        let layers = manifest["layers"].as_array().map_or(&[][..], Vec::as_slice);
        if layers.is_empty() || layers.len() != diff_ids.len() {
            let why = format!("{} layers, {} in its config", layers.len(), diff_ids.len());
            return Err(self.wrong(&why));
        }
        layers.iter().zip(diff_ids).map(|(layer, diff_id)| self.layer(layer, diff_id)).collect()
    }

    fn layer(&self, layer: &Value, diff_id: &Value) -> Result<BaseLayer> {
        let kind = layer["mediaType"].as_str().unwrap_or_default();
        if !LAYERS.contains(&kind) {
            return Err(self.wrong(&format!("a layer is {}, no gzip", kind.escape_debug())));
        }
        let (sha256, size) = self.descriptor(layer)?;
        let diff_id = digest_of(diff_id).ok_or_else(|| self.wrong("a diff id is no digest"))?;
        Ok(BaseLayer { size, sha256, diff_id })
    }

    fn descriptor(&self, value: &Value) -> Result<(Sha256, u64)> {
        let found = digest_of(&value["digest"]).zip(value["size"].as_u64());
        found.ok_or_else(|| self.wrong("a descriptor without digest and size"))
    }

    fn json(&self, text: &[u8]) -> Result<Value> {
        serde_json::from_slice(text).map_err(|_| self.wrong("one of its texts is no JSON"))
    }

    fn wrong(&self, why: &str) -> Error {
        Error::new(Kind::Archive, format!("`image.base` {}: {why}", self.name))
    }
}

fn digest_of(value: &Value) -> Option<Sha256> {
    Sha256::from_name(value.as_str()?)
}
