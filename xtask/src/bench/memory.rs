//! The most memory that this process had while it did something (proc(5): `clear_refs`, and
//! `VmHWM` in `status`).

use std::fs;
use std::path::Path;

use crate::error::{IoContext as _, Result};

/// In MiB; none where the kernel forgets no earlier peak.
pub fn peak(work: impl FnOnce() -> Result<()>) -> Result<Option<f64>> {
    const FORGET: &str = "5";
    let forgotten = fs::write("/proc/self/clear_refs", FORGET).is_ok();
    work()?;
    let path = Path::new("/proc/self/status");
    let status = fs::read_to_string(path).at("read", path)?;
    Ok(high_water(&status).filter(|_| forgotten))
}

fn high_water(status: &str) -> Option<f64> {
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = kibibytes.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(kibibytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_found_among_all_that_the_kernel_says() {
        assert_eq!(high_water("VmPeak:\t 9 kB\nVmHWM:\t    2048 kB\n"), Some(2.0));
        assert_eq!(high_water("VmPeak:\t 9 kB\n"), None);
    }
}
