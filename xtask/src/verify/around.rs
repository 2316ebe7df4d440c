//! What is around a manifest, and no digest covers: clients look at it before they pull.

use serde_json::Value;

use crate::error::Result;
use crate::image::oci;

use super::Finding;
use super::bundle::Bundle;
use super::expected::Expected;
use super::image::{AGAIN, DAMAGED};

/// Compares the index of one image, whose manifest is `manifest`.
pub fn index(index: &Value, manifest: &Value, expected: &Expected) -> Vec<Finding> {
    let descriptor = &index["manifests"][0];
    let config: Value = serde_json::from_slice(&expected.config.text).unwrap_or_default();
    let (version, media) = (Value::from(2), Value::from(oci::INDEX));
    let version = ("schemaVersion", &version, &index["schemaVersion"]);
    let optional = [
        ("mediaType", &media, &index["mediaType"]),
        ("manifest's mediaType", &manifest["mediaType"], &descriptor["mediaType"]),
        ("architecture", &config["architecture"], &descriptor["platform"]["architecture"]),
        ("os", &config["os"], &descriptor["platform"]["os"]),
    ];
    let optional = optional.into_iter().filter(|(_, a, b)| !a.is_null() && !b.is_null());
    let rows = std::iter::once(version).chain(optional);
    rows.filter_map(|(what, ours, found)| differs("index.json", what, ours, found)).collect()
}

/// Compares the file that makes a folder a layout; an archive may have none.
pub fn layout(bundle: &Bundle) -> Result<Option<Finding>> {
    let name = "oci-layout";
    if bundle.size(name).is_none() {
        return Ok(None);
    }
    let ours: Value = serde_json::from_str(oci::LAYOUT).unwrap_or_default();
    Ok(differs(name, "version", &ours, &bundle.json(name)?))
}

fn differs(file: &str, what: &str, ours: &Value, found: &Value) -> Option<Finding> {
    (ours != found).then(|| {
        let what = format!("`{file}`: {what}: expected {ours}, found {found}");
        Finding::new(what, DAMAGED, AGAIN)
    })
}
