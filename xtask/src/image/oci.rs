//! The JSON of an image (OCI Image Format Specification v1.1.0), each text written one way:
//! fields in the order of their names, no white space, maps sorted.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::lock::Compression;

/// Text of the file `oci-layout` ("Image Layout Specification", oci-layout file).
pub const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// What an index is ("OCI Image Media Types").
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// In the config's history, what comes before a layer's name.
pub const BY: &str = "lockstep ";

/// A compressed layer: what it is called by, and what comes out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Of the compressed bytes.
    pub digest: Sha256,
    /// Compressed bytes.
    pub size: u64,
    /// Of the tar stream.
    pub diff_id: Sha256,
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// What it is called.
    pub name: String,
    /// One line for people: what is in it.
    pub about: String,
    /// Its bytes.
    pub blob: Blob,
    /// How they are compressed.
    pub compression: Compression,
}

impl Layer {
    /// "Image Layer Filesystem Changeset", and the two that are compressed.
    fn media_type(&self) -> &'static str {
        match self.compression {
            Compression::Gzip => GZIP,
            Compression::Zstd => ZSTD,
        }
    }
}

/// How a layer of ours that has this media type is compressed.
pub fn compression(media_type: &str) -> Compression {
    match media_type {
        ZSTD => Compression::Zstd,
        _ => Compression::Gzip,
    }
}

/// How a container of the image starts.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Who.
    pub user: String,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// What comes before every command.
    pub entrypoint: Vec<String>,
    /// The command when none is given.
    pub command: Vec<String>,
    /// Where.
    pub folder: String,
    /// How it is asked to stop.
    pub stop_signal: String,
}

/// The texts of an image.
#[derive(Clone, Debug)]
pub struct Documents {
    /// "Image Configuration": what a container is started by.
    pub config: Document,
    /// "Image Manifest": its digest is the image's name.
    pub manifest: Document,
    /// "Image Index" of a layout that holds this one image.
    pub index: Document,
}

/// All that these are made of.
#[derive(Clone, Debug)]
pub struct Image {
    /// `linux/amd64`.
    pub platform: String,
    /// Seconds since 1970: when it was created.
    pub epoch: u64,
    /// How it starts.
    pub start: Start,
    /// Labels of the config, which are annotations of the manifest too.
    pub labels: BTreeMap<String, String>,
    /// From the lowest.
    pub layers: Vec<Layer>,
}

/// A JSON text and its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The text.
    pub text: Vec<u8>,
    /// Of the text.
    pub digest: Sha256,
}

impl Image {
    /// All texts of the image, which its layout calls `tag`.
    pub fn documents(&self, tag: &str) -> Result<Documents> {
        let config = self.config()?;
        let manifest = self.manifest(&config)?;
        let index = self.index(&manifest, tag)?;
        Ok(Documents { config, manifest, index })
    }

    /// "Image Configuration".
    pub fn config(&self) -> Result<Document> {
        let (os, architecture) = self.platform()?;
        let created = timestamp(self.epoch);
        let variable = |(name, value): (&String, &String)| format!("{name}={value}");
        let start = &self.start;
        Document::of(&Config {
            architecture,
            config: Execution {
                cmd: &start.command,
                entrypoint: &start.entrypoint,
                env: start.env.iter().map(variable).collect(),
                labels: &self.labels,
                stop_signal: &start.stop_signal,
                user: &start.user,
                working_dir: &start.folder,
            },
            created: &created,
            history: self.layers.iter().map(|layer| History::of(layer, &created)).collect(),
            os,
            rootfs: RootFs {
                diff_ids: self.layers.iter().map(|layer| layer.blob.diff_id.named()).collect(),
                kind: "layers",
            },
        })
    }

    fn manifest(&self, config: &Document) -> Result<Document> {
        let layer = |one: &Layer| Descriptor::of(one.media_type(), &one.blob.digest, one.blob.size);
        Document::of(&Manifest {
            annotations: &self.labels,
            config: Descriptor::of(CONFIG, &config.digest, config.text.len() as u64),
            layers: self.layers.iter().map(layer).collect(),
            media_type: MANIFEST,
            schema_version: 2,
        })
    }

    /// "Image Index" of a layout that calls the image with this manifest `tag`.
    pub(super) fn index(&self, manifest: &Document, tag: &str) -> Result<Document> {
        let (os, architecture) = self.platform()?;
        let mut descriptor = Descriptor::of(MANIFEST, &manifest.digest, manifest.text.len() as u64);
        descriptor.annotations = Some([("org.opencontainers.image.ref.name", tag)].into());
        descriptor.platform = Some(Platform { architecture, os });
        Document::of(&Index { manifests: [descriptor], media_type: INDEX, schema_version: 2 })
    }

    fn platform(&self) -> Result<(&str, &str)> {
        self.platform.split_once('/').ok_or_else(|| {
            let message = format!(
                "workspace.lock: `platform` is `{}`: expected OS/ARCHITECTURE",
                self.platform
            );
            Error::new(Kind::Lock, message)
        })
    }
}

impl Document {
    fn of(value: &impl Serialize) -> Result<Self> {
        let text = serde_json::to_vec(value);
        let text = text.map_err(|e| Error::new(Kind::Io, format!("cannot write JSON: {e}")))?;
        Ok(Document { digest: Sha256::of(&text), text })
    }
}

