use super::*;
use crate::root::zip::forge::{Forged, Part};

/// What a test wheel is called on the index.
const FILE: &str = "foo_bar-1.0-py3-none-any.whl";

/// An honest wheel of `files`, as parts that a test can change.
pub(crate) fn parts(file: &str, files: &[(&str, &[u8])]) -> Vec<Part> {
    let name = FileName::parse(file).unwrap();
    let info = format!("{}-{}.dist-info", name.distribution, name.version);
    let metadata =
        format!("Name: {}\nVersion: {}\n\nName: body\n", name.distribution, name.version);
    let (metadata_path, wheel_path) = (format!("{info}/METADATA"), format!("{info}/WHEEL"));
    let mut all = files.to_vec();
    all.push((&metadata_path, metadata.as_bytes()));
    all.push((&wheel_path, b"Wheel-Version: 1.0\n"));
    let row = |(path, bytes): &(&str, &[u8])| {
        format!("{path},sha256={},{}\n", Sha256::of(bytes).base64(), bytes.len())
    };
    let record = all.iter().map(row).collect::<String>() + &format!("{info}/RECORD,,\n");
    let mut parts: Vec<_> = all.iter().map(|(path, bytes)| Part::new(path, bytes)).collect();
    parts.push(Part::new(&format!("{info}/RECORD"), record.as_bytes()));
    parts
}

/// Opens `parts` as the wheel `file`.
pub(crate) fn open(file: &str, parts: Vec<Part>) -> Result<Wheel> {
    let place = tempfile::NamedTempFile::new().unwrap();
    Forged::of(parts).write(place.path());
    Wheel::open(place.path(), file)
}

fn installed(files: &[(&str, &[u8])]) -> Result<Vec<Installed>> {
    open(FILE, parts(FILE, files))?.installed()
}

/// Replaces `part` of an honest wheel by other content, leaving RECORD as it is.
fn with(change: impl FnOnce(&mut Vec<Part>)) -> Error {
    let mut parts = parts(FILE, &[("foo/__init__.py", b"x = 1\n")]);
    change(&mut parts);
    open(FILE, parts).and_then(|wheel| wheel.installed()).unwrap_err()
}

fn replace(parts: &mut [Part], ending: &str, from: &str, to: &str) {
    for part in parts {
        if part.central.name.ends_with(ending.as_bytes()) {
            let mut text = Vec::new();
            let mut inflater = flate2::read::DeflateDecoder::new(&part.raw[..]);
            std::io::Read::read_to_end(&mut inflater, &mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            assert!(text.contains(from), "{text}");
            let name = String::from_utf8(part.central.name.clone()).unwrap();
            *part = Part::new(&name, text.replace(from, to).as_bytes());
        }
    }
}

#[test]
fn an_installed_wheel_is_spread_and_recorded() {
    let files = installed(&[
        ("foo/__init__.py", b"x = 1\n"),
        ("foo_bar-1.0.data/purelib/foo/pure.py", b""),
        ("foo_bar-1.0.data/platlib/foo/plat.so", b"\x7fELF"),
        ("foo_bar-1.0.data/scripts/run", b"#!python -u\n"),
        ("foo_bar-1.0.data/scripts/go", b"#!python\ngo()\n"),
        ("foo_bar-1.0.data/data/share/man", b"man"),
        ("foo_bar-1.0.data/headers/foo.h", b"h"),
        ("foo_bar-1.0.dist-info/entry_points.txt", b"[console_scripts]\ncli = foo:main\n"),
    ]);
    let files = files.unwrap();
    let paths: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.mode)).collect();
    assert_eq!(
        paths,
        [
            ("bin/cli", 0o755),
            ("bin/go", 0o755),
            ("bin/run", 0o755),
            ("foo/__init__.py", 0o644),
            ("foo/plat.so", 0o644),
            ("foo/pure.py", 0o644),
            ("foo_bar-1.0.dist-info/METADATA", 0o644),
            ("foo_bar-1.0.dist-info/RECORD", 0o644),
            ("foo_bar-1.0.dist-info/WHEEL", 0o644),
            ("foo_bar-1.0.dist-info/entry_points.txt", 0o644),
            ("include/foo_bar/foo.h", 0o644),
            ("share/man", 0o644),
        ]
    );
    assert!(matches!(&files[1].content, Content::Made(go) if go == b"#!/usr/bin/python3\ngo()\n"));
    let Content::Made(own) = &files[7].content else { panic!("RECORD is made") };
    let rows = record::parse(own).unwrap();
    assert_eq!(rows.len(), files.len());
    for file in files.iter().filter(|file| !file.path.as_str().ends_with("RECORD")) {
        assert_eq!(rows[&file.path].digest, Some(file.digest), "{}", file.path);
    }
}

