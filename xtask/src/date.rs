//! Dates: of the one time that the lock pins, and of measurements.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970 by this machine's clock; 0 before. For what is measured and judged: no
/// plan and no output is a function of it.
#[expect(clippy::disallowed_methods, reason = "measurements are dated, builds are not")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Year, month and day of the day that is `days` after 1970-01-01: the year is counted from
/// March, so that the leap day is its last (Hinnant, "chrono-compatible low-level date
/// algorithms").
pub fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + u64::from(month <= 2), month, day)
}

/// MS-DOS date and time of `epoch` (UTC), date in the upper half; 1980 at the earliest.
pub fn dos(epoch: u64) -> u32 {
    let (days, second) = (epoch / 86_400, epoch % 86_400);
    let (year, month, day) = civil(days);
    if year < 1980 {
        return 1 << 21 | 1 << 16;
    }
    let date = (year - 1980).min(127) << 9 | month << 5 | day;
    let time = (second / 3_600) << 11 | (second / 60 % 60) << 5 | (second % 60 / 2);
    u32::try_from(date << 16 | time).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{civil, dos};

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_453), (2025, 12, 31));
        assert_eq!(civil(47_540), (2100, 2, 28));
        assert_eq!(civil(47_541), (2100, 3, 1));
    }

    #[test]
    fn dates_of_archives_are_those_of_the_calendar() {
        let date = |epoch| {
            let d = dos(epoch);
            (1980 + (d >> 25), d >> 21 & 15, d >> 16 & 31, d >> 11 & 31, d >> 5 & 63, 2 * (d & 31))
        };
        assert_eq!(date(0), (1980, 1, 1, 0, 0, 0));
        assert_eq!(date(951_782_400 + 3_661), (2000, 2, 29, 1, 1, 0));
        assert_eq!(date(1_767_225_599), (2025, 12, 31, 23, 59, 58));
    }
}
