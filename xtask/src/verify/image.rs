//! An image in any of its forms against the ledger.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::root::work::spread;

use super::bundle::Bundle;
use super::expected::Expected;
use super::stream::{self, Found, unreadable};
use super::{Finding, around};

const OTHER: &str = "a job on it runs another build than the committed one";
pub(super) const DAMAGED: &str = "it cannot be pulled, or is not what was pushed";
const DEPLOY: &str = "deploy the image by the digest that `cargo xtask image` prints";
pub(super) const AGAIN: &str = "copy it again from where it is whole, or run `cargo xtask image`";

/// A layer as an image names it.
struct Named {
    file: String,
    /// Digest and size that the manifest has, when there is one.
    blob: Option<(String, u64)>,
}

/// Compares the image in `bundle`; returns all differences.
pub fn verify(bundle: &Bundle, expected: &Expected) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let named = match bundle.size("index.json") {
        Some(_) => of_layout(bundle, expected, &mut findings)?,
        None => of_docker(bundle)?,
    };
    compare(bundle, named, expected, findings)
}

/// [`verify`] of what an engine saved. Docker writes an index there from its version 25 on,
/// with a manifest of its own over the plain layers that it keeps: then its older listing says
/// what the image is.
pub fn saved(bundle: &Bundle, expected: &Expected) -> Result<Vec<Finding>> {
    let ours = expected.manifest.named();
    if bundle.size("manifest.json").is_none() || is_named(bundle, &ours)? {
        return verify(bundle, expected);
    }
    compare(bundle, of_docker(bundle)?, expected, Vec::new())
}

/// Whether the index names the manifest `digest`.
fn is_named(bundle: &Bundle, digest: &str) -> Result<bool> {
    Ok(bundle.size("index.json").is_some()
        && bundle.json("index.json")?["manifests"][0]["digest"] == digest)
}

fn compare(
    bundle: &Bundle,
    (config, layers): (String, Vec<Named>),
    expected: &Expected,
    mut findings: Vec<Finding>,
) -> Result<Vec<Finding>> {
    let read = |layer: &Named| {
        let bytes = bundle.open(&layer.file)?;
        stream::read(bytes).map_err(|cause| unreadable(&format!("`{}`", layer.file), &cause))
    };
    let found = spread(&layers, read)?;
    for (layer, found) in layers.iter().zip(&found) {
        findings.extend(stored(layer, found));
    }
    findings.extend(config_of(bundle, &config, expected, &found)?);
    findings.extend(stacked(&found, expected));
    Ok(findings)
}

/// Follows index and manifest (OCI image specification v1.1).
fn of_layout(
    bundle: &Bundle,
    expected: &Expected,
    findings: &mut Vec<Finding>,
) -> Result<(String, Vec<Named>)> {
    let index = bundle.json("index.json")?;
    let manifests = index["manifests"].as_array().map_or(&[][..], Vec::as_slice);
    let [descriptor] = manifests else {
        let message =
            format!("`{}` holds {} images: one is expected", bundle.name(), manifests.len());
        return Err(Error::new(Kind::Archive, message));
    };
    let (name, digest, size) = descriptor_of(bundle, descriptor)?;
    let mut used = BTreeSet::from([name.clone()]);
    if digest != expected.manifest.named() {
        let what = format!("the image is {digest}, the ledger's is sha256:{}", expected.manifest);
        findings.push(Finding::new(what, OTHER, DEPLOY));
    }
    findings.extend(text(bundle, &name, &digest, size)?);
    let manifest = bundle.json(&name)?;
    findings.extend(around::index(&index, &manifest, expected));
    findings.extend(around::layout(bundle)?);
    let (config, digest, size) = descriptor_of(bundle, &manifest["config"])?;
    findings.extend(text(bundle, &config, &digest, size)?);
    used.insert(config.clone());
    let mut layers = Vec::new();
    for layer in manifest["layers"].as_array().map_or(&[][..], Vec::as_slice) {
        let (file, digest, size) = descriptor_of(bundle, layer)?;
        used.insert(file.clone());
        layers.push(Named { file, blob: Some((digest, size)) });
    }
    for name in bundle.names().filter(|name| name.starts_with("blobs/") && !used.contains(*name)) {
        findings.push(Finding::new(
            format!("`{name}` belongs to nothing"),
            "it is dead weight",
            "remove it",
        ));
    }
    Ok((config, layers))
}

