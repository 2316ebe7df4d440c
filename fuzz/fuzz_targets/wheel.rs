//! A wheel: zip, METADATA and RECORD. It is read by path, so it goes to memory with one.
#![no_main]

use std::io::Write as _;

use xtask::root::wheel::Wheel;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    file.write_all(data).unwrap();
    let Ok(wheel) = Wheel::open(file.path(), "demo-1.0-py3-none-any.whl") else { return };
    for entry in wheel.entries() {
        let _content = wheel.read(entry);
    }
});
