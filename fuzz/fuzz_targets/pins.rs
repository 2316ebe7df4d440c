//! workspace.toml, and its problems as people see them.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Err(problems) = xtask::pins::parse(text) {
        assert!(!problems.is_empty());
    }
});
