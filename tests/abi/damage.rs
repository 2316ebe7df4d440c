//! Files that are no op libraries, and broken ones: a sentence each, never a panic.

use proptest::prelude::*;
use xtask::abi::OpLibrary;
use xtask::abi::elf::Elf;

use super::{Bench, GOOD};

#[test]
fn what_is_not_an_op_library_is_called_what_it_is() {
    let bench = Bench::new();
    let good = std::fs::read(bench.op("good", GOOD, &[]).path).unwrap();
    let patched = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    bench.write("unit.cc", "int unit;");
    bench.compile(&["-c", "unit.cc", "-o", "unit.o"]);
    let object = std::fs::read(bench.path("unit.o")).unwrap();
    let cases: [(&str, Vec<u8>); 13] = [
        ("empty", Vec::new()),
        ("text", b"#!/bin/sh\nexit 0\n".to_vec()),
        ("random", (0..=255).collect()),
        ("pointer", b"version https://git-lfs.example/spec/v1\n".to_vec()),
        ("archive", b"!<arch>\n".to_vec()),
        ("windows", b"MZ\x90\0".to_vec()),
        ("object", object),
        ("arm64", patched(18, 183)),
        ("bits32", patched(4, 1)),
        ("big_endian", patched(5, 2)),
        ("header_only", good[..40].to_vec()),
        ("half", good[..good.len() / 2].to_vec()),
        ("one_byte_less", good[..good.len() - 1].to_vec()),
    ];
    let mut book = String::new();
    for (name, bytes) in cases {
        let path = bench.path(name);
        std::fs::write(&path, bytes).unwrap();
        let op = OpLibrary { package: name.to_owned(), path };
        let error = bench.gate(&[op]).unwrap_err().to_string();
        let found = error.lines().find_map(|line| line.strip_prefix("  found: "));
        book += &format!("{name}: {}\n", found.unwrap_or(&error));
    }
    let sizes = book.replace(&good.len().to_string(), "ALL");
    let sizes = sizes.replace(&(good.len() - 1).to_string(), "ALL-1");
    insta::assert_snapshot!(sizes.replace(&(good.len() / 2).to_string(), "HALF"), @"
    empty: an empty file
    text: a text file
    random: not an ELF file
    pointer: a git-lfs pointer, not the file itself
    archive: a static archive
    windows: a Windows library
    object: an object file, not yet linked
    arm64: a library for arm64
    bits32: a 32-bit library
    big_endian: a big-endian library
    header_only: a truncated library: 40 of 64 bytes
    half: a truncated library: HALF of ALL bytes
    one_byte_less: a truncated library: ALL-1 of ALL bytes
    ");
}

/// A library with versions, notes, exceptions, clones: as many tables as g++ makes.
fn rich() -> Vec<u8> {
    let bench = Bench::new();
    let source = GOOD.to_owned()
        + "#include <string>\n__attribute__((target_clones(\"avx2\", \"default\"))) int f(int a) { return a; }\n\
           std::string g(int a) { if (a > 3) throw a; return std::to_string(a); }";
    std::fs::read(bench.op("rich", &source, &["-Wl,--build-id=sha1"]).path).unwrap()
}

#[test]
fn no_mutation_of_a_library_breaks_the_reader() {
    let good = rich();
    Elf::parse(&good).unwrap();
    let sections = |elf: &Elf<'_>| elf.sections.len() + elf.undefined.len() + elf.functions.len();
    let bound = sections(&Elf::parse(&good).unwrap());
    let edits = prop::collection::vec((0..good.len(), any::<u8>()), 1..12);
    // Headers and tables are where the danger is: half of the edits go there.
    let header = prop::collection::vec((0..64usize, any::<u8>()), 0..4);
    let tables = prop::collection::vec((good.len() - 2048..good.len(), any::<u8>()), 0..4);
    let cut = prop::option::of(0..good.len());
    proptest!(ProptestConfig::with_cases(2_000), |(edits in edits, header in header, tables in tables, cut in cut)| {
        let mut bytes = good.clone();
        for (at, byte) in edits.into_iter().chain(header).chain(tables) {
            bytes[at] = byte;
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        if let Ok(elf) = Elf::parse(&bytes) {
            // Nothing found is more than the file can hold.
            prop_assert!(sections(&elf) <= bytes.len() / 8 + bound);
        }
    });
}

proptest! {
    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let magic = [&[0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 62, 0], &bytes[..]].concat();
        drop(Elf::parse(&magic));
        drop(Elf::parse(&bytes));
    }
}
