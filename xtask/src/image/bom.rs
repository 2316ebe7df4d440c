//! The bill of materials: SPDX 2.3 (ISO/IEC 5962's successor, "JSON serialization"), a
//! function of the lock and of the digests of what was made.

use serde_json::{Value, json};

use crate::digest::Sha256;
use crate::ledger::Row;
use crate::lock::{Base, Lock, Package, RootKind, Wheel};

use super::oci::timestamp;

/// Its name beside the image.
pub const FILE: &str = "sbom.spdx.json";

/// What SPDX says where nothing is claimed.
const UNCLAIMED: &str = "NOASSERTION";
const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";

/// What is in the image whose manifest has the digest `image`: the base image, the runtime's
/// Debian packages and the wheels of `lock`, and the wheel of ops among `outputs`.
pub fn bom(lock: &Lock, outputs: &[Row], image: &Sha256) -> Value {
    let ops = outputs.iter().filter(|row| row.file.ends_with(".whl"));
    let parts: Vec<Value> = (lock.base.iter().map(base))
        .chain(lock.packages_of(RootKind::Runtime).map(debian))
        .chain(lock.wheels.iter().map(wheel))
        .chain(ops.map(|row| made(lock, row)))
        .collect();
    let contains = parts.iter().map(|part| relation(IMAGE, "CONTAINS", &part["SPDXID"]));
    let described = relation(DOCUMENT, "DESCRIBES", &IMAGE.into());
    let relations: Vec<Value> = std::iter::once(described).chain(contains).collect();
    let packages: Vec<Value> = std::iter::once(whole(lock, image)).chain(parts).collect();
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": format!("{} {}", lock.ops.name, lock.ops.version),
        "documentNamespace": format!("https://spdx.org/spdxdocs/lockstep-{image}"),
        "creationInfo": {
            "created": timestamp(lock.epoch),
            "creators": [concat!("Tool: lockstep-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relations,
    })
}

fn relation(from: &str, sort: &str, to: &Value) -> Value {
    json!({ "spdxElementId": from, "relationshipType": sort, "relatedSpdxElement": to })
}

/// The image itself.
fn whole(lock: &Lock, image: &Sha256) -> Value {
    let purpose = "CONTAINER";
    let mut value = package(IMAGE, &lock.ops.name, &lock.ops.version, image, purpose);
    value["comment"] = "the checksum is that of the image's manifest: its name".into();
    value
}

/// The image that all stands on; of what is in it nothing is known.
fn base(base: &Base) -> Value {
    let Base { name, digest, .. } = base;
    let mut value = package(&id("oci", name), name, &digest.named(), digest, "CONTAINER");
    value["externalRefs"] = json!([purl(&format!(
        "pkg:oci/{}@{}?repository_url={}",
        escaped(name.rsplit('/').next().unwrap_or(name)),
        escaped(&digest.named()),
        escaped(name)
    ))]);
    value
}

fn debian(package_: &Package) -> Value {
    let Package { name, version, architecture, path, sha256, .. } = package_;
    let mut value = package(&id("deb", name), name, version, sha256, "LIBRARY");
    value["packageFileName"] = path.rsplit('/').next().unwrap_or(path).into();
    value["externalRefs"] = json!([purl(&format!(
        "pkg:deb/debian/{}@{}?arch={architecture}",
        escaped(name),
        escaped(version)
    ))]);
    value
}

fn wheel(wheel: &Wheel) -> Value {
    python(&wheel.name, &wheel.version, &wheel.file, &wheel.sha256)
}

fn made(lock: &Lock, row: &Row) -> Value {
    python(&lock.ops.name, &lock.ops.version, &row.file, &row.sha256)
}

fn python(name: &str, version: &str, file: &str, sha256: &Sha256) -> Value {
    let mut value = package(&id("pypi", name), name, version, sha256, "LIBRARY");
    value["packageFileName"] = file.into();
    let name = format!("pkg:pypi/{}@{}", escaped(name), escaped(version));
    value["externalRefs"] = json!([purl(&name)]);
    value
}

fn package(id: &str, name: &str, version: &str, sha256: &Sha256, purpose: &str) -> Value {
    json!({
        "SPDXID": id,
        "name": name,
        "versionInfo": version,
        "checksums": [{ "algorithm": "SHA256", "checksumValue": sha256.to_string() }],
        "copyrightText": UNCLAIMED,
        "downloadLocation": UNCLAIMED,
        "filesAnalyzed": false,
        "licenseConcluded": UNCLAIMED,
        "licenseDeclared": UNCLAIMED,
        "primaryPackagePurpose": purpose,
    })
}

/// Package URL specification 1.0, as an external reference.
fn purl(name: &str) -> Value {
    json!({
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": name,
    })
}

/// An identifier has letters, digits, `.` and `-` ("Package SPDX identifier field").
fn id(sort: &str, name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let spelled = name.chars().map(|c| match c {
        '-' => "--".to_owned(), // so that no two names become one
        c if allowed(c) => c.to_string(),
        c => format!("-x{:x}", u32::from(c)),
    });
    format!("SPDXRef-{sort}-{}", spelled.collect::<String>())
}

/// Percent-encoded (RFC 3986, section 2.1) but for its unreserved characters.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_image_is_named_once_with_its_digest() {
        let mut lock = Lock::example();
        let (name, digest) = ("house.example/base".to_owned(), Sha256::of(b"base"));
        lock.base = Some(Base { name, digest, layers: Vec::new() });
        let row = |file| Row::new("*", file, "linux/amd64", Sha256::of(b"ops"));
        let rows = [row("ops-1-py3-none-any.whl"), row("libx.so")];
        let bom = bom(&lock, &rows, &Sha256::of(b"image"));
        let packages = bom["packages"].as_array().unwrap();
        let runtime = lock.packages_of(RootKind::Runtime).count();
        assert_eq!(packages.len(), 1 + 1 + runtime + lock.wheels.len() + 1);
        let name = "pkg:oci/base@sha256%3Acae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2?repository_url=house.example%2Fbase";
        assert_eq!(packages[1]["externalRefs"][0]["referenceLocator"], name);
        let ids: std::collections::BTreeSet<_> =
            packages.iter().map(|p| p["SPDXID"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), packages.len());
        for part in &packages[1..] {
            let related = |r: &Value| r["relatedSpdxElement"] == part["SPDXID"];
            let relations = bom["relationships"].as_array().unwrap();
            assert_eq!(relations.iter().filter(|r| related(r)).count(), 1, "{part}");
        }
    }

    #[test]
    fn names_are_spelled_as_their_formats_ask() {
        assert_eq!(id("deb", "libstdc++6"), "SPDXRef-deb-libstdc-x2b-x2b6");
        assert_ne!(id("deb", "a-x2b"), id("deb", "a+"));
        assert_eq!(escaped("1:2.0+b~1-3"), "1%3A2.0%2Bb~1-3");
    }
}