/// File, digest and size that a descriptor names.
fn descriptor_of(bundle: &Bundle, descriptor: &Value) -> Result<(String, String, u64)> {
    let digest = descriptor["digest"].as_str().and_then(Sha256::from_name);
    match (digest, descriptor["size"].as_u64()) {
        (Some(digest), Some(size)) => Ok((digest.blob(), digest.named(), size)),
        _ => Err(Error::new(
            Kind::Archive,
            format!("`{}` has a descriptor without sha256 digest and size", bundle.name()),
        )),
    }
}

/// A JSON blob must be what it is called, and as long as is said.
fn text(bundle: &Bundle, name: &str, digest: &str, size: u64) -> Result<Option<Finding>> {
    let bytes = bundle.text(name)?;
    let (found, there) = (Sha256::of(&bytes).named(), bytes.len() as u64);
    let what = match found == digest {
        false => format!("`{name}` is {found}"),
        true if there != size => format!("`{name}`: expected {size} bytes, found {there}"),
        true => return Ok(None),
    };
    Ok(Some(Finding::new(what, DAMAGED, AGAIN)))
}

/// What `docker save` writes: layers as docker keeps them, uncompressed.
fn of_docker(bundle: &Bundle) -> Result<(String, Vec<Named>)> {
    let listing = bundle.json("manifest.json")?;
    let wrong = || {
        Error::new(
            Kind::Archive,
            format!("`{}`: `manifest.json` does not name one image", bundle.name()),
        )
    };
    let [image] = listing.as_array().ok_or_else(wrong)?.as_slice() else { return Err(wrong()) };
    let config = image["Config"].as_str().ok_or_else(wrong)?.to_owned();
    let layers = image["Layers"].as_array().ok_or_else(wrong)?.iter();
    let layers = layers.map(|name| Some(Named { file: name.as_str()?.to_owned(), blob: None }));
    Ok((config, layers.collect::<Option<_>>().ok_or_else(wrong)?))
}

/// A layer's stored bytes must be what the manifest says.
fn stored(layer: &Named, found: &Found) -> Option<Finding> {
    let (digest, size) = layer.blob.as_ref()?;
    let real = found.digest.named();
    (real != *digest || found.size != *size).then(|| {
        let what = format!(
            "`{}`: expected {digest}, {size} bytes, found {real}, {} bytes",
            layer.file, found.size
        );
        Finding::new(what, DAMAGED, AGAIN)
    })
}

/// The config must be ours, and name the layers that are there.
fn config_of(
    bundle: &Bundle,
    config: &str,
    expected: &Expected,
    found: &[Found],
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let value = bundle.json(config)?;
    let named = value["rootfs"]["diff_ids"].as_array().map_or(&[][..], Vec::as_slice);
    let named: Vec<_> = named.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let there: Vec<_> = found.iter().map(|found| found.diff_id.named()).collect();
    if named != there {
        let what = format!("the config names the layers {named:?}, there are {there:?}");
        findings.push(Finding::new(what, DAMAGED, AGAIN));
    }
    if bundle.text(config)? != expected.config.text {
        let ours: Value = serde_json::from_slice(&expected.config.text).unwrap_or_default();
        for key in ["architecture", "config", "created", "os"] {
            differing(&format!("config `{key}`"), &ours[key], &value[key], &mut findings);
        }
    }
    Ok(findings)
}

/// The parts of two JSON values that differ, each with its place. Variables have no order.
fn differing(place: &str, ours: &Value, theirs: &Value, findings: &mut Vec<Finding>) {
    let set = |value: &Value| -> BTreeSet<String> {
        value.as_array().into_iter().flatten().map(Value::to_string).collect()
    };
    if place.ends_with("`Env`") && set(ours) == set(theirs) {
        return;
    }
    if let (Value::Object(a), Value::Object(b)) = (ours, theirs) {
        for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
            differing(&format!("{place} `{key}`"), &ours[key], &theirs[key], findings);
        }
    } else if ours != theirs && !(ours.is_null() && is_empty(theirs)) {
        let what = format!("{place}: expected {ours}, found {theirs}");
        findings.push(Finding::new(
            what,
            "a container of it starts otherwise, or says another identity",
            DEPLOY,
        ));
    }
}

