//! What the layers are made of: the runtime root's tree, wheels, and a few files of ours.

use std::path::Path;

use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::lock;
use crate::root::path::TreePath;
use crate::root::wheel::{Content as From, Replaced, Wheel};
use crate::store::{Manifest, Node, Store};

use super::identity::SHARE;
use super::layer::{Content, Layer, Member};

/// Files that whoever runs a container mounts over: nobody checks them.
pub const OF_THE_RUNTIME: [&str; 4] = ["etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"];

/// The base: everything in the runtime root at `root`, which is `manifest`.
pub fn base(root: &Path, manifest: &Manifest, epoch: u64) -> Result<Layer<'static>> {
    let mut layer = Layer::new("base", epoch);
    for (path, entry) in manifest.iter() {
        let content = match entry.node {
            Node::File { .. } => Content::File(root.join(path)),
            _ => Content::Nothing,
        };
        let member = Member { entry: entry.clone(), content };
        layer.add(tree_path(path)?, member, "the runtime root")?;
    }
    Ok(layer)
}

fn tree_path(path: &Path) -> Result<TreePath> {
    TreePath::parse(path.as_os_str().as_encoded_bytes())
}

/// Opens a locked wheel, its bytes verified.
pub fn open(store: &Store, wheel: &lock::Wheel) -> Result<Wheel> {
    Wheel::open(&store.verified(&wheel.sha256, &wheel.file)?, &wheel.file)
}

/// A layer of installed wheels, each with the digest of its file, below the folder `site`;
/// `slim` are files in place of theirs when the layer is to be slim.
pub fn wheels<'w>(
    name: &'static str,
    site: &str,
    wheels: &'w [(Wheel, Sha256)],
    slim: Option<&Replaced>,
    epoch: u64,
) -> Result<Layer<'w>> {
    let mut layer = Layer::new(name, epoch);
    for (wheel, digest) in wheels {
        layer.made_of(*digest);
        let files = match slim {
            None => wheel.installed()?,
            Some(replaced) => wheel.slim(wheel.installed()?, replaced)?,
        };
        for file in files {
            let entry = file.entry();
            let content = match file.content {
                From::Made(bytes) => Content::Bytes(bytes),
                From::File(path) => Content::File(path),
                From::Member(at) => Content::Packed(wheel, &wheel.entries()[at]),
            };
            let path = TreePath::try_from(&*format!("{site}/{}", file.path))?;
            layer.add(path, Member { entry, content }, wheel.name())?;
        }
    }
    Ok(layer)
}

/// Adds the layer's own manifest to it, which the entrypoint checks the image by; returns
/// path and digest. A line a file: mode, size, digest (of a link: its target), path.
pub fn add_manifest(layer: &mut Layer<'_>) -> Result<(String, Sha256)> {
    let mut text = String::new();
    for (path, member) in layer.members() {
        if OF_THE_RUNTIME.contains(&path.as_str()) {
            continue;
        }
        let mode = member.entry.mode;
        let line = match &member.entry.node {
            Node::Folder => continue,
            Node::File { size, digest } => format!("{mode:o}\t{size}\t{digest}\t{path}\n"),
            Node::Link { target } => {
                let target = target.to_str().filter(|target| !target.contains(['\t', '\n']));
                let target = target.ok_or_else(|| {
                    Error::new(Kind::Archive, format!("`{path}` leads to a name that is no text"))
                })?;
                format!("link\t{}\t{target}\t{path}\n", target.len())
            }
        };
        text.push_str(&line);
    }
    let path = format!("{SHARE}/manifest/{}", layer.name());
    let digest = Sha256::of(text.as_bytes());
    layer.add_bytes(&path, 0o644, text.into_bytes())?;
    Ok((path, digest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::diff::{self, Records};
    use crate::root::wheel::tests::{open, parts};
    use crate::root::zip::forge::Part;

    const A: &str = "a-1-py3-none-any.whl";
    const B: &str = "b-1-py3-none-any.whl";

    #[test]
    fn a_path_of_two_wheels_is_refused_by_name_unless_they_agree() {
        let wheel = |file, bytes: &[u8]| {
            (open(file, parts(file, &[("x.py", bytes)])).unwrap(), Sha256::of(b""))
        };
        let refused = [wheel(A, b"one"), wheel(B, b"two")];
        let error = wheels("python", "site", &refused, None, 0).unwrap_err();
        let start = format!("`site/x.py` has two owners in the image: python and {B}");
        assert_eq!(error.message(), start);
        wheels("python", "site", &[wheel(A, b"one"), wheel(B, b"one")], None, 0).unwrap();
    }

    #[test]
    fn content_that_is_not_as_the_wheel_says_is_in_no_image() {
        let found = |lie: &dyn Fn(&mut Part), records| {
            let mut parts = parts(A, &[("a/x.py", b"good")]);
            lie(&mut parts[0]);
            let wheel = [(open(A, parts).unwrap(), Sha256::of(b""))];
            let layer = wheels("python", "site", &wheel, None, 0).unwrap();
            diff::id(&layer, records).map_err(|error| error.message().to_owned())
        };
        found(&|_| {}, Records::Check).unwrap();
        let evil = found(&|part| *part = Part::new("a/x.py", b"evil"), Records::Check);
        let expected =
            format!("`site/a/x.py` in the image: expected sha256 {}", Sha256::of(b"good"));
        assert!(evil.unwrap_err().starts_with(&expected));
        for records in [Records::Check, Records::Trust] {
            let crc = found(&|part| part.both(|header| header.crc = 7), records).unwrap_err();
            assert!(crc.contains("`a/x.py`: expected crc 00000007"), "{crc}");
        }
    }
}
