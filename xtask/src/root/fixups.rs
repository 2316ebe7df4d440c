//! What maintainer scripts would have done and a root needs: a short list, all of it here.
//!
//! Found by taking each away and watching a build or `import tensorflow` fail, or because a
//! program that an op author may call expects it. A path that a package has itself stays as
//! the package has it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{Error, IoContext as _, Kind, Result};
use crate::store::Node;

use super::debian::MERGED;
use super::merged::Merged;
use super::path::TreePath;
use super::tree::{Entries, Hand};

/// Raise it when the list changes: it is part of every root's key.
pub const LIST: u32 = 1;

/// Folders that the engine mounts something on in either root; a root is read-only, so they
/// must be there. `/tmp` keeps the mode that base-files gives it.
const MOUNT_POINTS: [&str; 9] =
    ["dev", "home/lockstep", "opt/site", "proc", "run", "sys", "tmp", "var/tmp", "work"];

/// `/etc` files without which somebody's name, host or address is unknown.
const FILES: [(&str, &str); 4] = [
    (
        "etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\nlockstep:x:1000:1000:lockstep:/home/lockstep:/bin/sh\n",
    ),
    ("etc/group", "root:x:0:\nlockstep:x:1000:\n"),
    // The host name is an address too: Java asks for it.
    ("etc/hosts", "127.0.0.1 localhost lockstep\n::1 localhost\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
];

/// Names without a version that programs and people call, the first candidate that is there.
const PROGRAMS: [(&str, &[&str]); 2] = [("sh", &["dash", "bash"]), ("awk", &["gawk", "mawk"])];

/// Compiler drivers: the plain name, and the one that Debian appends a version to.
const DRIVERS: [(&str, &str); 5] =
    [("c++", "g++-"), ("cc", "gcc-"), ("cpp", "cpp-"), ("g++", "g++-"), ("gcc", "gcc-")];

/// Where Debian's certificates are, and the bundle that programs look for.
const CERTIFICATES: (&str, &str) =
    ("usr/share/ca-certificates/mozilla", "etc/ssl/certs/ca-certificates.crt");

/// Where OpenSSL, and Python with it, looks for that bundle by itself.
const OPENSSL: &str = "usr/lib/ssl/cert.pem";

/// One fix-up, at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fixup {
    /// A folder of mode 755.
    Folder,
    /// A symbolic link to this target.
    Link(String),
    /// A file of mode 644 with this text.
    File(String),
    /// These files of the root, one after the other.
    Joined(Vec<TreePath>),
}

/// The fix-ups of a root that has `packages` in it: pure. `more` are further mount points.
pub fn list(packages: &Merged, more: &[&str]) -> Result<BTreeMap<TreePath, Fixup>> {
    let mut wanted = BTreeMap::new();
    let mut want = |path: &str, fixup: Fixup| -> Result<()> {
        if packages.get(path).is_none() {
            wanted.insert(TreePath::try_from(path)?, fixup);
        }
        Ok(())
    };
    for path in MOUNT_POINTS.iter().chain(more) {
        want(path, Fixup::Folder)?;
    }
    for (path, text) in FILES {
        want(path, Fixup::File(text.to_owned()))?;
    }
    want("etc/mtab", Fixup::Link("/proc/mounts".to_owned()))?;
    let usr: Vec<_> = packages.within("usr").map(|(name, _)| name).collect();
    for folder in MERGED.into_iter().filter(|folder| usr.contains(folder)) {
        want(folder, Fixup::Link(format!("usr/{folder}")))?;
    }
    for (name, target) in programs(packages)? {
        want(&format!("usr/bin/{name}"), Fixup::Link(target))?;
    }
    if let Some(jre) = only_jre(packages)? {
        want("usr/lib/jvm/default", Fixup::Link(jre))?;
    }
    let (from, bundle) = CERTIFICATES;
    let certificates = certificates(packages, from)?;
    if !certificates.is_empty() {
        want(bundle, Fixup::Joined(certificates))?;
        want(OPENSSL, Fixup::Link(format!("/{bundle}")))?;
    }
    Ok(wanted)
}

fn programs(packages: &Merged) -> Result<Vec<(&'static str, String)>> {
    let bin: Vec<_> = packages.within("usr/bin").map(|(name, _)| name).collect();
    let mut links = Vec::new();
    for (name, candidates) in PROGRAMS {
        let there = candidates.iter().find(|candidate| bin.contains(candidate));
        links.extend(there.map(|target| (name, (*target).to_owned())));
    }
    for (name, stem) in DRIVERS {
        let versioned = bin.iter().filter(|program| {
            let version = program.strip_prefix(stem).unwrap_or_default();
            !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())
        });
        links.extend(only(versioned.map(|p| (*p).to_owned()), "compilers")?.map(|to| (name, to)));
    }
    Ok(links)
}

fn only_jre(packages: &Merged) -> Result<Option<String>> {
    let homes = packages.within("usr/lib/jvm").filter(|(home, entry)| {
        let java = packages.get(&format!("usr/lib/jvm/{home}/bin/java"));
        entry.node == Node::Folder && java.is_some()
    });
    only(homes.map(|(home, _)| home.to_owned()), "Java runtimes")
}

/// The one of `found`; an error when there are more.
fn only(mut found: impl Iterator<Item = String>, what: &str) -> Result<Option<String>> {
    let (first, second) = (found.next(), found.next());
    match (&first, second) {
        (Some(first), Some(second)) => Err(Error::new(
            Kind::Lock,
            format!("the root has two {what}, `{first}` and `{second}`: one is expected"),
        )
        .hint("leave one of them out of `workspace.toml`, then run `cargo xtask update`")),
        _ => Ok(first),
    }
}