/// What builders add where a config says nothing.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// The layers must be the ledger's, in its order, and written by Lockstep.
fn stacked(found: &[Found], expected: &Expected) -> Vec<Finding> {
    let mut findings = Vec::new();
    for at in 0..found.len().max(expected.layers.len()) {
        let (what, means) = match (expected.layers.get(at), found.get(at)) {
            (Some((_, diff_id)), Some(found)) if *diff_id == found.diff_id => continue,
            (Some((name, diff_id)), Some(found)) => {
                let foreign = found.foreign.as_ref();
                let foreign = foreign.map_or_else(String::new, |why| format!(" ({why})"));
                (
                    format!(
                        "layer `{name}`: expected diff id {diff_id}, found {}{foreign}",
                        found.diff_id
                    ),
                    OTHER,
                )
            }
            (Some((name, _)), None) => (format!("layer `{name}` is missing"), OTHER),
            (None, Some(found)) => (
                format!("a layer too many, diff id {}", found.diff_id),
                "it may hide files of ours",
            ),
            (None, None) => continue,
        };
        findings.push(Finding::new(what, means, DEPLOY));
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::BufReader;
    use std::path::{Path, PathBuf};

    use serde_json::json;

    use super::*;
    use crate::image::diff::Records;
    use crate::image::layer::Layer;
    use crate::image::layout::Draft;
    use crate::image::oci;
    use crate::image::oci::{Image, Start};
    use crate::image::unpack::unpacked;
    use crate::lock::Compression;
    use crate::store::Store;

    /// A layout of two layers, and what is expected of it.
    fn layout(folder: &Path) -> (PathBuf, Expected) {
        let draft = Draft::begin(folder, "image").unwrap();
        let store = Store::at(folder.join("store"));
        let layers = ["base", "ops"].map(|name| {
            let mut layer = Layer::new(name, 0);
            layer.add_bytes(name, 0o644, name.as_bytes().to_vec()).unwrap();
            let blob = draft.layer(&store, &layer, Records::Check).unwrap();
            let (name_, about) = (name.to_owned(), String::new());
            (name, oci::Layer { name: name_, about, blob, compression: Compression::Gzip })
        });
        let image = Image {
            platform: "linux/amd64".to_owned(),
            epoch: 0,
            start: Start { user: "1000:1000".to_owned(), ..Start::default() },
            labels: [("l".to_owned(), "1".to_owned())].into(),
            layers: layers.iter().map(|(_, layer)| layer.clone()).collect(),
        };
        let documents = image.documents("t").unwrap();
        draft.documents(&documents).unwrap();
        let place = draft.publish().unwrap().join("oci");
        let diff_ids = layers.iter().map(|(name, layer)| (*name, layer.blob.diff_id));
        let expected = Expected {
            layers: diff_ids.collect(),
            manifest: documents.manifest.digest,
            config: documents.config,
        };
        (place, expected)
    }

    fn lines(place: &Path, expected: &Expected) -> String {
        match Bundle::of_folder(place).and_then(|bundle| verify(&bundle, expected)) {
            Ok(findings) => findings.iter().map(|f| format!("{f}\n")).collect(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_whole_layout_has_no_findings() {
        let folder = tempfile::tempdir().unwrap();
        let (place, expected) = layout(folder.path());
        assert_eq!(lines(&place, &expected), "");
    }

    #[test]
    fn any_flipped_byte_of_any_file_is_seen_and_so_is_a_file_too_many_or_too_few() {
        let folder = tempfile::tempdir().unwrap();
        let (place, expected) = layout(folder.path());
        let bundle = Bundle::of_folder(&place).unwrap();
        for name in bundle.names().filter(|name| name.starts_with("blobs/")) {
            let path = place.join(name);
            let whole = fs::read(&path).unwrap();
            for at in (0..whole.len()).step_by(7) {
                let mut flipped = whole.clone();
                flipped[at] ^= 4;
                fs::write(&path, &flipped).unwrap();
                assert_ne!(lines(&place, &expected), "", "{name}, byte {at}");
            }
            fs::write(&path, &whole[..whole.len() / 2]).unwrap();
            assert_ne!(lines(&place, &expected), "", "{name}, cut");
            fs::remove_file(&path).unwrap();
            assert!(lines(&place, &expected).contains("has no `blobs/sha256/"), "{name}, gone");
            fs::write(&path, &whole).unwrap();
        }
        fs::write(place.join("blobs/sha256/x"), "").unwrap();
        assert_eq!(
            lines(&place, &expected),
            "`blobs/sha256/x` belongs to nothing: it is dead weight; remove it\n"
        );
    }

    #[test]
    fn what_no_digest_covers_is_compared_too() {
        let folder = tempfile::tempdir().unwrap();
        let (place, expected) = layout(folder.path());
        let mut said = String::new();
        for (file, ours, other) in [
            ("index.json", r#""size":"#, r#""size":1"#),
            ("index.json", "image.manifest", "image.config"),
            ("index.json", "image.index", "image.list"),
            ("index.json", r#""schemaVersion":2"#, r#""schemaVersion":1"#),
            ("index.json", "amd64", "arm64"),
            ("index.json", r#""linux""#, r#""windows""#),
            ("oci-layout", "1.0.0", "1.0.1"),
        ] {
            let whole = fs::read_to_string(place.join(file)).unwrap();
            fs::write(place.join(file), whole.replacen(ours, other, 1)).unwrap();
            let found = Bundle::of_folder(&place).and_then(|bundle| verify(&bundle, &expected));
            said.extend(found.unwrap().iter().map(|finding| format!("{}\n", finding.what)));
            fs::write(place.join(file), whole).unwrap();
        }
        insta::assert_snapshot!(said, @r#"
        `blobs/sha256/03bbac185cd512a3427e3eb6731b76667e6a28abea84df7a1606eaf651cbf0d7`: expected 1577 bytes, found 577
        `index.json`: manifest's mediaType: expected "application/vnd.oci.image.manifest.v1+json", found "application/vnd.oci.image.config.v1+json"
        `index.json`: mediaType: expected "application/vnd.oci.image.index.v1+json", found "application/vnd.oci.image.list.v1+json"
        `index.json`: schemaVersion: expected 2, found 1
        `index.json`: architecture: expected "amd64", found "arm64"
        `index.json`: os: expected "linux", found "windows"
        `oci-layout`: version: expected {"imageLayoutVersion":"1.0.0"}, found {"imageLayoutVersion":"1.0.1"}
        "#);
    }

    #[test]
    fn what_docker_saves_below_an_index_of_its_own_is_held_against_the_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let (place, mut expected) = layout(folder.path());
        let bundle = Bundle::of_folder(&place).unwrap();
        let (config, layers) = of_layout(&bundle, &expected, &mut Vec::new()).unwrap();
        let plain = layers.iter().zip(&expected.layers).map(|(layer, (_, diff_id))| {
            let stored = BufReader::new(bundle.open(&layer.file).unwrap());
            let mut file = fs::File::create(place.join(diff_id.blob())).unwrap();
            std::io::copy(&mut unpacked(stored).unwrap(), &mut file).unwrap();
            diff_id.blob()
        });
        let listing = json!([{"Config": config, "Layers": plain.collect::<Vec<_>>()}]);
        fs::write(place.join("manifest.json"), listing.to_string()).unwrap();
        let index = fs::read_to_string(place.join("index.json")).unwrap();
        let dockers = Sha256::of(b"docker's").to_string();
        let index = index.replace(&expected.manifest.to_string(), &dockers);
        fs::write(place.join("index.json"), index).unwrap();
        let bundle = Bundle::of_folder(&place).unwrap();
        assert_eq!(saved(&bundle, &expected).unwrap(), []);
        expected.layers[1].1 = Sha256::of(b"another");
        assert_eq!(saved(&bundle, &expected).unwrap().len(), 1);
    }

    #[test]
    fn another_build_is_said_layer_by_layer() {
        let folder = tempfile::tempdir().unwrap();
        let (place, mut expected) = layout(folder.path());
        expected.layers[1].1 = Sha256::of(b"another");
        expected.layers.push(("top", Sha256::of(b"top")));
        expected.config.text = br#"{"architecture":"amd64","config":{"User":"0"}}"#.to_vec();
        insta::assert_snapshot!(lines(&place, &expected), @r#"
        config `config` `Cmd`: expected null, found []: a container of it starts otherwise, or says another identity; deploy the image by the digest that `cargo xtask image` prints
        config `config` `Entrypoint`: expected null, found []: a container of it starts otherwise, or says another identity; deploy the image by the digest that `cargo xtask image` prints
        config `config` `Labels`: expected null, found {"l":"1"}: a container of it starts otherwise, or says another identity; deploy the image by the digest that `cargo xtask image` prints
        config `config` `User`: expected "0", found "1000:1000": a container of it starts otherwise, or says another identity; deploy the image by the digest that `cargo xtask image` prints
        config `created`: expected null, found "1970-01-01T00:00:00Z": a container of it starts otherwise, or says another identity; deploy the image by the digest that `cargo xtask image` prints
        config `os`: expected null, found "linux": a container of it starts otherwise, or says another identity; deploy the image by the digest that `cargo xtask image` prints
        layer `ops`: expected diff id ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5, found 42de153a659f9d5c99cf9a66e78cb701e40455e8348ad880a2bd8ec58a14c008: a job on it runs another build than the committed one; deploy the image by the digest that `cargo xtask image` prints
        layer `top` is missing: a job on it runs another build than the committed one; deploy the image by the digest that `cargo xtask image` prints
        "#);
    }
}
