//! Names of distributions and of wheels.

use crate::error::{Error, Kind, Result};

/// What a wheel's file name says ("Binary distribution format", file name convention).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// The distribution as the file name spells it: `tensorflow_cpu`.
    pub distribution: String,
    /// Its version: `9.8.7`.
    pub version: String,
}

impl FileName {
    /// Parses `tensorflow_cpu-9.8.7-cp39-cp39-manylinux_2_27_x86_64.whl`.
    pub fn parse(file: &str) -> Result<Self> {
        let parts: Vec<_> = file.strip_suffix(".whl").unwrap_or_default().split('-').collect();
        let plain = |part: &&str| {
            let known = |b: u8| b.is_ascii_alphanumeric() || b"._!+".contains(&b);
            part.starts_with(|first: char| first.is_ascii_alphanumeric()) && part.bytes().all(known)
        };
        match parts[..] {
            [distribution, version, .., _, _, _] if parts.len() <= 6 && parts.iter().all(plain) => {
                let own = |part: &str| part.to_owned();
                Ok(FileName { distribution: own(distribution), version: own(version) })
            }
            _ => Err(Error::new(
                Kind::Archive,
                format!("`{}` is no name of a wheel", file.escape_debug()),
            )),
        }
    }

    /// Whether these are the same distribution and version, whatever their spelling.
    pub fn is(&self, distribution: &str, version: &str) -> bool {
        normalised(&self.distribution) == normalised(distribution)
            && normalised(&self.version) == normalised(version)
    }
}

/// One spelling for each name: lower case, runs of `-`, `_` and `.` as one `-` (PEP 503).
pub fn normalised(name: &str) -> String {
    let parts: Vec<_> = name.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
    parts.join("-").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_and_compared_whatever_their_spelling() {
        let name = FileName::parse("Foo_Bar-1.0+cpu-1-py3-none-any.whl").unwrap();
        assert!(name.is("foo.bar", "1.0+cpu"));
        assert!(!name.is("foo", "1.0+cpu"));
        assert!(!name.is("foo-bar", "1.0"));
        for bad in [
            "foo-1.0-py3-none-any.zip",
            "foo-1.0-py3-none.whl",
            "a-b-c-d-e-f-g.whl",
            "../foo-1.0-py3-none-any.whl",
            "-1.0-py3-none-any.whl",
            "..-1.0-py3-none-any.whl",
            "",
        ] {
            assert!(FileName::parse(bad).is_err(), "{bad}");
        }
    }
}
