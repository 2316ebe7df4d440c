//! A Debian package's control file.
#![no_main]

use xtask::root::deb::Control;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _control = Control::parse(text);
});
