//! Tar headers, written one way: "ustar" (POSIX.1-2017, pax, "ustar Interchange Format").
//! An extended header (same page, "pax Extended Header") comes before a member only when
//! ustar cannot say its name.
//!
//! Every member belongs to 0:0, without user or group name, and has the one time that the
//! lock pins, so that two layers differ only where their content does.

use crate::error::{Error, Kind, Result};

/// Size of a header, and what every member's bytes are padded to.
pub const BLOCK: usize = 512;
/// The end of an archive: two blocks of zeros.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The largest size that 11 octal digits say: 8 GiB less one byte.
const LARGEST: u64 = 0o77_777_777_777;
/// Room in a header for a name, for what comes before it, and for a link's target.
const NAME: usize = 100;
const PREFIX: usize = 155;

/// What a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort<'a> {
    /// A folder.
    Folder,
    /// A regular file.
    File {
        /// Bytes that follow the header.
        size: u64,
    },
    /// A symbolic link.
    Link {
        /// As `readlink` gives it.
        target: &'a str,
    },
}

/// Appends the header of one member to `out`. `path` is relative, without a slash at its
/// end; `mtime` is in seconds since 1970.
pub fn header(out: &mut Vec<u8>, path: &str, mode: u32, sort: Sort<'_>, mtime: u64) -> Result<()> {
    let name = if sort == Sort::Folder { format!("{path}/") } else { path.to_owned() };
    let (flag, size, target) = match sort {
        Sort::Folder => (b'5', 0, ""),
        Sort::File { size } if size > LARGEST => return Err(too_big(path, size)),
        Sort::File { size } => (b'0', size, ""),
        Sort::Link { target } => (b'2', 0, target),
    };
    let fields = Fields { mode, size, mtime, flag };
    let mut records = Vec::new();
    let (prefix, short) = split(&name).unwrap_or_else(|| {
        records.extend(record("path", &name));
        ("", "pax")
    });
    let target = if plain(target) && target.len() <= NAME {
        target
    } else {
        records.extend(record("linkpath", target));
        "pax"
    };
    if !records.is_empty() {
        let fields = Fields { mode: 0o644, size: records.len() as u64, mtime, flag: b'x' };
        out.extend_from_slice(&block("", "pax", "", &fields));
        out.extend_from_slice(&records);
        out.resize(out.len() + padding(records.len() as u64), 0);
    }
    out.extend_from_slice(&block(prefix, short, target, &fields));
    Ok(())
}

/// Zeros that follow `size` bytes of a member.
pub fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// ustar speaks ASCII.
fn plain(text: &str) -> bool {
    text.is_ascii()
}

/// The name as ustar has it: what comes before a slash, and what after it.
fn split(name: &str) -> Option<(&str, &str)> {
    if !plain(name) {
        return None;
    }
    if name.len() <= NAME {
        return Some(("", name));
    }
    let slashes = name.match_indices('/').map(|(at, _)| (&name[..at], &name[at + 1..]));
    let fits = |(prefix, rest): &(&str, &str)| {
        prefix.len() <= PREFIX && !rest.is_empty() && rest.len() <= NAME
    };
    slashes.rev().find(fits)
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits too.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3; // space, `=` and line end
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

/// The numbers of a header.
struct Fields {
    mode: u32,
    size: u64,
    mtime: u64,
    flag: u8,
}

fn block(prefix: &str, name: &str, target: &str, fields: &Fields) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, format!("{:07o}", fields.mode).as_bytes());
    put(108, b"0000000"); // user
    put(116, b"0000000"); // group
    put(124, format!("{:011o}", fields.size).as_bytes());
    put(136, format!("{:011o}", fields.mtime).as_bytes());
    put(148, b"        "); // the sum counts its own field as spaces
    put(156, &[fields.flag]);
    put(157, target.as_bytes());
    put(257, b"ustar\x0000");
    put(345, prefix.as_bytes());
    let sum = sum(&block);
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// The sum of all bytes, eight at a time in two sums of four lanes each: a lane has room for
/// those of a whole block.
fn sum(block: &[u8; BLOCK]) -> u32 {
    const LANES: u64 = 0x00ff_00ff_00ff_00ff;
    let (words, _) = block.as_chunks::<8>();
    let (mut even, mut odd) = (0, 0);
    for word in words {
        let word = u64::from_le_bytes(*word);
        even += word & LANES;
        odd += word >> 8 & LANES;
    }
    let lane = |at: u32| ((even >> at & 0xffff) + (odd >> at & 0xffff)) as u32;
    lane(0) + lane(16) + lane(32) + lane(48)
}

