//! The conditions of one build, as values: pure functions of which build it is and of what
//! is varied.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::variation::Variation;
use crate::cause::{Cause, Mark};

/// When sources that are copied backwards were last written, in seconds since 1970: a day in
/// 2003.
pub const OTHER_TIME: u64 = 1_060_000_000;

/// What a build is made under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// Which build, from 1: two varied builds differ from each other, too.
    pub number: u32,
    /// In what it differs from the first.
    pub varied: BTreeSet<Variation>,
}

impl Conditions {
    /// Whether `variation` is varied.
    pub fn varies(&self, variation: Variation) -> bool {
        self.varied.contains(&variation)
    }

    fn when<T>(&self, variation: Variation, value: impl FnOnce() -> T) -> Option<T> {
        self.varies(variation).then(value)
    }

    /// Another host name.
    pub fn host(&self) -> Option<String> {
        self.when(Variation::Host, || format!("elsewhere-{}", self.number))
    }

    /// Another user and group id, the same outside and inside.
    pub fn user(&self) -> Option<u32> {
        self.when(Variation::User, || 4240 + self.number)
    }

    /// Another mask.
    pub fn umask(&self) -> u32 {
        if self.varies(Variation::Umask) { 0o077 } else { 0o022 }
    }

    /// Seconds by which the clock is ahead.
    pub fn ahead(&self) -> Option<u64> {
        // 9 years, 3 days, 7 hours: another year, month, weekday and hour.
        self.when(Variation::Clock, || {
            (9 * 365 + 45) * 86_400 * u64::from(self.number - 1) + 25_273
        })
    }

    /// What the kernel says it is.
    pub fn release(&self) -> Option<String> {
        self.when(Variation::Kernel, || format!("3.16.{}-elsewhere", self.number))
    }

    /// A zone east of UTC, in hours.
    pub fn zone(&self) -> Option<u32> {
        self.when(Variation::Zone, || 15_u32.saturating_sub(self.number).max(1))
    }

