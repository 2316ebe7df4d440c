//! SHA-256 as identity: of bytes, of files, and of all that went into a derived thing.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::base64::URL_SAFE;
use crate::error::{IoContext as _, Result};
use crate::pieces;

/// A SHA-256 digest (FIPS 180-4), shown as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// Digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Sha256(sha2::Sha256::digest(bytes).into())
    }

    /// Digest and length of all that `reader` yields.
    pub fn of_reader(reader: &mut impl Read) -> io::Result<(Self, u64)> {
        let mut hasher = Hasher::default();
        let hash = |piece: &[u8]| {
            hasher.update(piece);
            Ok(())
        };
        let length = pieces::read(reader, hash, |cause| cause)?;
        Ok((hasher.finish(), length))
    }

    /// Digest of the file at `path`.
    pub fn of_file(path: &Path) -> Result<Self> {
        let mut file = File::open(path).at("open", path)?;
        Ok(Self::of_reader(&mut file).at("read", path)?.0)
    }

    /// What OCI calls the digest (image specification v1.1, "Digests"); [`Sha256::from_name`] reads it.
    pub fn named(&self) -> String {
        format!("sha256:{self}")
    }

    /// The digest that OCI calls so (image specification v1.1, "Digests"): `sha256:` and its hex
    /// digits.
    pub fn from_name(name: &str) -> Option<Self> {
        name.strip_prefix("sha256:")?.parse().ok()
    }

    /// The file that has these bytes in an OCI layout (image specification v1.1, "Blobs").
    pub fn blob(&self) -> String {
        format!("blobs/sha256/{self}")
    }

    /// The first 12 hex digits, for people; never for comparing.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }

    /// The digest whose raw bytes these are.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Sha256(bytes)
    }

    /// As a wheel's RECORD has it: base64url without padding (RFC 4648, section 5).
    pub fn base64(&self) -> String {
        URL_SAFE.encode(&self.0)
    }

    /// Reads what [`Sha256::base64`] wrote; `None` for any other text.
    pub fn from_base64(text: &str) -> Option<Self> {
        let digest = Sha256(URL_SAFE.decode(text)?.try_into().ok()?);
        (digest.base64() == text).then_some(digest)
    }

    /// The raw 32 bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = String::with_capacity(64);
        for byte in self.0 {
            hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
            hex.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        f.write_str(&hex)
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hex = text.as_bytes();
        let lower_hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
        if hex.len() != 64 || !hex.iter().all(lower_hex) {
            return Err(format!("expected 64 lower-case hex digits, found `{text}`"));
        }
        let nibble = |b: u8| if b.is_ascii_digit() { b - b'0' } else { b - b'a' + 10 };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks(2)) {
            *byte = nibble(pair[0]) << 4 | nibble(pair[1]);
        }
        Ok(Sha256(bytes))
    }
}

impl TryFrom<String> for Sha256 {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> String {
        digest.to_string()
    }
}

/// Incremental SHA-256; also a [`Write`] sink.
#[derive(Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes so far.
    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The digest of all that went into a derived thing.
///
/// Each field is written with its name and length, so no two lists of fields collide.
#[derive(Clone)]
pub struct Key(Hasher);

impl Key {
    /// A key for one sort of derived thing; raise the number in `purpose` when the code
    /// that makes it changes what it makes.
    pub fn new(purpose: &str) -> Self {
        Key(Hasher::default()).field("purpose", purpose.as_bytes())
    }

    /// Adds one named input.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        self.0.update(&(name.len() as u64).to_le_bytes());
        self.0.update(name.as_bytes());
        self.0.update(&(value.len() as u64).to_le_bytes());
        self.0.update(value);
        self
    }

    /// The key.
    pub fn finish(self) -> Sha256 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_round_trips_and_rejects_other_spellings() {
        let digest = Sha256::of(b"lockstep");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!(digest.to_string().to_uppercase().parse::<Sha256>().is_err());
        assert!("abc".parse::<Sha256>().is_err());
    }

    #[test]
    fn base64_is_that_of_the_rfc_and_has_one_spelling() {
        let empty = Sha256::of(b"");
        assert_eq!(empty.base64(), "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
        for n in 0..=255 {
            let digest = Sha256::of(&[n]);
            assert_eq!(Sha256::from_base64(&digest.base64()), Some(digest));
        }
        for other in ["", "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFV", "47DEQpj8HBSa+/TImW"] {
            assert_eq!(Sha256::from_base64(other), None, "{other}");
        }
        assert_eq!(Sha256::from_base64(&(empty.base64() + "A")), None);
        assert_eq!(Sha256::from_base64(&(empty.base64() + "=")), None);
    }

    #[test]
    fn key_fields_do_not_run_together() {
        let one = Key::new("t").field("a", "bc").field("d", "").finish();
        let two = Key::new("t").field("a", "b").field("cd", "").finish();
        assert_ne!(one, two);
    }
}
