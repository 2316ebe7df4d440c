//! A BUILD file and a label.
#![no_main]

use xtask::build::label::{Label, mentions, names};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _label = Label::parse(text);
    let _all = (mentions(text), names(text));
});
