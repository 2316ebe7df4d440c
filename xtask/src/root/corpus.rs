//! Hostile and odd Debian packages, made here byte by byte, and what is said of each.
//! Each is locked, put into a store and made into a root: the way that a real one goes.

use std::fs;
use std::io::{Cursor, Read as _, Write as _};
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::assembly::Recipe;
use super::budget::Budget;
use super::deb::Deb;
use super::tar::{Content, Tar};
use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::lock::Package;
use crate::store::{Manifest, Store};

/// A tar header block; what a case spoils comes after.
struct Block([u8; 512]);

impl Block {
    fn new(name: &[u8], kind: u8, size: u64) -> Self {
        let mut block = Block([0; 512]);
        block.put(0, name).put(100, if kind == b'5' { b"0000755" } else { b"0000644" });
        block.put(108, b"0000000").put(116, b"0000000").put(136, b"00000000000");
        block.put(124, format!("{size:011o}").as_bytes()).put(257, b"ustar  \0");
        block.0[156] = kind;
        block
    }

    fn put(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn mode(mut self, mode: u32) -> Self {
        self.put(100, format!("{mode:07o}").as_bytes());
        self
    }

    fn target(mut self, target: &[u8]) -> Self {
        self.put(157, target);
        self
    }

    fn bytes(mut self) -> Vec<u8> {
        self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self.0.to_vec()
    }
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(512), 0);
    padded
}

fn file(name: &str, text: &str) -> Vec<u8> {
    [Block::new(name.as_bytes(), b'0', text.len() as u64).bytes(), padded(text.as_bytes())].concat()
}

fn folder(name: &str) -> Vec<u8> {
    Block::new(name.as_bytes(), b'5', 0).bytes()
}

fn link(name: &str, target: &str) -> Vec<u8> {
    Block::new(name.as_bytes(), b'2', 0).target(target.as_bytes()).bytes()
}

fn hard_link(name: &str, target: &str) -> Vec<u8> {
    Block::new(name.as_bytes(), b'1', 0).target(target.as_bytes()).bytes()
}

fn special(kind: u8) -> Vec<u8> {
    Block::new(b"./odd", kind, 0).bytes()
}

/// A GNU `L` or `K` member with this content.
fn long(kind: u8, content: &[u8]) -> Vec<u8> {
    let header = Block::new(b"././@LongLink", kind, content.len() as u64).bytes();
    [header, padded(content)].concat()
}

fn end() -> Vec<u8> {
    vec![0; 1024]
}

fn tar(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), end()].concat()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let size = content.len();
        let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 100644);
        bytes.extend(header.as_bytes());
        bytes.extend(*content);
        if size % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

const CONTROL: &str = "Package: a\nVersion: 1\nArchitecture: all\nDescription: x\n";

fn control(text: &str) -> Vec<u8> {
    xz(&tar(&[folder("./"), file("./control", text)]))
}

/// A package whose `data.tar` is `data`.
fn deb(data: &[u8]) -> Vec<u8> {
    with_data(&xz(data))
}

fn with_data(packed: &[u8]) -> Vec<u8> {
    let control = control(CONTROL);
    ar(&[("debian-binary", b"2.0\n"), ("control.tar.xz", &control), ("data.tar.xz", packed)])
}

/// A store, locked packages in it, and a folder beside it that must stay as it is.
struct Case {
    place: tempfile::TempDir,
    packages: Vec<Package>,
}

