//! Bytes as compilers and archivers make them.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::command::{self, Env, cmd};
use crate::root::zip::forge::{Forged, Part};

/// A shared library of C sources, in this order, made by the machine's compiler.
fn library(sources: &[&str], flags: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    library_in(folder.path(), sources, flags)
}

fn library_in(folder: &Path, sources: &[&str], flags: &[&str]) -> Vec<u8> {
    let sh = command::shell().unwrap();
    sh.change_dir(folder);
    let mut objects = Vec::new();
    for source in sources {
        // The name goes with the contents, so that another order is only that.
        let name = format!("f{}", sources.iter().filter(|other| *other < source).count());
        std::fs::write(folder.join(format!("{name}.c")), source).unwrap();
        let object = format!("{name}.o");
        let step = cmd!(sh, "cc -c -O1 -fPIC -g0 {flags...} {name}.c -o {object}");
        command::read(step, &Env::host(&[])).unwrap();
        objects.push(object);
    }
    let step = cmd!(sh, "cc -shared -Wl,--build-id=none {flags...} {objects...} -o out.so");
    command::read(step, &Env::host(&[])).unwrap();
    std::fs::read(folder.join("out.so")).unwrap()
}

/// What is said of two libraries.
fn told(one: &[u8], other: &[u8]) -> String {
    let differences = compare("libx.so", one, other);
    assert!(!differences.is_empty(), "nothing is said");
    differences.iter().map(|d| format!("{d}\n")).collect()
}

fn sources(one: &str, other: &str) -> String {
    told(&library(&[one], &[]), &library(&[other], &[]))
}

#[test]
fn equal_libraries_need_no_words() {
    let source = ["int f(void) { return 1; }"];
    assert_eq!(compare("libx.so", &library(&source, &[]), &library(&source, &[])), []);
}

#[test]
fn texts_in_the_data_are_named_with_their_section_and_symbol() {
    let told = sources(
        "const char when[] = \"built Nov 22 2026 10:11:12\";",
        "const char when[] = \"built Jan  3 2034 01:02:03\";",
    );
    insta::assert_snapshot!(told.replace(|c: char| c.is_ascii_digit(), "9"), @"libx.so: section .rodata (when) at byte 9x9: a time of the build is in it: `built Nov 99 9999 99:99:99` against `built Jan  9 9999 99:99:99`");
    let told = sources(
        "const char *where(void) { return \"/home/one/ops/a.cc\"; }",
        "const char *where(void) { return \"/srv/deep/other/ops/a.cc\"; }",
    );
    assert!(told.contains("section .rodata"), "{told}");
    assert!(told.contains("a path of the build is in it: `/home/one/ops/a.cc`"), "{told}");
    assert_eq!(told.lines().count(), 1, "moved addresses are no cause: {told}");
}

#[test]
fn a_number_in_code_or_data_is_one() {
    let told = sources("int seed(void) { return 4711; }", "int seed(void) { return 815; }");
    assert!(told.starts_with("libx.so: section .text (seed) at byte"), "{told}");
    assert!(told.contains("a number that changes from build to build is in it"), "{told}");
    let told = sources("const int seed = 4711;", "const int seed = 815;");
    assert!(told.starts_with("libx.so: section .rodata (seed)"), "{told}");
    let told = sources("const long when = 1795390000;", "const long when = 1795399999;");
    assert!(told.contains("a time of the build is in it"), "{told}");
    let told = sources("unsigned long at = 0x7f12a4b0c010;", "unsigned long at = 0x7ffe00b0c018;");
    assert!(told.contains("(at) at byte"), "{told}");
    assert!(told.contains("an address in memory is in it"), "{told}");
}

#[test]
fn one_number_may_be_a_time_and_many_are_none() {
    let floats = |values: [f32; 4]| values.map(f32::to_le_bytes).concat();
    let cause = |other| compare("x", &floats([1.0; 4]), &floats(other))[0].cause;
    assert_eq!(cause([2.0; 4]), Cause::Contents);
    assert_eq!(cause([1.0, 1.0, 1.0, 2.0]), Cause::Timestamp, "as far as its bytes tell");
}