/// RFC 3339, section 5.6, UTC.
pub fn timestamp(epoch: u64) -> String {
    let (year, month, day) = crate::date::civil(epoch / 86_400);
    let second = epoch % 86_400;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[derive(Serialize)]
struct Config<'a> {
    architecture: &'a str,
    config: Execution<'a>,
    created: &'a str,
    history: Vec<History<'a>>,
    os: &'a str,
    rootfs: RootFs,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Execution<'a> {
    cmd: &'a [String],
    entrypoint: &'a [String],
    env: Vec<String>,
    labels: &'a BTreeMap<String, String>,
    stop_signal: &'a str,
    user: &'a str,
    working_dir: &'a str,
}

#[derive(Serialize)]
struct History<'a> {
    comment: &'a str,
    created: &'a str,
    created_by: String,
}

impl<'a> History<'a> {
    fn of(layer: &'a Layer, created: &'a str) -> Self {
        History { comment: &layer.about, created, created_by: format!("{BY}{}", layer.name) }
    }
}

#[derive(Serialize)]
struct RootFs {
    diff_ids: Vec<String>,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    annotations: &'a BTreeMap<String, String>,
    config: Descriptor<'a>,
    layers: Vec<Descriptor<'a>>,
    media_type: &'static str,
    schema_version: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    manifests: [Descriptor<'a>; 1],
    media_type: &'static str,
    schema_version: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<&'a str, &'a str>>,
    digest: String,
    media_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform<'a>>,
    size: u64,
}

impl Descriptor<'_> {
    fn of(media_type: &'static str, digest: &Sha256, size: u64) -> Self {
        let digest = digest.named();
        Descriptor { annotations: None, digest, media_type, platform: None, size }
    }
}

#[derive(Serialize)]
struct Platform<'a> {
    architecture: &'a str,
    os: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        let blob = Blob { digest: Sha256::of(b"blob"), size: 7, diff_id: Sha256::of(b"tar") };
        let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Image {
            platform: "linux/amd64".to_owned(),
            epoch: 1_772_669_760,
            start: Start {
                user: "1000:1000".to_owned(),
                env: [("PATH".to_owned(), "/usr/bin".to_owned())].into(),
                entrypoint: strings(&["/entry"]),
                command: strings(&["help"]),
                folder: "/tmp".to_owned(),
                stop_signal: "SIGTERM".to_owned(),
            },
            labels: [("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())].into(),
            layers: vec![Layer {
                name: "base".to_owned(),
                about: "Debian".to_owned(),
                blob,
                compression: Compression::Gzip,
            }],
        }
    }

    fn text(document: &Document) -> &str {
        std::str::from_utf8(&document.text).unwrap()
    }

    #[test]
    fn each_document_is_the_specifications() {
        let image = image();
        let Documents { config, manifest, index } = image.documents("t").unwrap();
        insta::assert_snapshot!(text(&config), @r#"{"architecture":"amd64","config":{"Cmd":["help"],"Entrypoint":["/entry"],"Env":["PATH=/usr/bin"],"Labels":{"a":"1","b":"2"},"StopSignal":"SIGTERM","User":"1000:1000","WorkingDir":"/tmp"},"created":"2026-03-05T00:16:00Z","history":[{"comment":"Debian","created":"2026-03-05T00:16:00Z","created_by":"lockstep base"}],"os":"linux","rootfs":{"diff_ids":["sha256:90aebae315675cbf04612de4f7d5874850f48e0b8dd82becbeaa47ca93f5ebfb"],"type":"layers"}}"#);
        insta::assert_snapshot!(text(&manifest), @r#"{"annotations":{"a":"1","b":"2"},"config":{"digest":"sha256:c3974547f5972bbe77f94590f72d4cb79232175070b56db299e7d2834438ded2","mediaType":"application/vnd.oci.image.config.v1+json","size":442},"layers":[{"digest":"sha256:fa2c8cc4f28176bbeed4b736df569a34c79cd3723e9ec42f9674b4d46ac6b8b8","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":7}],"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}"#);
        insta::assert_snapshot!(text(&index), @r#"{"manifests":[{"annotations":{"org.opencontainers.image.ref.name":"t"},"digest":"sha256:7dc3a13ad808a32e268fb8553fa4d89c56a9ed53a0e1f6f67085a810f373bea4","mediaType":"application/vnd.oci.image.manifest.v1+json","platform":{"architecture":"amd64","os":"linux"},"size":431}],"mediaType":"application/vnd.oci.image.index.v1+json","schemaVersion":2}"#);
    }

    #[test]
    fn how_a_layer_is_compressed_moves_the_manifest_alone() {
        let (gzip, mut zstd) = (image(), image());
        zstd.layers[0].compression = Compression::Zstd;
        let (gzip, zstd) = (gzip.documents("t").unwrap(), zstd.documents("t").unwrap());
        assert_eq!(gzip.config, zstd.config);
        assert_eq!(text(&zstd.manifest), text(&gzip.manifest).replace("tar+gzip", "tar+zstd"));
    }

    #[test]
    fn fields_stand_in_the_order_of_their_names() {
        let Documents { config, manifest, index } = image().documents("t").unwrap();
        for document in [config, manifest, index] {
            // serde_json's own map is sorted: what passes through it unchanged was sorted.
            let value: serde_json::Value = serde_json::from_slice(&document.text).unwrap();
            assert_eq!(value.to_string(), text(&document));
        }
    }

    #[test]
    fn a_time_is_that_of_the_calendar() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(951_782_400 + 86_399), "2000-02-29T23:59:59Z");
    }
}
