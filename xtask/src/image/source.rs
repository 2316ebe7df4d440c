//! What the layers are made of: the runtime root's tree, wheels, and a few files of ours.

use std::path::Path;

use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::lock;
use crate::root::path::TreePath;
use crate::root::wheel::{Content as From, Wheel};
use crate::store::{Manifest, Node, Store};

use super::identity::SHARE;
use super::layer::{Content, Layer, Member};

/// Files that whoever runs a container mounts over: nobody checks them.
pub const OF_THE_RUNTIME: [&str; 4] = ["etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"];

/// The base: everything in the runtime root at `root`.
pub fn base(root: &Path, epoch: u64) -> Result<Layer<'static>> {
    let mut layer = Layer::new("base", epoch);
    for (path, entry) in Manifest::of_tree(root)?.iter() {
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

/// A layer of installed wheels, each with the digest of its file, below the folder `site`.
pub fn wheels<'w>(
    name: &'static str,
    site: &str,
    wheels: &'w [(Wheel, Sha256)],
    epoch: u64,
) -> Result<Layer<'w>> {
    let mut layer = Layer::new(name, epoch);
    for (wheel, digest) in wheels {
        layer.made_of(*digest);
        for file in wheel.installed()? {
            let entry = file.entry();
            let content = match file.content {
                From::Made(bytes) => Content::Bytes(bytes),
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
