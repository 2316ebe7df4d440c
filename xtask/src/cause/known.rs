//! What is known of two builds before their artifacts are compared.

use std::ops::RangeInclusive;

use super::Cause;
use crate::date;

/// A text that one build was given where the other was given another: the host name, the
/// home. Found in place of each other, there is no doubt what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// In the first build.
    pub one: String,
    /// In the second.
    pub other: String,
    /// What they are.
    pub cause: Cause,
}

/// What two builds are known to have been made under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Texts in which they were made to differ.
    pub marks: Vec<Mark>,
    /// When they were made and their sources written, by their own clocks, in seconds since
    /// 1970. A bare number is a time only if it is one of these; of builds of which nothing
    /// is known, any from 2001 to 2106 may be.
    pub times: Vec<RangeInclusive<u64>>,
}

/// A zone shifts a time by less than this.
const DAY: u64 = 86_400;
/// Times of two builds of which nothing is known lie within this.
const LIFETIME: u64 = 30 * 366 * DAY;

impl Known {
    /// What `one` is when it stands where the other build has `other`.
    pub(super) fn mark(&self, one: &str, other: &str) -> Option<Cause> {
        let of = |mark: &&Mark| {
            let swapped = one.replace(&mark.one, &mark.other);
            swapped != one && (swapped == other || other.contains(&mark.other))
        };
        self.marks.iter().find(of).map(|mark| mark.cause)
    }

    /// Whether both numbers are times of these builds, in seconds since 1970.
    pub(super) fn are_times(&self, one: u64, other: u64) -> bool {
        if self.times.is_empty() {
            let plausible = |value: u64| (1_000_000_000..1 << 32).contains(&value);
            return plausible(one) && plausible(other) && one.abs_diff(other) < LIFETIME;
        }
        self.is_time(one) && self.is_time(other)
    }

    fn is_time(&self, value: u64) -> bool {
        let near = |time: &RangeInclusive<u64>| {
            (time.start().saturating_sub(DAY)..=time.end().saturating_add(DAY)).contains(&value)
        };
        self.times.iter().any(near)
    }

    /// Whether both are days of these builds: year, month, day.
    pub(super) fn are_days(&self, one: (u64, u64, u64), other: (u64, u64, u64)) -> bool {
        let plausible = |(year, month, day)| {
            (1990..=2105).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day)
        };
        if self.times.is_empty() {
            return plausible(one) && plausible(other);
        }
        let is_day = |wanted| {
            let mut days = self
                .times
                .iter()
                .flat_map(|time| (time.start() / DAY).saturating_sub(1)..=time.end() / DAY + 1);
            days.any(|day| date::civil(day) == wanted)
        };
        is_day(one) && is_day(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_time_only_when_the_builds_were_made() {
        let (now, later) = (1_795_000_000, 2_080_000_000);
        let known = Known { marks: vec![], times: vec![now..=now + 60, later..=later + 60] };
        assert!(known.are_times(now + 5, later + 30) && known.are_times(now - 40_000, now));
        assert!(!known.are_times(now, 1_900_000_000) && !known.are_times(2_882_215_775, later));
        assert!(known.are_days((2026, 11, 18), (2035, 11, 29)), "{:?}", date::civil(later / DAY));
        assert!(!known.are_days((2026, 11, 18), (2029, 1, 1)));
        let nothing = Known::default();
        assert!(
            nothing.are_times(now, 1_900_000_000) && nothing.are_days((1999, 1, 1), (2001, 2, 3))
        );
        assert!(!nothing.are_times(7, now) && !nothing.are_times(1_000_000_001, later));
    }

    #[test]
    fn a_mark_leaves_no_doubt() {
        let mark = Mark { one: "lockstep".into(), other: "elsewhere".into(), cause: Cause::Name };
        let known = Known { marks: vec![mark], times: vec![] };
        assert_eq!(known.mark("on lockstep now", "on elsewhere now"), Some(Cause::Name));
        assert_eq!(known.mark("on another now", "on elsewhere now"), None);
    }
}
