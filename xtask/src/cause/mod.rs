//! Why two artifacts differ: which member of an archive, which section or symbol of an ELF
//! file, which bytes, and what kind of thing got into them.
//!
//! Pure functions over bytes. The bytes are foreign: nothing in them is believed, and what
//! cannot be read is compared byte by byte. [`known`] is what is known beforehand, [`words`] tells what two texts differ in,
//! [`archive`] takes zip, tar, ar and gzip apart, [`elf`] sections and symbols.

mod ar;
mod archive;
mod bytes;
mod elf;
mod gzip;
mod known;
mod tar;
#[cfg(test)]
mod tests;
mod text;
pub mod words;
mod zip;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use known::{Known, Mark};

/// What kind of thing differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A date or a time of day.
    Timestamp,
    /// A path of a file system.
    Path,
    /// The name of a host, a user or a group, or its number.
    Name,
    /// The same things in another order.
    Order,
    /// A GNU build id, a UUID, a digest.
    BuildId,
    /// A version number.
    Version,
    /// What a compiler wrote about itself.
    Compiler,
    /// An address in memory.
    Address,
    /// A number that is none of these: a seed, a process id, a count of processors.
    Number,
    /// Permission bits.
    Mode,
    /// It is in one of the two only.
    Presence,
    /// The same contents, packed otherwise.
    Packing,
    /// Machine code.
    Code,
    /// Other contents, of no kind that is known here.
    Contents,
}

impl Cause {
    /// What got into the artifact, as a sentence without its end.
    pub fn sentence(self) -> &'static str {
        match self {
            Cause::Timestamp => "a time of the build is in it",
            Cause::Path => "a path of the build is in it",
            Cause::Name => "the name of a host, user or group is in it",
            Cause::Order => "the same things come in another order",
            Cause::BuildId => "an identity that is made anew each time is in it",
            Cause::Version => "another version is in it",
            Cause::Compiler => "another compiler made it",
            Cause::Address => "an address in memory is in it",
            Cause::Number => "a number that changes from build to build is in it",
            Cause::Mode => "its permissions differ",
            Cause::Presence => "it is in one of the two only",
            Cause::Packing => "the same contents are packed otherwise",
            Cause::Code => "other machine code",
            Cause::Contents => "other contents",
        }
    }

    /// What usually mends it.
    pub fn remedy(self) -> &'static str {
        match self {
            Cause::Timestamp => "take the time from SOURCE_DATE_EPOCH, or leave it out",
            Cause::Path => "use paths relative to the workspace, and `-ffile-prefix-map`",
            Cause::Name => "leave host, user and group out",
            Cause::Order => "sort what comes from a directory, a set or a hash table",
            Cause::BuildId => "derive it from the contents, or leave it out (`--build-id=none`)",
            Cause::Version => "pin what it is the version of in workspace.toml",
            Cause::Compiler => "pin the compiler in workspace.toml",
            Cause::Address => "print names, not addresses",
            Cause::Number => "fix the seed; count no processors, processes or free bytes",
            Cause::Mode => "set the mode by a rule, not by the umask",
            Cause::Presence => "list the inputs in the BUILD file instead of looking for them",
            Cause::Packing => "fix the compressor and its level",
            Cause::Code => "look for a generated source, `-march=native` or another compiler",
            Cause::Contents => "look at what makes this file",
        }
    }
}

/// One thing in which two artifacts differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Where, outermost first: artifact, member, section, symbol.
    pub place: Vec<String>,
    /// The first byte that differs, counted from the start of the innermost file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// What kind of thing it is.
    pub cause: Cause,
    /// What the first has there, printable and short.
    pub one: String,
    /// What the second has there.
    pub other: String,
}

/// `PLACE: SENTENCE: `ONE` against `OTHER``.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place.join(": "))?;
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset:#x}")?;
        }
        write!(f, ": {}", self.cause.sentence())?;
        match (self.one.as_str(), self.other.as_str()) {
            ("", "") => Ok(()),
            ("", other) => write!(f, ": nothing against `{other}`"),
            (one, "") => write!(f, ": `{one}` against nothing"),
            (one, other) => write!(f, ": `{one}` against `{other}`"),
        }
    }
}

/// Most differences of one pair of files that are told; the first are the telling ones.
const MOST: usize = 50;
/// How deep archives in archives are opened.
const DEPTH: usize = 4;

/// Compares two artifacts, both known as `name`. Empty exactly when they are equal; what is
/// only a consequence of another difference (moved addresses, tables) is left out.
pub fn compare(name: &str, one: &[u8], other: &[u8]) -> Vec<Difference> {
    compare_knowing(name, one, other, &Known::default())
}

/// [`compare`], knowing what the two builds were made under.
pub fn compare_knowing(name: &str, one: &[u8], other: &[u8], known: &Known) -> Vec<Difference> {
    let mut found = Found { place: vec![words::shown(name)], known, differences: Vec::new() };
    found.files(one, other);
    found.differences
}

/// What is found on the way through two files.
struct Found<'k> {
    /// Where the walk is.
    place: Vec<String>,
    /// What is known of the two builds.
    known: &'k Known,
    differences: Vec<Difference>,
}

impl Found<'_> {
    /// Compares two files of any kind at the present place.
    fn files(&mut self, one: &[u8], other: &[u8]) {
        if one == other || self.differences.len() >= MOST {
            return;
        }
        let before = self.differences.len();
        if self.place.len() <= DEPTH {
            let _understood = archive::compare(self, one, other)
                || gzip::compare(self, one, other)
                || elf::compare(self, one, other)
                || text::compare(self, one, other);
        }
        if self.differences.len() == before {
            bytes::compare(self, one, other);
        }
    }

    /// Goes one step inwards and back.
    fn inside<T>(&mut self, place: &str, walk: impl FnOnce(&mut Self) -> T) -> T {
        self.place.push(words::shown(place));
        let result = walk(self);
        self.place.pop();
        result
    }

    /// Records a difference at the present place.
    fn add(&mut self, cause: Cause, offset: Option<usize>, one: &str, other: &str) {
        if self.differences.len() < MOST {
            let (one, other) = words::excerpts(one, other);
            let offset = offset.map(|offset| offset as u64);
            let place = self.place.clone();
            self.differences.push(Difference { place, offset, cause, one, other });
        }
    }

    /// Records two texts that differ, by what they differ in.
    fn add_texts(&mut self, offset: Option<usize>, one: &str, other: &str) {
        self.add(words::cause(one, other, self.known), offset, one, other);
    }
}
