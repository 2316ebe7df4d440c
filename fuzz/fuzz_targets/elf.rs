//! A shared library, as the ABI gate reads it.
#![no_main]

use xtask::abi::elf::Elf;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _library = Elf::parse(data);
});
