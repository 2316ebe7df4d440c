//! A layer of somebody's image: a tar stream, plain or compressed either way.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(found) = xtask::verify::stream::read(data) {
        assert_eq!(found.size, data.len() as u64);
    }
});
