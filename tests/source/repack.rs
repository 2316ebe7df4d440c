//! A wheel is packed anew: what is in it, and nothing of when and how it was packed before.

use std::fs;

use xtask::digest::Sha256;
use xtask::root::wheel::Wheel;
use xtask::source::wheel::repack;

use super::compare::small_wheel;

/// What Python's own reader finds, one member a line; it takes every check sum and, as pip does,
/// every digest of RECORD.
const READ: &str = "
import base64, hashlib, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
record = archive.infolist()[-1].filename
rows = dict(line.rsplit(',', 2)[:2] for line in archive.read(record).decode().splitlines())
for info in archive.infolist():
    digest = base64.urlsafe_b64encode(hashlib.sha256(archive.read(info)).digest()).rstrip(b'=').decode()
    assert rows.pop(info.filename) == ('' if info.filename == record else 'sha256=' + digest)
    print(info.filename, '%o' % (info.external_attr >> 16), *info.date_time)
assert not rows, rows
";

#[test]
#[expect(clippy::disallowed_methods, reason = "the reference, Python's own zip reader")]
fn members_are_sorted_with_one_time_two_modes_and_a_new_record() {
    let folder = tempfile::tempdir().unwrap();
    const METADATA: &str = "Metadata-Version: 2.1\nName: a\nVersion: 1\n";
    const WHEEL: &str = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let members = [
        ("a/z.py", "z = 1\n"),
        ("a/lib.so.2", "elf"),
        ("a-1.dist-info/METADATA", METADATA),
        ("a-1.dist-info/WHEEL", WHEEL),
        ("a/b.py", ""),
    ];
    let row = |(name, text): &(&str, &str)| {
        format!("{name},sha256={},{}\n", Sha256::of(text.as_bytes()).base64(), text.len())
    };
    let record = members.iter().map(row).collect::<String>() + "a-1.dist-info/RECORD,,\n";
    let record = ("a-1.dist-info/RECORD", record.as_str());
    let [a, b, c, d, e] = members;
    let orders = [([record, a, b, c, d, e], 2020), ([e, a, record, d, b, c], 2021)];
    let packed = orders.map(|(members, year)| {
        let name = year.to_string();
        let path = small_wheel(folder.path(), &name, &members, year);
        let place = path.with_extension("new");
        let wheel = Wheel::open(&path, "a-1-py3-none-any.whl").unwrap();
        repack(&wheel, &place, 1_000_000_000).unwrap();
        place
    });
    assert_eq!(fs::read(&packed[0]).unwrap(), fs::read(&packed[1]).unwrap());
    let mut read = std::process::Command::new("python3");
    let output = read.args(["-c", READ]).arg(&packed[0]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @r"
    a-1.dist-info/METADATA 100644 2001 9 9 1 46 40
    a-1.dist-info/WHEEL 100644 2001 9 9 1 46 40
    a/b.py 100644 2001 9 9 1 46 40
    a/lib.so.2 100755 2001 9 9 1 46 40
    a/z.py 100644 2001 9 9 1 46 40
    a-1.dist-info/RECORD 100644 2001 9 9 1 46 40
    ");
}
