//! Manifests, units and files of variables that start a cluster.
#![no_main]

use xtask::cluster::lint::{Found, judge, read};

libfuzzer_sys::fuzz_target!(|text: &str| {
    for name in ["job.yaml", "worker.service", "worker.env"] {
        let mut found = Found::default();
        read(name, text, &mut found);
        let _findings = judge(&found, None);
    }
});
