//! The two texts of the ledger.
#![no_main]

use xtask::ledger::{digests, surface};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _surface = surface::parse(text);
    if let Ok(mut rows) = digests::parse(text) {
        rows.sort();
        assert_eq!(digests::parse(&digests::render(&rows)).as_ref(), Ok(&rows));
    }
});
