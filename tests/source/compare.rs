//! `compare-wheels`.

use std::fs;
use std::path::{Path, PathBuf};

use xtask::source::compare::{Verdict, wheels};

use crate::build::Checkout;

/// A zip of `members`, with `year` as their time; `mode` is of the last one.
pub fn small_wheel(folder: &Path, name: &str, members: &[(&str, &str)], year: u32) -> PathBuf {
    const PACK: &str = "
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w') as archive:
    for name, text in zip(sys.argv[3::2], sys.argv[4::2]):
        archive.writestr(zipfile.ZipInfo(name, (int(sys.argv[2]), 1, 2, 3, 4, 6)), text)
";
    let path = folder.join(name);
    #[expect(clippy::disallowed_methods, reason = "a fixture, made before the test begins")]
    let mut command = std::process::Command::new("python3");
    command.args(["-c", PACK]).arg(&path).arg(year.to_string());
    command.args(members.iter().flat_map(|(name, text)| [name, text]));
    assert!(command.status().unwrap().success());
    path
}

#[test]
fn two_wheels_are_equal_or_differ_by_member() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, members: &[(&str, &str)], year| {
        small_wheel(folder.path(), name, members, year)
    };
    let members = [("a/one.py", "one"), ("a/two.py", "two"), ("a-1.dist-info/RECORD", "x")];
    let one = make("one.whl", &members, 2020);
    assert_eq!(wheels(&one, &make("same.whl", &members, 2020)).unwrap().verdict, Verdict::Equal);
    let later = make("later.whl", &members, 2021);
    assert_eq!(wheels(&one, &later).unwrap().verdict, Verdict::EqualButForTimestamps);

    // A time among the contents is a difference like any other.
    let stamped = |second| [("a/one.py", second), members[1], members[2]];
    let (early, late) = (stamped("built 22:31:07"), stamped("built 22:31:08"));
    let found = wheels(&make("early.whl", &early, 2020), &make("late.whl", &late, 2020)).unwrap();
    assert_eq!(found.verdict, Verdict::Differ, "{found:?}");

    let other =
        [("a/one.py", "one"), ("a/two.py", "2"), ("a/new.py", ""), ("a-1.dist-info/RECORD", "y")];
    let other = make("other.whl", &other, 2020);
    let found = wheels(&one, &other).unwrap();
    assert_eq!(found.verdict, Verdict::Differ);
    let there = Checkout::copy();
    let (one, other, later) =
        (one.to_str().unwrap(), other.to_str().unwrap(), later.to_str().unwrap());
    there.xtask(&["compare-wheels", one, one]).with(0, &["equal\n"]);
    there.xtask(&["compare-wheels", one, later]).with(0, &["equal but for timestamps\n"]);
    there
        .xtask(&["compare-wheels", one, other])
        .with(9, &["a/two.py", "a/new.py: it is in one of the two only", "differ in 2 members\n"]);
    there.xtask(&["compare-wheels", "--json", one, other]).with(9, &["\"verdict\":\"differ\""]);
    let broken = folder.path().join("broken.whl");
    fs::write(&broken, "no zip").unwrap();
    there.xtask(&["compare-wheels", one, broken.to_str().unwrap()]).with(10, &["broken.whl"]);
}