impl Case {
    fn new(debs: &[&[u8]]) -> Self {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("victim")).unwrap();
        fs::write(place.path().join("victim/file"), "whole").unwrap();
        let mut case = Case { place, packages: Vec::new() };
        for (at, bytes) in debs.iter().enumerate() {
            let sha256 = Sha256::of(bytes);
            let object = case.store().object(&sha256);
            fs::create_dir_all(object.parent().unwrap()).unwrap();
            fs::write(object, bytes).unwrap();
            case.packages.push(Package {
                name: "a".to_owned(),
                version: "1".to_owned(),
                architecture: "all".to_owned(),
                path: format!("pool/a_{at}.deb"),
                size: bytes.len() as u64,
                sha256,
                roots: std::collections::BTreeSet::new(),
            });
        }
        case
    }

    fn store(&self) -> Store {
        Store::at(self.place.path().join("store"))
    }

    fn recipe(&self) -> Recipe<'_> {
        Recipe {
            kind: "test",
            packages: self.packages.iter().collect(),
            epoch: 1_700_000_000,
            mount_points: Vec::new(),
            programs: Vec::new(),
        }
    }

    fn ensure(&self) -> Result<PathBuf> {
        self.recipe().ensure(&self.store())
    }

    /// The error, after a look that nothing was left inside or written outside.
    fn refused(&self, name: &str) -> Error {
        let before = Manifest::of_tree(&self.place.path().join("victim")).unwrap();
        let error = match self.ensure() {
            Ok(_) => panic!("{name}: it was taken"),
            Err(error) => error,
        };
        let victim = self.place.path().join("victim");
        assert_eq!(Manifest::of_tree(&victim).unwrap(), before, "{name}: written outside");
        for folder in ["trees", "tmp"] {
            let left = fs::read_dir(self.store().root().join(folder));
            assert_eq!(left.map_or(0, Iterator::count), 0, "{name}: something left in {folder}");
        }
        assert!(!self.place.path().join("evil").exists(), "{name}: written outside");
        error
    }
}

/// Every package of `cases` is refused with its words, as a hostile archive, by name.
fn all_refused(cases: &[(&str, Vec<u8>)]) {
    for (words, bytes) in cases {
        let error = Case::new(&[bytes]).refused(words);
        let text = error.message();
        assert_eq!(error.kind(), Kind::Archive, "{text}");
        assert!(text.starts_with("a 1 (a_0.deb): "), "no archive named: {text}");
        assert!(text.contains(words), "expected `{words}`, found: {text}");
    }
}

fn data(members: &[Vec<u8>]) -> Vec<u8> {
    deb(&tar(members))
}

#[test]
fn names_that_lead_out_are_refused() {
    all_refused(&[
        ("`../evil` has a `..` component", data(&[file("../evil", "x")])),
        ("`../../../evil` has a `..` component", data(&[file("./../../../evil", "x")])),
        (
            "`a/../../evil` has a `..` component",
            data(&[folder("./a/"), file("./a/../../evil", "x")]),
        ),
        ("`a/..` has a `..` component", data(&[folder("./a/../")])),
        ("`/evil` is absolute", data(&[file("/evil", "x")])),
        ("`/evil` is absolute", data(&[file(".//evil", "x")])),
        ("is empty", data(&[file("", "x")])),
        ("is empty", data(&[file("./", "x")])),
        ("has an empty or `.` component", data(&[file(".", "x")])),
        ("has an empty or `.` component", data(&[file("a//b", "x")])),
        ("has an empty or `.` component", data(&[file("a/", "x")])),
        ("has a control character", data(&[file("a\nb", "x")])),
        ("a NUL inside a name", data(&[file("a\0b", "x")])),
        ("is not UTF-8", data(&[[Block::new(b"a\xff", b'0', 0).bytes()].concat()])),
    ]);
}

#[test]
fn links_that_lead_out_and_writing_through_links_are_refused() {
    all_refused(&[
        ("leaves the root", data(&[link("./a", "../victim")])),
        ("leaves the root", data(&[link("./usr/a", "../../../../victim")])),
        ("`bin/a`: the target", data(&[link("./bin/a", "../..")])),
        ("has a `..` component", data(&[hard_link("./a", "../../victim/file")])),
        ("is absolute", data(&[hard_link("./a", "/etc/passwd")])),
        ("which is no earlier file", data(&[hard_link("./a", "b"), file("./b", "x")])),
        (
            "`usr/a` is a hard link to `usr/b`, which is no earlier file",
            data(&[link("./usr/b", "/etc/passwd"), hard_link("./usr/a", "./usr/b")]),
        ),
        ("which is no earlier file", data(&[folder("./b"), hard_link("./a", "./b")])),
        ("is in the archive twice", data(&[link("./a", "/tmp"), folder("./a/")])),
        ("is in the archive twice", data(&[file("./a", "x"), file("./a", "x")])),
        ("is in the archive twice", data(&[file("./bin/a", "x"), file("./usr/bin/a", "x")])),
    ]);
    let outside = tempfile::tempdir().unwrap();
    let out = outside.path().to_str().unwrap();
    for (name, members) in [
        ("a link, then a file through it", vec![link("./a", out), file("./a/x", "evil")]),
        ("a chain", vec![link("./b", out), link("./a", "b"), file("./a/x/y", "x")]),
        ("a folder through it", vec![link("./a", out), folder("./a/x/")]),
        ("merged", vec![link("./usr/bin", out), file("./bin/x", "y")]),
        ("a file as a folder", vec![file("./a", "x"), file("./a/x", "y")]),
        (
            "a certificate through it, which a fix-up would read",
            vec![
                link("./usr/share/ca-certificates", out),
                file("./usr/share/ca-certificates/mozilla/a.crt", "x"),
            ],
        ),
    ] {
        let error = Case::new(&[&data(&members)]).refused(name);
        assert!(error.message().contains(" is below `"), "{name}: {error}");
        assert_eq!(outside.path().read_dir().unwrap().count(), 0, "{name}: written outside");
    }
}

