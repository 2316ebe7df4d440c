//! An unpacked image, or the root of a node, against the layers that it should consist of.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{IoContext as _, Result};
use crate::image::layer::Layer;
use crate::image::source::OF_THE_RUNTIME;
use crate::root::work::spread;
use crate::store::{Entry, LINK_MODE, Node};

use super::Finding;

const OTHER: &str = "a process here may run other code than its peers";
const AGAIN: &str = "unpack the image again, with nothing mounted or installed over it";
/// What belongs to whoever runs the root.
const LIVE: [&str; 6] = [".dockerenv", "dev", "proc", "run", "sys", "tmp"];

/// Compares the folder `root` with `layers`; returns all differences in order of their paths.
pub fn verify(root: &Path, layers: &[Layer<'_>]) -> Result<Vec<Finding>> {
    let mut expected = BTreeMap::new();
    for (path, member) in layers.iter().flat_map(Layer::members) {
        expected.insert(path.as_str(), &member.entry);
    }
    let rows: Vec<_> = expected
        .iter()
        .filter(|(path, _)| !OF_THE_RUNTIME.contains(path))
        .map(|(path, entry)| (*path, *entry))
        .collect();
    // The largest first: one library is half of all bytes.
    let mut order = rows.clone();
    order.sort_by_key(|(_, entry)| std::cmp::Reverse(size(entry)));
    let different = spread(&order, |(path, entry)| {
        Ok(different(&root.join(path), path, entry)?.map(|what| ((*path).to_owned(), what)))
    })?;
    let mut found: BTreeMap<String, String> = different.into_iter().flatten().collect();
    strangers(root, "", &expected, &mut found)?;
    Ok(found.into_values().map(|what| Finding::new(what, OTHER, AGAIN)).collect())
}

fn size(entry: &Entry) -> u64 {
    match entry.node {
        Node::File { size, .. } => size,
        _ => 0,
    }
}

/// In what the entry at `place` is not as expected.
fn different(place: &Path, path: &str, expected: &Entry) -> Result<Option<String>> {
    let stat = match place.symlink_metadata() {
        Ok(stat) => stat,
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Some(format!("`/{path}` is missing")));
        }
        Err(cause) => return Err(cause).at("look at", place),
    };
    let special = !stat.is_file() && !stat.is_dir() && !stat.is_symlink();
    if special || LIVE.contains(&path) && stat.is_dir() {
        return Ok(special.then(|| format!("`/{path}` is a special file")));
    }
    let found = Entry::read(place, &stat)?;
    Ok((found != *expected)
        .then(|| format!("`/{path}`: expected {}, found {}", describe(expected), describe(&found))))
}

fn describe(entry: &Entry) -> String {
    match &entry.node {
        Node::Folder => format!("a folder of mode {:o}", entry.mode),
        Node::File { size, digest } => {
            format!("a file of mode {:o}, {size} bytes, sha256 {digest}", entry.mode)
        }
        Node::Link { target } => {
            debug_assert_eq!(entry.mode, LINK_MODE);
            format!("a link to `{}`", target.display())
        }
    }
}

/// What is there besides, each folder as one.
fn strangers(
    root: &Path,
    folder: &str,
    expected: &BTreeMap<&str, &Entry>,
    found: &mut BTreeMap<String, String>,
) -> Result<()> {
    let place = root.join(folder);
    for item in std::fs::read_dir(&place).at("read", &place)? {
        let item = item.at("read", &place)?;
        let name = item.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let is_folder = item.file_type().at("read", &item.path())?.is_dir();
        match expected.get(&*path) {
            _ if OF_THE_RUNTIME.contains(&&*path) || LIVE.contains(&&*path) => {}
            Some(entry) if is_folder && entry.node == Node::Folder => {
                strangers(root, &path, expected, found)?;
            }
            Some(_) => {}
            None => drop(found.insert(path.clone(), format!("`/{path}` is in no layer"))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn every_difference_is_a_line_and_the_runtimes_own_is_none() {
        let mut layer = Layer::new("t", 0);
        for (path, bytes) in
            [("etc/hosts", "h"), ("usr/a", "a"), ("usr/b", "b"), ("usr/c", "c"), ("tmp/x", "")]
        {
            layer.add_bytes(path, 0o644, bytes.as_bytes().to_vec()).unwrap();
        }
        layer.add_link("bin", "usr").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let mode = |path: &str, mode| {
            fs::set_permissions(root.join(path), PermissionsExt::from_mode(mode)).unwrap()
        };
        for path in ["etc", "usr", "tmp"] {
            fs::create_dir(root.join(path)).unwrap();
            mode(path, 0o755);
        }
        for (path, bytes) in
            [("etc/hosts", "other"), ("usr/a", "a"), ("usr/b", "b"), ("usr/c", "c"), ("tmp/x", "")]
        {
            fs::write(root.join(path), bytes).unwrap();
            mode(path, 0o644);
        }
        std::os::unix::fs::symlink("usr", root.join("bin")).unwrap();
        let lines = || {
            let findings = verify(root, std::slice::from_ref(&layer)).unwrap();
            findings.into_iter().map(|finding| finding.what).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(lines(), "");
        fs::write(root.join("usr/a"), "x").unwrap();
        mode("usr/b", 0o755);
        fs::remove_file(root.join("usr/c")).unwrap();
        fs::write(root.join("usr/d"), "").unwrap();
        fs::write(root.join("tmp/y"), "").unwrap();
        fs::remove_file(root.join("bin")).unwrap();
        fs::create_dir(root.join("bin")).unwrap();
        insta::assert_snapshot!(lines(), @"
        `/bin`: expected a link to `usr`, found a folder of mode 755
        `/usr/a`: expected a file of mode 644, 1 bytes, sha256 ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb, found a file of mode 644, 1 bytes, sha256 2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881
        `/usr/b`: expected a file of mode 644, 1 bytes, sha256 3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d, found a file of mode 755, 1 bytes, sha256 3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d
        `/usr/c` is missing
        `/usr/d` is in no layer
        ");
        fs::remove_dir_all(root.join("usr")).unwrap();
        fs::write(root.join("usr"), "").unwrap();
        mode("usr", 0o644);
        insta::assert_snapshot!(lines(), @"
        `/bin`: expected a link to `usr`, found a folder of mode 755
        `/usr`: expected a folder of mode 755, found a file of mode 644, 0 bytes, sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
        `/usr/a` is missing
        `/usr/b` is missing
        `/usr/c` is missing
        ");
    }
}
