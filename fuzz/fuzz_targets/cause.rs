//! Two artifacts that differ, or do not.
#![no_main]

use xtask::cause::compare;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (one, other) = data.split_at(data.len() / 2);
    assert_eq!(compare("a", one, other).is_empty(), one == other);
});