#[test]
fn what_two_readers_could_see_differently_is_refused() {
    let pax = |kind| {
        let record = b"16 size=1000000\n";
        [Block::new(b"./PaxHeaders/x", kind, 16).bytes(), padded(record), file("./x", "x")].concat()
    };
    let spoilt = |at: usize, bytes: &[u8]| {
        let mut block = Block::new(b"./x", b'0', 0);
        block.put(at, bytes);
        data(&[block.bytes()])
    };
    let mut wrong_sum = file("./x", "x");
    wrong_sum[0] ^= 1;
    let name = [b'n'; 120];
    let named = [&name[..], b"\0"].concat();
    all_refused(&[
        ("a pax header", data(&[pax(b'x')])),
        ("a pax header", data(&[pax(b'g')])),
        ("a sparse file", data(&[special(b'S')])),
        ("a member of unknown type `7`", data(&[special(b'7')])),
        ("a wrong checksum", data(&[wrong_sum])),
        ("neither GNU's nor ustar", spoilt(257, b"\0\0\0\0\0\0\0\0")),
        ("the size is not octal", spoilt(124, b"\x80\0\0\0\0\0\0\0\0\0\x10\0")),
        ("the size is not octal", spoilt(124, b"-0000000001")),
        ("the size is not octal", spoilt(124, b"           \0")),
        ("the mode is not octal", spoilt(100, b"00007x5\0")),
        ("has more than permissions", spoilt(100, b"0100644\0")),
        ("a NUL inside a name", spoilt(10, b"y")),
        ("has a link target but is no link", spoilt(157, b"y")),
        ("has a size of 5 but no content", data(&[Block::new(b"./x", b'5', 5).bytes()])),
        ("own folder has content", data(&[Block::new(b"./", b'5', 512).bytes(), file("x", "")])),
        ("own folder has content", data(&[long(b'K', &named), folder("./"), link("./a", "n")])),
        (
            "has a size of 5 but no content",
            data(&[Block::new(b"./x", b'2', 5).target(b"y").bytes(), padded(b"12345")]),
        ),
        ("the target `` of the link is empty", data(&[link("./x", "")])),
        ("a malformed GNU long name", data(&[long(b'L', b"no NUL"), file("no NUL", "")])),
        ("a malformed GNU long name", data(&[long(b'L', b"a\0b\0"), file("a", "")])),
        ("a malformed GNU long name", data(&[long(b'L', &[b'a'; 9000]), file("a", "")])),
        ("a malformed GNU long name", data(&[long(b'L', b""), file("a", "")])),
        ("two GNU long names", data(&[long(b'L', &named), long(b'L', &named), file("n", "")])),
        ("two names, `nnn", data(&[long(b'L', &named), file("other", "x")])),
        ("two link targets", data(&[long(b'K', &named), link("./a", "other")])),
        ("a GNU long name without a member", data(&[long(b'L', &named)])),
        ("a single block of zeros", deb(&[vec![0; 512], file("./x", "x"), end()].concat())),
        ("data follows the end", deb(&[tar(&[]), file("./x", "x"), end()].concat())),
        ("ends without its end mark", deb(&file("./x", "x"))),
        ("is cut off", deb(&file("./x", "x")[..600])),
        ("ends without its end mark", deb(&file("./x", "x")[..100])),
    ]);
}

