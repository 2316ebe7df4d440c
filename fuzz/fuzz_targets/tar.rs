//! A tar stream.
#![no_main]

use std::io::{copy, sink};

use xtask::root::budget::Budget;
use xtask::root::tar::Tar;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut tar = Tar::new(data, Budget::of(data.len() as u64));
    while let Ok(Some(_)) = tar.next_member() {
        let _content = copy(&mut tar, &mut sink());
    }
});
