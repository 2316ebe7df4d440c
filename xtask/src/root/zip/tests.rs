use std::path::PathBuf;

use super::forge::{Forged, Part, deflated};
use super::*;

/// Opens bytes as the archive `a.whl`.
fn open(bytes: &[u8]) -> Result<Archive> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    Archive::open(file.path(), "a.whl")
}

/// All names and contents.
fn contents(archive: &Archive) -> Result<Vec<(String, Vec<u8>)>> {
    let members = archive.members().iter();
    members.map(|member| Ok((member.name.to_string(), archive.read(member)?))).collect()
}

fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    contents(&open(bytes)?)
}

fn good() -> Forged {
    Forged::of([
        Part::new("a/", b""),
        Part::new("a/b", b"bbbbbbbbbbbbbbbbbbbbbbbb"),
        Part::stored("c", b"plain"),
    ])
}

/// A member of 24 bytes whose sizes stand in zip64 fields.
fn wide() -> Part {
    let mut part = Part::new("wide", &[b'w'; 24]);
    let sizes = [24u64.to_le_bytes(), (part.raw.len() as u64).to_le_bytes()].concat();
    part.both(|header| {
        header.extra = [&[1, 0, 16, 0][..], &sizes].concat();
        (header.packed, header.size) = (u32::MAX, u32::MAX);
    });
    part
}

/// A member whose CRC and sizes stand behind its data.
fn streamed(signed: bool, long: bool) -> Part {
    let mut part = Part::new("streamed", b"streamed");
    let header = part.central.clone();
    part.both(|header| header.flags |= 8);
    (part.local.crc, part.local.packed, part.local.size) = (0, 0, 0);
    part.raw.extend(if signed { &b"PK\x07\x08"[..] } else { b"" });
    part.raw.extend(header.crc.to_le_bytes());
    for number in [header.packed, header.size] {
        let bytes = u64::from(number).to_le_bytes();
        part.raw.extend(if long { &bytes[..] } else { &bytes[..4] });
    }
    part
}

#[test]
fn honest_archives_are_read() {
    let files = read(&good().bytes()).unwrap();
    assert_eq!(files, [("a/b".into(), vec![b'b'; 24]), ("c".into(), b"plain".to_vec())]);
    assert_eq!(read(&Forged::default().bytes()).unwrap(), []);
    assert_eq!(read(&Forged::of([wide()]).bytes()).unwrap()[0].1, [b'w'; 24]);
    for (signed, long) in [(false, false), (false, true), (true, false), (true, true)] {
        let forged = Forged::of([streamed(signed, long), Part::new("z", b"z")]);
        assert_eq!(read(&forged.bytes()).unwrap()[0].1, b"streamed", "{signed} {long}");
    }
    let umlaut = Forged::of([Part::new("ä", b"x")]);
    assert_eq!(read(&umlaut.bytes()).unwrap()[0].0, "ä");
}

#[test]
fn the_raw_stream_is_the_archives_own() {
    let bytes = good().bytes();
    let archive = open(&bytes).unwrap();
    let member = &archive.members()[0];
    let mut raw = Vec::new();
    archive.raw(member).read_to_end(&mut raw).unwrap();
    assert_eq!(raw, deflated(&[b'b'; 24]));
    assert_eq!((member.packed, member.size), (raw.len() as u64, 24));
}