#[test]
fn devices_set_id_and_what_cannot_be_removed_are_refused() {
    let moded = |kind, mode| data(&[Block::new(b"./odd", kind, 0).mode(mode).bytes()]);
    all_refused(&[
        ("`odd` is a character device", data(&[special(b'3')])),
        ("`odd` is a block device", data(&[special(b'4')])),
        ("`odd` is a fifo", data(&[special(b'6')])),
        ("an unexpected set-id program", moded(b'0', 0o4755)),
        ("an unexpected set-id program", moded(b'0', 0o2755)),
        ("a sticky file", moded(b'0', 0o1755)),
        ("its owner cannot read it", moded(b'0', 0)),
        ("its owner cannot remove it", moded(b'5', 0)),
        ("a set-user-id folder", moded(b'5', 0o4755)),
    ]);
}

#[test]
fn bombs_end_before_anything_large_is_written() {
    let huge = |size| data(&[Block::new(b"./x", b'0', size).bytes()]);
    let zeros = [Block::new(b"./x", b'0', 40 << 20).bytes(), vec![0; 40 << 20]].concat();
    let many: Vec<u8> = (0..100_001).flat_map(|n| file(&format!("{n}"), "")).collect();
    let deep = [long(b'L', &[&b"a/".repeat(1000)[..], b"a\0"].concat()), file("a/a", "x")].concat();
    all_refused(&[
        ("times its size", huge(0o77777777777)),
        ("times its size", huge(1 << 30)),
        ("times its size", data(&[zeros])),
        ("100000 entries", data(&[many])),
        ("is longer than 1024 bytes", data(&[deep])),
        ("a component of more than 255 bytes", data(&[long_name(300)])),
    ]);
}

fn long_name(length: usize) -> Vec<u8> {
    let name = "n".repeat(length);
    [long(b'L', format!("{name}\0").as_bytes()), file(&name[..100], "x")].concat()
}

#[test]
fn packages_that_are_none_are_refused() {
    let (good, ctl) = (xz(&tar(&[file("./x", "x")])), control(CONTROL));
    let members: [(&str, &[u8]); 3] =
        [("debian-binary", b"2.0\n"), ("control.tar.xz", &ctl), ("data.tar.xz", &good)];
    let swapped = |at: usize, member: (&'static str, &[u8])| {
        let mut members = members;
        members[at] = (member.0, member.1);
        ar(&members)
    };
    let mut extra = members.to_vec();
    extra.push(("_evil", b"x"));
    let mut bad_size = ar(&members);
    bad_size[8 + 48..8 + 58].copy_from_slice(b"99999999  ");
    let mut negative = ar(&members);
    negative[8 + 48..8 + 58].copy_from_slice(b"-4        ");
    let whole = ar(&members);
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let named = |text: &str| swapped(1, ("control.tar.xz", &control(text)));
    all_refused(&[
        ("no ar archive", b"!<arch>\0garbage".to_vec()),
        ("the package is cut off", b"!<ar".to_vec()),
        ("the package is cut off", b"!<arch>\n".to_vec()),
        ("member `debian-binary` is expected", ar(&[members[1], members[0], members[2]])),
        ("member `control.tar.xz` is expected, `data.tar.xz`", ar(&[members[0], members[2]])),
        ("data follows `data.tar.xz`", ar(&extra)),
        ("data follows `data.tar.xz`", [&whole[..], b"junk"].concat()),
        ("is damaged, or the package is cut off", bad_size),
        ("is damaged, or the package is cut off", negative),
        ("is damaged, or the package is cut off", whole[..whole.len() - 8].to_vec()),
        ("format 2.0 is expected, `3.0\\n` is found", swapped(0, ("debian-binary", b"3.0\n"))),
        ("`data.tar.zst` is found", swapped(2, ("data.tar.zst", &good))),
        ("`data.tar.gz` is found", swapped(2, ("data.tar.gz", &good))),
        ("damaged", with_data(&good[..good.len() - 6])),
        ("damaged", with_data(b"no xz at all")),
        ("ends without its end mark", with_data(b"")),
        ("damaged", with_data(&flipped)),
        ("data follows the xz stream", with_data(&[&good[..], &good[..]].concat())),
        ("data follows the xz stream", with_data(&[&good[..], b"\0\0\0\0"].concat())),
        ("`control` has no `Version`", named("Package: a\nArchitecture: all\n")),
        (
            "no one value for `Version`",
            named("Package: a\nVersion: 1\nVersion: 2\nArchitecture: all\n"),
        ),
        (
            "package `a` is locked, `b` is inside",
            named("Package: b\nVersion: 1\nArchitecture: all\n"),
        ),
        (
            "version `1` is locked, `2` is inside",
            named("Package: a\nVersion: 2\nArchitecture: all\n"),
        ),
        ("no control file", swapped(1, ("control.tar.xz", &xz(&tar(&[folder("./")]))))),
        ("damaged", named_bytes(&members, b"Package: \xff\n")),
    ]);
}

