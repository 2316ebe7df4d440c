//! Bazel's build events.
#![no_main]

use xtask::build::event::Events;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _events = Events::parse(text);
});