/// A lie, and the end of the error that it gets.
type Case = (&'static str, fn(&mut Forged));

fn refuse_each(cases: &[Case]) {
    for (why, lie) in cases {
        let mut forged = good();
        lie(&mut forged);
        let error = read(&forged.bytes()).expect_err(why);
        assert_eq!(error.kind(), Kind::Archive, "{error}");
        assert!(error.message().ends_with(why), "expected … {why}\nfound {}", error.message());
        assert!(error.message().starts_with("`a.whl`: "), "{error}");
    }
}

#[test]
fn lies_about_the_layout_are_refused() {
    refuse_each(&[
        ("9 bytes stand before its first member", |f| f.prefix = b"#!/bin/sh".to_vec()),
        ("3 bytes behind `c` belong to no member", |f| f.gap = b"gap".to_vec()),
        ("its directory does not end where the end record begins", |f| {
            f.before_end = b"x".to_vec();
        }),
        ("it does not end with the end record of a zip archive without comment", |f| {
            f.comment = b"PK\x05\x06".to_vec();
        }),
        ("member 4: the directory is damaged", |f| f.entries = Some(4)),
        ("its directory has more than its members", |f| f.entries = Some(2)),
        ("its directory does not end where the end record begins", |f| f.offset = Some(0)),
        ("its directory does not end where the end record begins", |f| f.size = Some(1)),
        ("its zip64 end record is damaged", |f| f.entries = Some(u16::MAX)),
        ("4 bytes behind `a/b` belong to no member", |f| f.parts[1].raw.extend(b"more")),
        ("its data reach beyond the members", |f| {
            f.parts[2].both(|h| {
                (h.packed, h.size) = (6, 6);
            })
        }),
        ("its local header reaches beyond the members", |f| f.parts[2].offset = Some(1 << 31)),
    ]);
}

#[test]
fn members_that_share_bytes_are_refused() {
    // One stream, many members: the bomb that needs no recursion.
    refuse_each(&[
        ("it stands twice in the archive", |f| {
            let mut again = f.parts[1].clone();
            again.offset = Some(30 + 2);
            f.parts.push(again);
        }),
        ("its local header names it `a/b`", |f| {
            let mut again = f.parts[1].clone();
            again.offset = Some(30 + 2);
            again.central.name = b"d".to_vec();
            f.parts.push(again);
        }),
        ("overlap", |f| {
            // A whole archive member inside the data of another.
            let inner = Forged::of([Part::stored("in", b"inside")]);
            let bytes = inner.bytes();
            let mut outer = Part::stored("out", &bytes[..30 + 2 + 6]);
            outer.offset = Some(0);
            let mut part = inner.parts[0].clone();
            part.offset = Some(30 + 3);
            part.local.name = b"xx".to_vec();
            *f = Forged::of([outer, part]);
            f.gap = Vec::new();
        }),
    ]);
}

#[test]
fn headers_that_disagree_are_refused() {
    refuse_each(&[
        ("its local header names it `other`", |f| f.parts[2].local.name = b"other".to_vec()),
        ("crc 00000000, 5 bytes for 5 before its data", |f| f.parts[2].local.crc = 0),
        ("6 bytes for 5 before its data", |f| f.parts[2].local.packed = 6),
        ("5 bytes for 6 before its data", |f| f.parts[2].local.size = 6),
        ("5 bytes for 5 before its data", |f| f.parts[2].local.method = 8),
        ("5 bytes for 5 before its data", |f| f.parts[2].local.flags = 2),
        ("0 bytes for 0 before its data", |f| {
            let local = &mut f.parts[2].local;
            (local.crc, local.packed, local.size) = (0, 0, 0);
        }),
    ]);
}

#[test]
fn lies_of_zip64_fields_and_data_descriptors_are_refused() {
    fn with(f: &mut Forged, mut part: Part, lie: impl FnOnce(&mut Part)) {
        lie(&mut part);
        f.parts.push(part);
    }
    refuse_each(&[
        ("its zip64 field is missing or cut off", |f| {
            with(f, wide(), |part| part.central.extra.clear());
        }),
        ("its zip64 field says more than is asked", |f| {
            with(f, wide(), |part| part.central.size = 24);
        }),
        ("its zip64 field has not two sizes", |f| {
            with(f, wide(), |part| part.local.extra = vec![1, 0, 1, 0, 0]);
        }),
        ("its zip64 field says other sizes", |f| {
            with(f, wide(), |part| part.local.size = 25);
        }),
        ("extra field 0x0001 is not allowed, or stands twice", |f| {
            with(f, wide(), |part| part.central.extra.extend([1, 0, 0, 0]));
        }),
        ("the archive has more than 200 times its size, or 8589934592 bytes, of content", |f| {
            with(f, wide(), |part| part.both(|header| header.extra[4..9].fill(0x80)));
        }),
        ("16 bytes behind `streamed` belong to no member", |f| {
            with(f, streamed(true, false), |part| {
                part.raw.iter_mut().last().map_or((), |b| *b ^= 1)
            });
        }),
        ("13 bytes behind `streamed` belong to no member", |f| {
            with(f, streamed(false, false), |part| part.raw.push(0));
        }),
        ("0 bytes behind `streamed` belong to no member", |f| {
            with(f, streamed(false, false), |part| part.raw.truncate(part.raw.len() - 12));
        }),
    ]);
}

#[test]
fn names_that_escape_or_that_readers_disagree_on_are_refused() {
    fn named(f: &mut Forged, name: &[u8]) {
        f.parts[2].both(|header| header.name = name.to_vec());
    }
    refuse_each(&[
        ("the name `../c` has a `..` component", |f| named(f, b"../c")),
        ("the name `/c` is absolute", |f| named(f, b"/c")),
        ("the name `c/../../d` has a `..` component", |f| named(f, b"c/../../d")),
        ("the name `./c` has an empty or `.` component", |f| named(f, b"./c")),
        ("the name `c//d` has an empty or `.` component", |f| named(f, b"c//d")),
        ("the name `c\\x00.py` has a control character", |f| named(f, b"c\0.py")),
        ("its name has a backslash", |f| named(f, b"..\\c")),
        ("the name `` is empty", |f| named(f, b"")),
        ("the name `` is empty", |f| named(f, b"/")),
        ("its name is in no stated character set", |f| named(f, "ä".as_bytes())),
        ("is not UTF-8", |f| {
            named(f, b"\xff");
            f.parts[2].both(|header| header.flags = 1 << 11);
        }),
        ("has a component of more than 255 bytes", |f| named(f, &[b'n'; 256])),
        ("is deeper than 64 folders", |f| named(f, &b"d/".repeat(500)[..999])),
        ("is longer than 1024 bytes", |f| named(f, &b"d/".repeat(2000)[..3999])),
        ("`a/b`: it stands twice in the archive", |f| named(f, b"a/b")),
        ("`a/`: it stands twice in the archive", |f| f.parts.push(f.parts[0].clone())),
        ("`a` is a file and a folder", |f| named(f, b"a")),
        ("`a/b` is a file and a folder", |f| named(f, b"a/b/c/d")),
        ("extra field 0x7075 is not allowed, or stands twice", |f| {
            // Info-ZIP's Unicode path: another name for those who know it.
            f.parts[2].both(|header| header.extra = b"\x75\x70\x06\0\x01\0\0\0\0d".to_vec());
        }),
        ("an extra field is cut off", |f| f.parts[2].central.extra = vec![0x55, 0x54, 9, 0, 1]),
    ]);
}

#[test]
fn what_is_neither_file_nor_folder_is_refused() {
    refuse_each(&[
        ("it is a symbolic link", |f| f.parts[2].mode = 0o120_777),
        ("its file type 0o20000 is neither file nor folder", |f| f.parts[2].mode = 0o020_666),
        ("its file type 0o10000 is neither file nor folder", |f| f.parts[2].mode = 0o010_666),
        ("its file type 0o40000 is neither file nor folder", |f| f.parts[2].mode = 0o040_755),
        ("its file type 0o100000 is neither file nor folder", |f| f.parts[0].mode = 0o100_644),
        ("it is setuid, setgid or sticky (mode 4000)", |f| f.parts[2].mode = 0o104_755),
        ("it is a folder with content", |f| {
            f.parts[2].both(|h| h.name = b"c/".to_vec());
            f.parts[2].mode = 0;
        }),
        ("encrypted, patched or of an unknown sort", |f| f.parts[2].both(|h| h.flags = 1)),
        ("compression method 14 is neither stored nor deflate", |f| {
            f.parts[2].both(|h| h.method = 14);
        }),
        ("it is stored, but 6 bytes as 5", |f| f.parts[2].both(|h| h.size = 6)),
    ]);
    let mut foreign = good();
    (foreign.parts[2].system, foreign.parts[2].mode) = (0, 0o120_777);
    assert_eq!(open(&foreign.bytes()).unwrap().members()[1].mode, None, "DOS has no links");
}

#[test]
fn contents_that_are_not_as_declared_are_refused() {
    refuse_each(&[
        ("`a/b`: its content is longer than declared", |f| f.parts[1].both(|h| h.size = 23)),
        ("`a/b`: its content is 1 bytes shorter than declared", |f| {
            f.parts[1].both(|h| h.size = 25);
        }),
        ("`c`: expected crc 00000007, found 192062cf", |f| f.parts[2].both(|h| h.crc = 7)),
        ("`a/b`: bytes follow the end of its deflate stream", |f| {
            let raw = [&deflated(&[b'b'; 24])[..], b"hidden"].concat();
            f.parts[1].pack(8, raw);
        }),
        ("`a/b`: its deflate stream is cut off", |f| {
            let mut raw = deflated(&[b'b'; 24]);
            raw.pop();
            f.parts[1].pack(8, raw);
        }),
        ("`a/b`: its deflate stream is cut off", |f| f.parts[1].pack(8, Vec::new())),
        ("`a/b`: its deflate stream is damaged", |f| f.parts[1].pack(8, vec![0xff; 9])),
    ]);
}

#[test]
fn a_bomb_is_refused_by_what_it_declares_and_stopped_by_what_it_holds() {
    let zeros = vec![0; 32 << 20];
    let honest = Forged::of([Part::new("zeros", &zeros)]).bytes();
    assert!(honest.len() < 40_000, "more than 800 to 1");
    let error = open(&honest).unwrap_err();
    assert!(error.message().ends_with("of content"), "{error}");

    let mut liar = Forged::of([Part::new("zeros", &zeros)]);
    liar.parts[0].both(|header| header.size = 10);
    let archive = open(&liar.bytes()).unwrap();
    let mut most = 0;
    let error = archive.copy(&archive.members()[0], |piece| {
        most += piece.len();
        Ok(())
    });
    assert!(error.unwrap_err().message().ends_with("its content is longer than declared"));
    assert_eq!(most, 0, "nothing is handed on");

    let mut big = wide();
    big.both(|header| header.extra[4..12].copy_from_slice(&(1u64 << 40).to_le_bytes()));
    assert!(open(&Forged::of([big]).bytes()).unwrap_err().message().ends_with("of content"));

    let many = (0..u32::from(u16::MAX) - 1).map(|n| Part::stored(&format!("{n:0900}"), b""));
    let error = open(&Forged::of(many).bytes()).unwrap_err();
    assert!(error.message().ends_with("its directory has more than 33554432 bytes"), "{error}");
}

#[test]
fn a_large_member_is_streamed_and_not_read_whole() {
    let noise: Vec<u8> =
        (0..1u32 << 20).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let content = noise.repeat(17);
    let archive = open(&Forged::of([Part::stored("large", &content)]).bytes()).unwrap();
    let member = &archive.members()[0];
    let error = archive.read(member).unwrap_err();
    assert!(error.message().ends_with("its 71303168 bytes are too many for what it is"), "{error}");
    let mut length = 0;
    archive
        .copy(member, |piece| {
            assert!(piece.len() <= 1 << 20);
            length += piece.len();
            Ok(())
        })
        .unwrap();
    assert_eq!(length, content.len());
}

#[test]
fn no_flipped_bit_gives_other_contents() {
    let forged = Forged::of([
        Part::new("a/", b""),
        wide(),
        streamed(true, false),
        Part::stored("c", b"plain"),
    ]);
    let bytes = forged.bytes();
    let honest = read(&bytes).unwrap();
    for at in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        if let Ok(found) = read(&flipped) {
            assert_eq!(found, honest, "bit {at}");
        }
    }
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "cut at {length}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        edits: Vec<(proptest::sample::Index, Vec<u8>)>,
        cut: Option<proptest::sample::Index>,
    ) {
        let mut bytes = Forged::of([wide(), streamed(true, true), Part::new("a", b"a")]).bytes();
        for (at, with) in edits {
            let at = at.index(bytes.len());
            let end = (at + with.len()).min(bytes.len());
            bytes.splice(at..end, with);
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len() + 1));
        }
        let _either = read(&bytes);
    }

    #[test]
    fn what_is_packed_is_unpacked(files: Vec<Vec<u8>>) {
        let name = |at: usize| format!("{at}/file");
        let parts = files.iter().enumerate().map(|(at, content)| Part::new(&name(at), content));
        let found = read(&Forged::of(parts).bytes()).unwrap();
        let expected: Vec<_> = files.into_iter().enumerate().map(|(at, file)| (name(at), file)).collect();
        proptest::prop_assert_eq!(found, expected);
    }
}