/// The package with a control file of these bytes.
fn named_bytes(members: &[(&str, &[u8]); 3], control: &[u8]) -> Vec<u8> {
    let header = Block::new(b"./control", b'0', control.len() as u64).bytes();
    let packed = xz(&tar(&[header, padded(control)]));
    ar(&[members[0], ("control.tar.xz", &packed), members[2]])
}

#[test]
fn a_package_that_changed_in_the_store_is_not_unpacked() {
    let case = Case::new(&[&data(&[file("./x", "x")])]);
    let object = case.store().object(&case.packages[0].sha256);
    fs::write(object, data(&[file("./y", "x")])).unwrap();
    let error = case.refused("changed");
    assert_eq!(error.kind(), Kind::Digest, "{error}");
}

#[test]
fn all_that_packages_have_in_use_is_taken() {
    let name = "usr/share/".to_owned() + &"long/".repeat(25) + "name";
    let bytes = data(&[
        folder("./"),
        folder("./bin/"),
        file("./bin/a", "program"),
        hard_link("./bin/b", "./bin/a"),
        link("./bin/c", "/bin/a"),
        link("./lib", "usr/lib"),
        [long(b'L', format!("{name}\0").as_bytes()), file(&name[..100], "x")].concat(),
        file("./usr/share/Főtanúsítvány.crt", "x"),
        file("./usr/share/man/a.1", "x"),
        Block::new(b"./tmp/", b'5', 0).mode(0o1777).bytes(),
    ]);
    let case = Case::new(&[&bytes]);
    let root = case.ensure().unwrap();
    assert_eq!(fs::read(root.join("bin/c")).ok(), None, "an absolute link is the root's");
    assert_eq!(fs::read_to_string(root.join("bin/b")).unwrap(), "program");
    assert_eq!(fs::read_to_string(root.join(&name)).unwrap(), "x");
    assert!(!root.join("usr/share/man").exists());
    let manifest = Manifest::of_tree(&root).unwrap();
    assert_eq!(manifest.get("tmp").unwrap().mode, 0o1777);
    assert_eq!(manifest.get("usr").unwrap().mode, 0o755, "not declared by anybody");
}

#[test]
fn the_order_of_unpacking_changes_nothing() {
    let a = data(&[folder("./usr/"), file("./usr/x", "same"), file("./usr/a", "a")]);
    let b = data(&[file("./usr/x", "same"), link("./usr/b", "a"), file("./lib/b", "b")]);
    let case = Case::new(&[&a, &b]);
    let recipe = case.recipe();
    let roots = [[0, 1], [1, 0]].map(|order| {
        let place = tempfile::tempdir().unwrap();
        let said = recipe.assemble(&case.store(), place.path(), &order).unwrap();
        assert_eq!(Manifest::of_tree(place.path()).unwrap(), said);
        (said, times(place.path()))
    });
    assert_eq!(roots[0], roots[1]);
    assert!(roots[0].1.iter().all(|time| *time == (1_700_000_000, 0)));
}

fn times(place: &Path) -> Vec<(i64, i64)> {
    use std::os::unix::fs::MetadataExt as _;
    let manifest = Manifest::of_tree(place).unwrap();
    let stats = manifest.iter().map(|(path, _)| place.join(path).symlink_metadata().unwrap());
    stats.map(|stat| (stat.mtime(), stat.mtime_nsec())).collect()
}

