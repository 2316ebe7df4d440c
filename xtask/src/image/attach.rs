//! What is said about an image, beside it in a registry: its bill of materials and its
//! provenance, as referrers (OCI image specification v1.1, "Guidelines for Artifact Usage";
//! distribution specification v1.1, "Listing Referrers" and "Referrers Tag Schema").

use serde_json::{Value, json};

use crate::digest::Sha256;
use crate::error::{Error, IoContext as _, Kind, Result};
use crate::fetch::registry::{INDEX, MANIFESTS, Manifest, Registry};

use super::oci::{Document, timestamp};
use super::push::{Bytes, Parcel, send};
use super::run::Written;
use super::{bom, provenance};

/// Files in the image's folder, each with its media type.
pub const FILES: [(&str, &str); 2] =
    [(provenance::FILE, "application/vnd.in-toto+json"), (bom::FILE, "application/spdx+json")];

/// An empty config ("Guidance for an Empty Descriptor").
const EMPTY: (&str, &[u8]) = ("application/vnd.oci.empty.v1+json", b"{}");

/// A file that says something about an image.
struct Statement {
    file: &'static str,
    media_type: &'static str,
    text: Vec<u8>,
}

impl Statement {
    /// Its manifest, which refers to the image.
    fn manifest(&self, written: &Written) -> Vec<u8> {
        let subject = &written.documents.manifest;
        // serde_json's maps are sorted: the text is the same each time.
        json!({
            "annotations": self.annotations(written),
            "artifactType": self.media_type,
            "config": described(EMPTY.0, EMPTY.1),
            "layers": [described(self.media_type, &self.text)],
            "mediaType": MANIFESTS[0],
            "schemaVersion": 2,
            "subject": described(MANIFESTS[0], &subject.text),
        })
        .to_string()
        .into_bytes()
    }

    fn annotations(&self, written: &Written) -> Value {
        json!({
            "org.opencontainers.image.created": timestamp(written.image.epoch),
            "org.opencontainers.image.title": self.file,
        })
    }

    /// Its entry in a list of referrers.
    fn entry(&self, written: &Written) -> Value {
        let mut entry = described(MANIFESTS[0], &self.manifest(written));
        entry["artifactType"] = self.media_type.into();
        entry["annotations"] = self.annotations(written);
        entry
    }
}

/// "Content Descriptors".
fn described(media_type: &str, text: &[u8]) -> Value {
    json!({"digest": Sha256::of(text).named(), "mediaType": media_type, "size": text.len()})
}

/// Sends what is said about the image that was `written`; returns the files and how many
/// bytes were sent.
pub fn attach(registry: &Registry, written: &Written) -> Result<(Vec<&'static str>, u64)> {
    let statements = statements(written)?;
    if statements.is_empty() {
        return Ok((Vec::new(), 0));
    }
    let parcel = |text: &[u8]| Parcel {
        digest: Sha256::of(text),
        size: text.len() as u64,
        bytes: Bytes::Here(text.to_vec()),
        from: None,
    };
    let texts = statements.iter().map(|statement| parcel(&statement.text));
    let (_, mut bytes) = send(registry, &texts.chain([parcel(EMPTY.1)]).collect::<Vec<_>>())?;
    for statement in &statements {
        let text = statement.manifest(written);
        let name = Sha256::of(&text).named();
        if registry.manifest(&name, &MANIFESTS)?.is_none() {
            registry.put_manifest(&name, MANIFESTS[0], &text)?;
            bytes += text.len() as u64;
        }
    }
    let subject = &written.documents.manifest;
    if !registry.keeps_referrers(&subject.digest)? {
        let entries: Vec<Value> = statements.iter().map(|one| one.entry(written)).collect();
        bytes += list(registry, subject, &entries)?;
    }
    Ok((statements.iter().map(|statement| statement.file).collect(), bytes))
}

/// The files that are there.
fn statements(written: &Written) -> Result<Vec<Statement>> {
    let mut statements = Vec::new();
    for (file, media_type) in FILES {
        let path = written.place.join(file);
        match std::fs::read(&path) {
            Ok(text) => statements.push(Statement { file, media_type, text }),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
            Err(cause) => return Err(cause).at("read", &path),
        }
    }
    Ok(statements)
}

/// For a registry without a list of referrers: our own, under a tag that clients know.
/// Others' entries stay.
fn list(registry: &Registry, subject: &Document, entries: &[Value]) -> Result<u64> {
    let tag = format!("sha256-{}", subject.digest);
    let old = registry.manifest(&tag, &[INDEX])?;
    let text = with(old.as_ref(), entries).map_err(|why| {
        let name = registry.reference().repository();
        Error::new(Kind::Fetch, format!("{name}:{tag}: {why}"))
            .hint("that tag is for an index of what refers to the image: who pushed it there?")
    })?;
    if old.is_some_and(|old| old.text == text) {
        return Ok(0);
    }
    registry.put_manifest(&tag, INDEX, &text)?;
    Ok(text.len() as u64)
}

/// The index `old`, or a new one, with `entries` in it, each once.
fn with(old: Option<&Manifest>, entries: &[Value]) -> Result<Vec<u8>, String> {
    let Some(old) = old else {
        let index = json!({"manifests": entries, "mediaType": INDEX, "schemaVersion": 2});
        return Ok(index.to_string().into_bytes());
    };
    let no_index = || "expected an index of manifests".to_owned();
    let mut index: Value = serde_json::from_slice(&old.text).map_err(|_| no_index())?;
    let manifests = index.get_mut("manifests").and_then(Value::as_array_mut);
    let manifests = manifests.ok_or_else(no_index)?;
    let before = manifests.len();
    for entry in entries {
        if !manifests.iter().any(|known| known["digest"] == entry["digest"]) {
            manifests.push(entry.clone());
        }
    }
    if manifests.len() == before {
        return Ok(old.text.clone());
    }
    Ok(index.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_grows_and_keeps_what_others_said() {
        let entry = |text: &[u8]| described(MANIFESTS[0], text);
        let first = with(None, &[entry(b"a")]).unwrap();
        let manifest = |text: &[u8]| Manifest {
            digest: Sha256::of(text),
            media_type: INDEX.to_owned(),
            text: text.to_vec(),
        };
        let same = with(Some(&manifest(&first)), &[entry(b"a")]).unwrap();
        assert_eq!(same, first);
        let more = with(Some(&manifest(&first)), &[entry(b"a"), entry(b"b")]).unwrap();
        let more: Value = serde_json::from_slice(&more).unwrap();
        assert_eq!(more["manifests"], json!([entry(b"a"), entry(b"b")]));
        for wrong in [&b"{"[..], b"[]", b"{\"manifests\":{}}"] {
            assert!(with(Some(&manifest(wrong)), &[]).is_err());
        }
    }
}