#[test]
fn what_record_does_not_say_is_refused() {
    let added = with(|parts| parts.insert(0, Part::new("foo/evil.pth", b"import os")));
    insta::assert_snapshot!(added, @"error: `foo_bar-1.0-py3-none-any.whl`: `foo/evil.pth` is not in RECORD");
    let removed = with(|parts| drop(parts.remove(0)));
    insta::assert_snapshot!(removed, @"error: `foo_bar-1.0-py3-none-any.whl`: RECORD names `foo/__init__.py`, which is not in it");
    let size = with(|parts| replace(parts, "RECORD", ",6\n", ",7\n"));
    insta::assert_snapshot!(size, @"error: `foo_bar-1.0-py3-none-any.whl`: `foo/__init__.py`: RECORD says 7 bytes, found 6");
    let bare = with(|parts| {
        let row = format!("sha256={},6", Sha256::of(b"x = 1\n").base64());
        replace(parts, "RECORD", &row, ",6");
    });
    insta::assert_snapshot!(bare, @"error: `foo_bar-1.0-py3-none-any.whl`: `foo/__init__.py` has no sha256 in RECORD");
    let metadata = with(|parts| replace(parts, "METADATA", "body", "bodY"));
    assert!(metadata.message().contains("METADATA`: RECORD says sha256 "), "{metadata}");
}

#[test]
fn signatures_need_no_row_and_are_not_installed() {
    let mut parts = parts(FILE, &[]);
    parts.push(Part::new("foo_bar-1.0.dist-info/RECORD.jws", b"signed"));
    assert_eq!(open(FILE, parts).unwrap().installed().unwrap().len(), 3);
}

#[test]
fn a_wheel_that_is_another_than_its_name_is_refused() {
    let honest = |file: &str| parts(file, &[("foo.py", b"")]);
    for (file, of, why) in [
        (
            FILE,
            "foo_bar-2.0-py3-none-any.whl",
            "its folder `foo_bar-2.0.dist-info` is of another distribution",
        ),
        (
            FILE,
            "evil-1.0-py3-none-any.whl",
            "its folder `evil-1.0.dist-info` is of another distribution",
        ),
        (
            "../foo_bar-1.0-py3-none-any.whl",
            FILE,
            "`../foo_bar-1.0-py3-none-any.whl` is no name of a wheel",
        ),
    ] {
        let error = open(file, honest(of)).unwrap_err();
        assert!(error.message().ends_with(why), "{error}");
    }
    open("Foo.Bar-1.0-py3-none-any.whl", honest(FILE)).unwrap();

    let other = [("evil-9.dist-info/METADATA", &b""[..])];
    let error = open(FILE, parts(FILE, &other)).unwrap_err();
    assert!(error.message().ends_with("`evil-9.dist-info` is of another distribution"), "{error}");
    let two = [("Foo-Bar-1.0.dist-info/METADATA", &b""[..])];
    assert!(open(FILE, parts(FILE, &two)).is_err());
    let vendored = [("foo/_vendor/evil-9.dist-info/METADATA", &b""[..])];
    open(FILE, parts(FILE, &vendored)).unwrap();
}

#[test]
fn metadata_of_another_distribution_or_format_is_refused() {
    let mut rename = parts(FILE, &[]);
    let bytes = b"Name: other\nVersion: 1.0\n";
    let old = b"Name: foo_bar\nVersion: 1.0\n\nName: body\n";
    rename[0] = Part::new("foo_bar-1.0.dist-info/METADATA", bytes);
    let (from, to) = (Sha256::of(old).base64(), Sha256::of(bytes).base64());
    replace(
        &mut rename,
        "RECORD",
        &format!("{from},{}", old.len()),
        &format!("{to},{}", bytes.len()),
    );
    let error = open(FILE, rename).unwrap_err();
    let why = "METADATA is of other 1.0, the file name of foo_bar 1.0";
    assert!(error.message().ends_with(why), "{error}");

    let mut format = parts(FILE, &[]);
    let (old, new) = (&b"Wheel-Version: 1.0\n"[..], &b"Wheel-Version: 2.0\n"[..]);
    format[1] = Part::new("foo_bar-1.0.dist-info/WHEEL", new);
    replace(&mut format, "RECORD", &Sha256::of(old).base64(), &Sha256::of(new).base64());
    let error = open(FILE, format).unwrap_err();
    assert!(error.message().ends_with("Wheel-Version 2.0: only 1 is known"), "{error}");
}

#[test]
fn files_that_leave_their_place_or_meet_are_refused() {
    for (path, bytes, why) in [
        ("foo_bar-1.0.data/etc/passwd", &b""[..], "wheels have no such sort of data"),
        ("foo_bar-1.0.data/x", b"", "wheels have no such sort of data"),
        ("evil-1.0.data/purelib/x", b"", "is of another distribution"),
        ("foo_bar-1.0.data/purelib/foo/a.py", b"", "two of its files become `foo/a.py`"),
        ("foo_bar-1.0.data/data/bin/go", b"", "two of its files become `bin/go`"),
        (
            "foo_bar-1.0.dist-info/entry_points.txt",
            b"[console_scripts]\n../../x = a:b\n",
            "entry_points.txt line 2: `../../x` is no name of a program",
        ),
        (
            "foo_bar-1.0.dist-info/entry_points.txt",
            b"[console_scripts]\ngo = a:b\n",
            "two of its files become `bin/go`",
        ),
    ] {
        let more = [("foo/a.py", &b""[..]), ("foo_bar-1.0.data/scripts/go", b""), (path, bytes)];
        let error = installed(&more).expect_err(path);
        assert_eq!(error.kind(), Kind::Archive);
        assert!(error.message().ends_with(why), "{error}");
    }
}

proptest::proptest! {
    #[test]
    fn any_record_and_any_entry_points_are_read_or_refused(text: Vec<u8>) {
        let _either = (record::parse(&text), scripts::from_entry_points(&text));
    }
}