#[test]
fn a_constant_in_code_is_read_where_its_instruction_has_it() {
    // What stands before the constant, read with it, would look like a time.
    let store = |value: u32| format!("static volatile int n; void f(void) {{ n = {value}; }}");
    let seed = sources(&store(0x5aad), &store(0x7ae5));
    assert!(seed.contains("a number that changes from build to build is in it"), "{seed}");
    let time = sources(&store(1_795_390_000), &store(1_795_399_999));
    assert!(time.contains("section .text (f)"), "{time}");
    assert!(time.contains("a time of the build is in it"), "{time}");
    let known = Known { times: vec![1_000_000_000..=1_000_000_001], ..Known::default() };
    let (one, other) = (store(1_795_390_000), store(1_795_399_999));
    let (one, other) = (library(&[&one], &[]), library(&[&other], &[]));
    let differences = compare_knowing("libx.so", &one, &other, &known);
    assert_eq!(differences[0].cause, Cause::Number, "{differences:?}");
}

#[test]
fn other_code_is_named_by_its_function() {
    let told = sources(
        "int f(int a) { return a + 1; } int g(int a) { return a; }",
        "int f(int a) { return a * a - 7; } int g(int a) { return a; }",
    );
    assert!(told.starts_with("libx.so: section .text (f)"), "{told}");
    assert!(told.contains("other machine code"), "{told}");
}

#[test]
fn the_order_of_linking_is_an_order() {
    let (a, b) = ("int a(void) { return 1; }", "int b(void) { return 2; }");
    let told = told(&library(&[a, b], &[]), &library(&[b, a], &[]));
    insta::assert_snapshot!(told.lines().find(|line| line.contains("symbols")).unwrap(), @"libx.so: the symbols: the same things come in another order: `a` against `b`");
    assert!(!told.contains("machine code"), "{told}");
}

#[test]
fn a_build_id_is_named_only_when_nothing_explains_it() {
    let with =
        |source, id: &str| library(&[source], &[&format!("-Wl,--build-id=0x{}", id.repeat(20))]);
    let same = "const char a[] = \"text\";";
    let only = told(&with(same, "11"), &with(same, "22"));
    assert!(only.contains("section .note.gnu.build-id at byte 0x10: an identity"), "{only}");
    let other = "const char a[] = \"tixt\";";
    let both = told(&with(same, "11"), &with(other, "22"));
    assert!(!both.contains("build-id"), "{both}");
}

#[test]
fn debug_information_keeps_the_folder() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let of = |folder: &Path| library_in(folder, &["int f(void) { return 1; }"], &["-g"]);
    let told = told(&of(one.path()), &of(other.path()));
    assert!(told.contains("a path of the build is in it"), "{told}");
}

fn wheel(parts: &[(&str, &[u8])]) -> Vec<u8> {
    Forged::of(parts.iter().map(|(name, content)| Part::new(name, content))).bytes()
}