    /// The checkout's folder below the build's own.
    pub fn folder(&self) -> &'static str {
        if self.varies(Variation::Folder) {
            "a much/deeper folder, schön/$HOME/in it/checkout"
        } else {
            "checkout"
        }
    }

    /// Variables of the process that builds, besides those that every build has.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut env: Vec<(&str, &str)> = Vec::new();
        if self.varies(Variation::Locale) {
            env.extend([("LANG", "tr_TR.UTF-8"), ("LC_ALL", "tr_TR.UTF-8"), ("LANGUAGE", "tr")]);
        }
        if self.varies(Variation::Environment) {
            env.extend(NOISE);
        }
        let mut env: Vec<(String, String)> =
            env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        if let Some(hours) = self.zone() {
            env.push(("TZ".to_owned(), format!("<+{hours:02}>-{hours}")));
        }
        if self.varies(Variation::Environment) {
            env.extend(
                (0..48).map(|n| (format!("NOISE_{n}"), "x".repeat(n * self.number as usize))),
            );
        }
        env
    }

    /// What comes after the folders of `PATH`.
    pub fn more_path(&self) -> &'static str {
        if self.varies(Variation::Environment) { ":/i/capture/the/path" } else { "" }
    }

    /// Users and groups, as the root's `/etc/passwd` and `/etc/group` have them: the same ids
    /// under another name, with another full name, home and shell.
    pub fn accounts(&self) -> Option<[(&'static str, String); 2]> {
        let id = self.user()?;
        // 1000 is who Bazel itself is: it is left as it is.
        let user =
            |name: &str, id: u32| format!("{name}:x:{id}:{id}:Else, {name},,,:/:/bin/bash\n");
        let group = |name: &str, id: u32| format!("{name}:x:{id}:\n");
        let all = [("root", 0), ("somebody", 1000), ("else", id)];
        let users = all.map(|(name, id)| user(name, id)).concat();
        Some([("passwd", users), ("group", all.map(|(name, id)| group(name, id)).concat())])
    }

    /// The build's folder `/etc/localtime`, when its zone is varied (TZif, RFC 8536: a file
    /// without transitions, whose footer says all).
    pub fn localtime(&self) -> Option<Vec<u8>> {
        let hours = self.zone()?;
        let block = || {
            let mut block = b"TZif2".to_vec();
            block.extend([0; 15]);
            // No UT and standard indicators, leap seconds, transitions; one type, 4 letters.
            for count in [0_u32, 0, 0, 0, 1, 4] {
                block.extend(count.to_be_bytes());
            }
            block.extend((hours * 3600).to_be_bytes());
            block.extend([0, 0]);
            block.extend(format!("+{hours:02}\0").as_bytes());
            block
        };
        let footer = format!("\n<+{hours:02}>-{hours}\n");
        Some([block(), block(), footer.into_bytes()].concat())
    }

    /// What `elsewhere.c` is compiled with; empty when it is not needed.
    pub fn macros(&self) -> Vec<String> {
        let quoted = |name: &str, value: Option<String>| value.map(|v| format!("-D{name}=\"{v}\""));
        let plain = |name: &str, value: Option<String>| value.map(|v| format!("-D{name}={v}"));
        let mask = self.varies(Variation::Umask).then(|| format!("{:#o}", self.umask()));
        let mask = mask.map(|mask| mask.replace("0o", "0"));
        [
            plain("SHIFT", self.ahead().map(|seconds| seconds.to_string())),
            quoted("RELEASE", self.release()),
            quoted("NODE", self.host()),
            plain("ID", self.user().map(|id| id.to_string())),
            plain("MASK", mask),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// When this build is made and its sources are written, by its own clock, if it is made
    /// at `real` by this machine's.
    pub fn times(&self, real: RangeInclusive<u64>) -> Vec<RangeInclusive<u64>> {
        let ahead = self.ahead().unwrap_or_default();
        let copied = self.when(Variation::Order, || OTHER_TIME..=OTHER_TIME);
        let own = real.start() + ahead..=real.end() + ahead;
        [real, own].into_iter().chain(copied).collect()
    }

    /// Texts that tell this build from the first one, which has the engine's own.
    pub fn marks(&self) -> Vec<Mark> {
        let mark =
            |one: &str, other: String| Mark { one: one.to_owned(), other, cause: Cause::Name };
        let host = self.host().map(|host| mark("lockstep", host));
        let user = self.user().map(|id| mark("1000", id.to_string()));
        let account = self.user().map(|_| mark("lockstep", "else".to_owned()));
        host.into_iter().chain(user).chain(account).collect()
    }
}

/// Variables that tools are known to listen to.
const NOISE: [(&str, &str); 15] = [
    ("CC", "false"),
    ("CFLAGS", "-O0 -g -DNOISE"),
    ("CXX", "false"),
    ("CXXFLAGS", "-O0 -g -DNOISE"),
    ("CPATH", "/nonexistent"),
    ("LDFLAGS", "-s"),
    ("LD_RUN_PATH", "/nonexistent"),
    ("MAKEFLAGS", "-j7"),
    ("PYTHONHASHSEED", "7"),
    ("SHELL", "/nonexistent"),
    ("PYTHONPATH", "/nonexistent"),
    ("SOURCE_DATE_EPOCH", "1"),
    ("USER", "noise"),
    ("LOGNAME", "noise"),
    ("TERM", "dumb"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_values() {
        let all = Conditions { number: 2, varied: Variation::ALL.into() };
        insta::assert_snapshot!(all.macros().join(" "), @r#"-DSHIFT=287737273 -DRELEASE="3.16.2-elsewhere" -DNODE="elsewhere-2" -DID=4242 -DMASK=077"#);
        let [(_, users), (_, groups)] = all.accounts().unwrap();
        assert!(users.contains("\nelse:x:4242:4242:") && groups.ends_with("else:x:4242:\n"));
        assert_eq!(all.localtime().unwrap().len(), 2 * (44 + 6 + 4) + 10);
        let none = Conditions { number: 1, varied: BTreeSet::new() };
        assert_eq!((none.macros(), none.environment(), none.marks()), (vec![], vec![], vec![]));
        assert_eq!(none.times(5..=9), [5..=9, 5..=9]);
        assert_eq!(all.times(5..=9)[1..], [287_737_278..=287_737_282, OTHER_TIME..=OTHER_TIME]);
    }
}
