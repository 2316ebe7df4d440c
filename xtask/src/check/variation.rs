//! What two builds can be made to differ in.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::nearest::nearest;

/// One condition of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variation {
    /// Path and depth of the checkout and of the store.
    Folder,
    /// Host name.
    Host,
    /// User and group.
    User,
    /// File mode creation mask.
    Umask,
    /// Language and encoding.
    Locale,
    /// Time zone.
    Zone,
    /// Date and time.
    Clock,
    /// Processors that may be used.
    Cpus,
    /// What the kernel calls itself.
    Kernel,
    /// Variables that nobody asked for.
    Environment,
    /// Order in which the source files were made: inodes and folder order.
    Order,
    /// The file system of the output.
    Output,
    /// Home folder.
    Home,
    /// Whether there is a terminal, and its size.
    Terminal,
    /// Whether programs are loaded at random addresses.
    Addresses,
}

use Variation::*;

impl Variation {
    /// All, in the order in which they are told.
    pub const ALL: [Variation; 15] = [
        Folder,
        Host,
        User,
        Umask,
        Locale,
        Zone,
        Clock,
        Cpus,
        Kernel,
        Environment,
        Order,
        Output,
        Home,
        Terminal,
        Addresses,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Folder => "folder",
            Host => "host",
            User => "user",
            Umask => "umask",
            Locale => "locale",
            Zone => "zone",
            Clock => "clock",
            Cpus => "cpus",
            Kernel => "kernel",
            Environment => "environment",
            Order => "order",
            Output => "output",
            Home => "home",
            Terminal => "terminal",
            Addresses => "addresses",
        }
    }

    /// What is done outside the root, to the process that builds; empty when nothing.
    pub fn outside(self) -> &'static str {
        match self {
            Folder => "checkout and store in another folder, deeper, with blanks and umlauts",
            Host => "another host name (UTS namespace)",
            User => "another user and group id (user namespace)",
            Umask => "077 instead of 022, and source files of mode 0600",
            Locale => "LANG and LC_ALL tr_TR.UTF-8",
            Zone => "TZ 14 hours off",
            Cpus => "one processor (affinity)",
            Environment => {
                "63 more variables, among them CFLAGS, PYTHONHASHSEED, SOURCE_DATE_EPOCH; one more folder in PATH"
            }
            Order => "source files made in reverse order, at another time",
            Output => "checkout and Bazel's output on tmpfs instead of disk, or the reverse",
            Home => "HOME and TMPDIR elsewhere",
            Terminal => "a terminal of 37 columns instead of none",
            Addresses => "programs at the same addresses each time (no ASLR)",
            Clock | Kernel => "",
        }
    }

    /// What programs of the build inside the root see of it; empty when nothing.
    pub fn inside(self) -> &'static str {
        match self {
            Host => "uname and gethostname say another name and domain",
            User => {
                "getuid and getgid say other numbers; another name, full name and shell in /etc/passwd"
            }
            Umask => "077",
            Zone => "/etc/localtime 14 hours off",
            Clock => "9 years ahead (not for Bazel itself; file times stay the kernel's)",
            Cpus => "one processor, so one job at a time",
            Kernel => "uname says another release",
            Order => "other inodes and folder order",
            Output => "another file system below /out",
            Addresses => "programs at the same addresses each time",
            Folder | Locale | Environment | Home | Terminal => "",
        }
    }

    /// Reads `all`, `none`, or names separated by commas, `-NAME` for all but that one.
    pub fn parse_list(text: &str) -> Result<BTreeSet<Variation>> {
        let words: Vec<&str> = text.split(',').map(str::trim).filter(|w| !w.is_empty()).collect();
        let mut chosen = BTreeSet::new();
        if words.iter().all(|word| word.starts_with('-') || *word == "all") {
            chosen.extend(Variation::ALL);
        }
        for word in words {
            match word.strip_prefix('-') {
                _ if word == "all" || word == "none" => {}
                Some(name) => drop(chosen.remove(&Variation::named(name)?)),
                None => drop(chosen.insert(Variation::named(word)?)),
            }
        }
        Ok(chosen)
    }

    fn named(name: &str) -> Result<Variation> {
        let all = Variation::ALL.into_iter();
        all.clone().find(|variation| variation.name() == name).ok_or_else(|| {
            let names: Vec<&str> = all.map(Variation::name).collect();
            let error = Error::new(Kind::Pins, format!("no variation `{name}`"));
            match nearest(name, names.iter().copied()) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint(format!("these are there: {}", names.join(", "))),
            }
        })
    }

    /// The table that `--vary list` prints.
    pub fn table() -> String {
        let mut text = String::new();
        for variation in Variation::ALL {
            text += variation.name();
            for (side, words) in [("outside", variation.outside()), ("inside", variation.inside())]
            {
                if !words.is_empty() {
                    text += &format!("\n  {side:<8} {words}");
                }
            }
            text.push('\n');
        }
        text
    }
}

/// `host, user`, or `nothing`.
pub fn listed(variations: &BTreeSet<Variation>) -> String {
    match variations.len() {
        0 => "nothing".to_owned(),
        n if n == Variation::ALL.len() => "everything".to_owned(),
        _ => variations.iter().map(|v| v.name()).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        let parse = |text| listed(&Variation::parse_list(text).unwrap());
        assert_eq!(parse("all"), "everything");
        assert_eq!(parse("none"), "nothing");
        assert_eq!(parse("zone, host"), "host, zone");
        assert_eq!(
            parse("-folder,-clock"),
            "host, user, umask, locale, zone, cpus, kernel, environment, order, output, home, terminal, addresses"
        );
        insta::assert_snapshot!(Variation::parse_list("clocks").unwrap_err(), @"
        error: no variation `clocks`
        hint: did you mean `clock`?
        ");
    }
}