fn too_big(path: &str, size: u64) -> Error {
    let message = format!("`{path}` has {size} bytes: a tar member holds {LARGEST}");
    Error::new(Kind::Archive, message)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// One archive of all `members`, whose content is as many `x` as they are big.
    fn archive(members: &[(&str, u32, Sort<'_>)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (path, mode, sort) in members {
            header(&mut out, path, *mode, *sort, 1_772_669_760).unwrap();
            if let Sort::File { size } = sort {
                out.resize(out.len() + *size as usize, b'x');
                out.resize(out.len() + padding(*size), 0);
            }
        }
        out.extend(END);
        out
    }

    /// What another reader makes of it.
    fn read(bytes: &[u8]) -> Vec<(String, u32, u64, Option<String>)> {
        let mut archive = ::tar::Archive::new(bytes);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let (header, path) = (entry.header().clone(), entry.path().unwrap().into_owned());
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            assert_eq!(header.mtime().unwrap(), 1_772_669_760);
            let target = entry.link_name().unwrap().map(|t| t.to_string_lossy().into_owned());
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            let size = content.len() as u64;
            (path.to_string_lossy().into_owned(), header.mode().unwrap(), size, target)
        });
        entries.collect()
    }

    #[test]
    fn another_reader_sees_what_was_written() {
        let long = format!("usr/{}/{}", "d".repeat(120), "f".repeat(90));
        let longer = format!("usr/{}/{}", "d".repeat(160), "f".repeat(120));
        let target = "t".repeat(101);
        let members = [
            ("usr", 0o755, Sort::Folder),
            ("usr/empty", 0o644, Sort::File { size: 0 }),
            ("usr/block", 0o755, Sort::File { size: 512 }),
            (&long, 0o644, Sort::File { size: 513 }),
            (&longer, 0o600, Sort::File { size: 1 }),
            ("usr/Főtanúsítvány.crt", 0o644, Sort::File { size: 3 }),
            ("bin", 0o777, Sort::Link { target: "usr/bin" }),
            ("far", 0o777, Sort::Link { target: &target }),
        ];
        let bytes = archive(&members);
        assert_eq!(bytes.len() % BLOCK, 0);
        let expected: Vec<_> = members
            .iter()
            .map(|(path, mode, sort)| match sort {
                Sort::Folder => (format!("{path}/"), *mode, 0, None),
                Sort::File { size } => ((*path).to_owned(), *mode, *size, None),
                Sort::Link { target } => ((*path).to_owned(), *mode, 0, Some((*target).to_owned())),
            })
            .collect();
        assert_eq!(read(&bytes), expected);
    }

    #[test]
    fn an_extended_header_only_where_a_name_needs_one() {
        let blocks = |path: &str| {
            let mut out = Vec::new();
            header(&mut out, path, 0o644, Sort::File { size: 0 }, 0).unwrap();
            out.len() / BLOCK
        };
        assert_eq!(blocks(&"f".repeat(100)), 1);
        assert_eq!(blocks(&format!("{}/{}", "d".repeat(155), "f".repeat(100))), 1);
        assert_eq!(blocks(&format!("{}/{}", "d".repeat(156), "f".repeat(100))), 3);
        assert_eq!(blocks(&"f".repeat(101)), 3);
        assert_eq!(blocks("ő"), 3);
    }

    #[test]
    fn a_records_length_counts_itself() {
        for length in [1, 85, 86, 87, 88, 90, 91, 984, 985, 986, 990] {
            let record = record("path", &"p".repeat(length));
            let text = std::str::from_utf8(&record).unwrap();
            assert_eq!(text.split(' ').next().unwrap().parse(), Ok(record.len()));
        }
    }

    #[test]
    fn the_sum_has_room_for_any_block() {
        assert_eq!(sum(&[0xff; BLOCK]), 0xff * BLOCK as u32);
        let mut block = [0; BLOCK];
        block.iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8);
        assert_eq!(sum(&block), 2 * (0..256).sum::<u32>());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |size| header(&mut Vec::new(), "f", 0o644, Sort::File { size }, 0).is_err();
        assert!(refused(LARGEST + 1) && !refused(LARGEST));
    }

    proptest::proptest! {
        #[test]
        fn any_name_is_read_back(path in "[a-zé]{1,80}(/[a-zé.]{1,120}){0,4}") {
            let bytes = archive(&[(&path, 0o644, Sort::File { size: 7 })]);
            let found = read(&bytes);
            proptest::prop_assert_eq!(&found, &[(path, 0o644, 7, None)]);
        }
    }
}
