//! A Debian package: ar, xz and tar together (deb(5)).
#![no_main]

use std::io::{Cursor, copy, sink};

use xtask::root::deb::Deb;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(mut deb) = Deb::open(Cursor::new(data)) else { return };
    let _control = deb.control();
    let Ok(mut tar) = deb.data() else { return };
    while let Ok(Some(_)) = tar.next_member() {
        let _content = copy(&mut tar, &mut sink());
    }
});