fn certificates(packages: &Merged, folder: &str) -> Result<Vec<TreePath>> {
    let files = packages
        .within(folder)
        .filter(|(name, entry)| name.ends_with(".crt") && matches!(entry.node, Node::File { .. }));
    files.map(|(name, _)| TreePath::try_from(&*format!("{folder}/{name}"))).collect()
}

/// Carries out `fixups` in the tree at `place`, whose packages are unpacked.
pub fn write(
    fixups: &BTreeMap<TreePath, Fixup>,
    hand: &mut Hand<'_>,
    place: &Path,
) -> Result<Entries> {
    let mut entries = Entries::new();
    for (path, fixup) in fixups {
        let entry = match fixup {
            Fixup::Folder => hand.make_folder(path, 0o755)?,
            Fixup::Link(target) => hand.link(path, target)?,
            Fixup::File(text) => hand.whole_file(path, 0o644, text.as_bytes())?,
            Fixup::Joined(parts) => hand.whole_file(path, 0o644, &join(parts, place)?)?,
        };
        entries.insert(path.clone(), entry);
    }
    Ok(entries)
}

/// The files one after the other, each with a line end.
fn join(parts: &[TreePath], place: &Path) -> Result<Vec<u8>> {
    let mut joined = Vec::new();
    for part in parts {
        let path = place.join(part);
        joined.extend(std::fs::read(&path).at("read", &path)?);
        if joined.last() != Some(&b'\n') {
            joined.push(b'\n');
        }
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Sha256;
    use crate::store::Entry;

    fn merged(files: &[&str]) -> Merged {
        let entry = Entry::file(0o755, 0, Sha256::of(b""));
        let mut entries: Entries =
            files.iter().map(|p| (TreePath::try_from(*p).unwrap(), entry.clone())).collect();
        for path in files {
            let mut above = TreePath::try_from(*path).unwrap().parent();
            while let Some(folder) = above {
                above = folder.parent();
                entries.insert(folder, Entry::folder(0o755));
            }
        }
        let mut merged = Merged::default();
        merged.add("all", entries).unwrap();
        merged
    }

    fn links(packages: &Merged) -> Vec<(String, String)> {
        let fixups = list(packages, &[]).unwrap().into_iter();
        fixups
            .filter_map(|(path, fixup)| match fixup {
                Fixup::Link(target) => Some((path.to_string(), target)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn links_lead_to_what_the_packages_have() {
        let packages = merged(&[
            "usr/bin/bash",
            "usr/bin/dash",
            "usr/bin/g++-12",
            "usr/bin/gcc-12",
            "usr/bin/gcc-ar-12",
            "usr/bin/cpp-12",
            "usr/bin/cpp",
            "usr/bin/gawk",
            "usr/lib64/ld.so",
            "usr/lib/jvm/java-17/bin/java",
            "usr/lib/jvm/openjdk-17/x",
        ]);
        let expected = [
            ("bin", "usr/bin"),
            ("etc/mtab", "/proc/mounts"),
            ("lib", "usr/lib"),
            ("lib64", "usr/lib64"),
            ("usr/bin/awk", "gawk"),
            ("usr/bin/c++", "g++-12"),
            ("usr/bin/cc", "gcc-12"),
            ("usr/bin/g++", "g++-12"),
            ("usr/bin/gcc", "gcc-12"),
            ("usr/bin/sh", "dash"),
            ("usr/lib/jvm/default", "java-17"),
        ];
        assert_eq!(links(&packages), expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn two_compilers_or_two_java_runtimes_are_an_error_with_both_names() {
        for (two, name) in [
            (["usr/bin/gcc-11", "usr/bin/gcc-12"], "`gcc-11` and `gcc-12`"),
            (["usr/lib/jvm/a/bin/java", "usr/lib/jvm/b/bin/java"], "`a` and `b`"),
        ] {
            let error = list(&merged(&two), &[]).unwrap_err();
            assert!(error.message().contains(name), "{error}");
        }
    }

    #[test]
    fn a_package_keeps_what_it_has_and_the_rest_is_written() {
        let place = tempfile::tempdir().unwrap();
        let tree = super::super::tree::Tree::at(place.path(), 0).unwrap();
        let mut hand = tree.hand();
        let folder = CERTIFICATES.0;
        for (name, text) in [("a.crt", "A"), ("b.crt", "B\n")] {
            let path = TreePath::try_from(&*format!("{folder}/{name}")).unwrap();
            hand.whole_file(&path, 0o644, text.as_bytes()).unwrap();
        }
        let [a, b] = ["a.crt", "b.crt"].map(|name| format!("{folder}/{name}"));
        let packages = merged(&["etc/passwd", &b, &a]);
        let fixups = list(&packages, &["opt/tf"]).unwrap();
        assert!(!fixups.contains_key("etc/passwd"));
        let entries = write(&fixups, &mut hand, place.path()).unwrap();
        let read = |path: &str| std::fs::read_to_string(place.path().join(path)).unwrap();
        assert_eq!(read("etc/ssl/certs/ca-certificates.crt"), "A\nB\n");
        assert!(read("etc/hosts").contains("lockstep"));
        assert!(place.path().join("opt/tf").is_dir());
        assert_eq!(entries.len(), fixups.len());
    }
}