#[test]
fn two_packages_that_disagree_are_named_in_any_order() {
    let clashes = [
        (file("./u", "one"), file("./u", "two")),
        (file("./u", "one"), link("./u", "x")),
        (link("./u", "x"), [folder("./u/"), file("./u/x", "x")].concat()),
        (link("./u", "/tmp"), file("./u/evil", "x")),
    ];
    for (one, two) in clashes {
        let case = Case::new(&[&data(&[one]), &data(&[two])]);
        let errors = [[0, 1], [1, 0]].map(|order| {
            let place = tempfile::tempdir().unwrap();
            case.recipe().assemble(&case.store(), place.path(), &order).unwrap_err().to_string()
        });
        assert_eq!(errors[0], errors[1]);
        assert!(errors[0].contains("a_0.deb") && errors[0].contains("a_1.deb"), "{}", errors[0]);
    }
}

/// A valid stream with every sort of member that is taken.
fn sound() -> Vec<u8> {
    tar(&[
        folder("./"),
        folder("./usr/"),
        file("./usr/a", "some text"),
        long_name(150),
        link("./usr/l", "a"),
        hard_link("./usr/h", "./usr/a"),
        file("./usr/z", &"z".repeat(700)),
    ])
}

/// Names and contents as our reader sees them.
fn ours(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut tar = Tar::new(bytes, Budget::of(bytes.len() as u64));
    let mut seen = Vec::new();
    while let Some(member) = tar.next_member()? {
        let mut content = Vec::new();
        if let Content::File(_) = member.content {
            tar.read_to_end(&mut content).map_err(super::read_fault)?;
        }
        seen.push((member.path.to_string(), content));
    }
    Ok(seen)
}

/// The same by the `tar` crate.
fn theirs(bytes: &[u8]) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let mut archive = tar::Archive::new(bytes);
    let mut seen = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = path.trim_start_matches("./").trim_end_matches('/').to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        if !path.is_empty() {
            seen.push((path, content));
        }
    }
    Ok(seen)
}

fn mutated(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let length = bytes.len();
    let edits = prop::collection::vec((0..length, any::<u8>()), 0..4);
    (edits, 0..=length, any::<bool>()).prop_map(move |(edits, cut, whole)| {
        let mut bytes = bytes.clone();
        edits.into_iter().for_each(|(at, byte)| bytes[at] = byte);
        bytes.truncate(if whole { length } else { cut });
        bytes
    })
}

/// Edits in headers, each with its check sum put right: they get further.
fn forged() -> impl Strategy<Value = Vec<u8>> {
    let bytes = sound();
    let blocks = bytes.len() / 512;
    prop::collection::vec((0..blocks, 0..512_usize, any::<u8>()), 1..4).prop_map(move |edits| {
        let mut bytes = bytes.clone();
        for (block, at, byte) in edits {
            let block = &mut bytes[block * 512..][..512];
            let is_header = block[257..262] == *b"ustar";
            block[at] = byte;
            if is_header {
                let header = Block(block.try_into().unwrap()).bytes();
                block.copy_from_slice(&header);
            }
        }
        bytes
    })
}

proptest! {
    // What is found once becomes a case above; no file remembers it.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_tar_is_refused_or_read_as_another_reader_does(
        bytes in prop_oneof![mutated(sound()), forged()]
    ) {
        if let Ok(seen) = ours(&bytes) {
            prop_assert_eq!(theirs(&bytes).unwrap(), seen);
        }
    }

    #[test]
    fn a_mutated_package_never_panics(bytes in mutated(deb(&sound()))) {
        let _refused_or_not = read_all(bytes);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _refused_or_not = ours(&bytes);
        let _refused_or_not = read_all(bytes);
    }
}

fn read_all(bytes: Vec<u8>) -> Result<()> {
    let mut deb = Deb::open(Cursor::new(bytes))?;
    deb.control()?;
    let mut tar = deb.data()?;
    while tar.next_member()?.is_some() {}
    tar.into_inner().finish()
}

#[test]
fn the_sound_stream_is_read_alike_by_both() {
    let seen = ours(&sound()).unwrap();
    assert_eq!(seen.len(), 6);
    assert_eq!(theirs(&sound()).unwrap(), seen);
}