/// Archives as Python's own writer makes them: plain, streamed to a pipe, and with zip64
/// fields where none are needed.
const PYTHON: &str = r#"
import io, sys, zipfile
class Pipe(io.RawIOBase):
    def __init__(self, file): self.file = file
    def writable(self): return True
    def write(self, data): return self.file.write(data)
for sort in "plain", "streamed", "zip64":
    with open(sys.argv[1] + "/" + sort, "wb") as file:
        with zipfile.ZipFile(Pipe(file) if sort == "streamed" else file, "w", 8) as archive:
            for name, size in ("a/b", 100000), ("ä", 3), ("empty", 0):
                with archive.open(name, "w", force_zip64=sort == "zip64") as member:
                    member.write(bytes(range(256)) * (size // 256) + b"x" * (size % 256))
"#;

#[test]
fn archives_that_python_writes_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let place: PathBuf = folder.path().to_owned();
    let shell = crate::command::shell().unwrap();
    let env = crate::command::Env::host(&["PATH"]);
    let step = crate::command::cmd!(shell, "python3 -I -c {PYTHON} {place}");
    if let Err(error) = crate::command::read(step, &env) {
        println!("skipped: {error}");
        return;
    }
    for sort in ["plain", "streamed", "zip64"] {
        let found = contents(&Archive::open(&place.join(sort), sort).unwrap()).unwrap();
        let names: Vec<_> =
            found.iter().map(|(name, bytes)| (name.as_str(), bytes.len())).collect();
        assert_eq!(names, [("a/b", 100_000), ("ä", 3), ("empty", 0)], "{sort}");
    }
}
