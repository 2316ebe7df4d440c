//! workspace.lock: what is read is what is written again.
#![no_main]

use xtask::lock::Lock;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(lock) = Lock::parse(text) {
        assert_eq!(Lock::parse(&lock.render()).ok(), Some(lock));
    }
});