#[test]
fn members_of_a_wheel_are_opened() {
    let (one, other) = (
        library(&["const char a[] = \"seed 12345\";"], &[]),
        library(&["const char a[] = \"seed 54321\";"], &[]),
    );
    let one = wheel(&[("p/liba.so", &one), ("p/x.py", b"a = 1\nb = 2\n"), ("p/gone.py", b"x")]);
    let other = wheel(&[("p/liba.so", &other), ("p/x.py", b"b = 2\na = 1\n"), ("p/new.py", b"x")]);
    let differences = compare("ops.whl", &one, &other);
    let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(differences[1].place[..2], ["ops.whl", "p/liba.so"]);
    assert_eq!(differences[1].cause, Cause::Number);
    insta::assert_snapshot!([&told[..1], &told[2..]].concat().join("\n"), @"
    ops.whl: p/gone.py: it is in one of the two only: `there` against nothing
    ops.whl: p/x.py: line 1: the same things come in another order: `a = 1` against `b = 2`
    ops.whl: p/new.py: it is in one of the two only: nothing against `there`
    ");
}

#[test]
fn what_an_archive_says_of_its_members_is_compared() {
    let one = Forged::of([Part::new("a", b"a"), Part::new("b", b"b")]);
    let mut other = one.clone();
    other.parts[1].mode = 0o100_755;
    let mode = told(&one.bytes(), &other.bytes());
    assert_eq!(mode, "libx.so: b: mode: its permissions differ: `100644` against `100755`\n");
    let mut other = one.clone();
    other.parts.reverse();
    let order = told(&one.bytes(), &other.bytes());
    assert_eq!(
        order,
        "libx.so: the members: the same things come in another order: `a` against `b`\n"
    );
    let other = Forged::of([Part::stored("a", b"a"), Part::new("b", b"b")]);
    let packing = told(&one.bytes(), &other.bytes());
    assert!(packing.contains("the same contents are packed otherwise"), "{packing}");
    let mut stamped = one.bytes();
    let at = stamped.windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    stamped[at + 14] += 1; // one day
    let time = told(&one.bytes(), &stamped);
    assert_eq!(
        time,
        "libx.so: a: modification time: a time of the build is in it: `1980-01-01 00:00:00` against `1980-01-02 00:00:00`\n"
    );
}

/// A tar stream as GNU tar writes it, of one file.
fn tar(time: u64, user: u64, content: &[u8]) -> Vec<u8> {
    let mut header = ::tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(time);
    header.set_uid(user);
    let mut builder = ::tar::Builder::new(Vec::new());
    builder.append_data(&mut header, format!("{}/file", "long".repeat(40)), content).unwrap();
    builder.into_inner().unwrap()
}

fn gzipped(time: u32, bytes: &[u8]) -> Vec<u8> {
    let mut gzip =
        flate2::GzBuilder::new().mtime(time).write(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, bytes).unwrap();
    gzip.finish().unwrap()
}

#[test]
fn layers_are_opened_through_their_compression() {
    let one = gzipped(0, &tar(1, 1000, b"id 1.2.3\n"));
    let other = gzipped(1_795_390_000, &tar(2, 0, b"id 1.2.4\n"));
    let told = told(&one, &other).replace(&"long".repeat(40), "LONG");
    insta::assert_snapshot!(told, @"
    libx.so: gzip header at byte 0x4: a time of the build is in it: `0` against `1795390000`
    libx.so: unpacked: LONG/file: modification time: a time of the build is in it: `1` against `2`
    libx.so: unpacked: LONG/file: user id: the name of a host, user or group is in it: `0001750` against `0000000`
    libx.so: unpacked: LONG/file: line 1: another version is in it: `id 1.2.3` against `id 1.2.4`
    ");
}

#[test]
fn static_archives_are_opened() {
    let ar = |time: u64| {
        let member = |name: &str, content: &str| {
            format!(
                "{name:<16}{time:<12}{:<6}{:<6}{:<8}{:<10}`\n{content}",
                0,
                0,
                644,
                content.len()
            )
        };
        let [names, long] = [member("//", "a_long_name_indeed.o/\n"), member("/0", "code")];
        format!("!<arch>\n{names}{long}").into_bytes()
    };
    let told = told(&ar(0), &ar(1_795_390_000));
    let first = told.lines().next().unwrap();
    insta::assert_snapshot!(first, @"libx.so: a_long_name_indeed.o: modification time: a time of the build is in it: `0` against `1795390000`");
}

#[test]
fn compiled_python_has_the_time_of_its_source() {
    let module = |time: u32| {
        let head = [&b"\xa7\x0d\r\n\0\0\0\0"[..], &time.to_le_bytes(), b"\x01\0\0\0code"].concat();
        wheel(&[("p/__pycache__/x.pyc", &head)])
    };
    assert_eq!(compare("ops.whl", &module(5), &module(6))[0].cause, Cause::Timestamp);
}

/// An artifact of each format, for damage.
fn artifacts() -> Vec<Vec<u8>> {
    let library = library(&["const char a[] = \"text\"; int f(void) { return 4711; }"], &[]);
    let layer = tar(1, 2, &library);
    vec![
        wheel(&[("p/liba.so", &library), ("p/x.py", b"a = 1\n")]),
        gzipped(7, &layer),
        layer,
        library,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Damage is compared like anything else: no panic, and a word exactly when bytes differ.
    #[test]
    fn damaged_artifacts_are_compared(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
        static WHOLE: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(artifacts);
        for whole in WHOLE.iter() {
            let mut damaged = whole.clone();
            for (at, byte) in &edits {
                let at = at.index(damaged.len());
                damaged[at] = *byte;
            }
            prop_assert_eq!(compare("x", whole, &damaged).is_empty(), *whole == damaged);
            damaged.truncate(cut.index(whole.len()));
            prop_assert_eq!(compare("x", &damaged, whole).is_empty(), *whole == damaged);
        }
    }
}
