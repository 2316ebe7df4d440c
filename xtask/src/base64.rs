//! Base64 (RFC 4648): the digits alone; padding is the caller's.

/// The 64 digits of one of the RFC's two alphabets.
#[derive(Clone, Copy, Debug)]
pub struct Alphabet(&'static [u8; 64]);

/// Section 4.
pub const STANDARD: Alphabet =
    Alphabet(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
/// Section 5, for URLs and file names.
pub const URL_SAFE: Alphabet =
    Alphabet(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

impl Alphabet {
    /// `bytes` in digits, without padding.
    pub fn encode(self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
        for chunk in bytes.chunks(3) {
            let word = chunk.iter().fold(0u32, |word, byte| (word << 8) | u32::from(*byte));
            let word = word << (8 * (3 - chunk.len()));
            for digit in 0..=chunk.len() {
                text.push(char::from(self.0[(word >> (18 - 6 * digit)) as usize & 63]));
            }
        }
        text
    }

    /// The bytes of unpadded digits; `None` for anything else. Bits that no byte uses are not
    /// looked at: who wants one spelling compares with [`Alphabet::encode`].
    pub fn decode(self, text: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
        for group in text.as_bytes().chunks(4) {
            if group.len() == 1 {
                return None;
            }
            let word = group.iter().try_fold(0u32, |word, letter| {
                let digit = self.0.iter().position(|digit| digit == letter)?;
                Some((word << 6) | digit as u32)
            })?;
            let word = word << (6 * (4 - group.len()));
            bytes.extend(word.to_be_bytes()[1..].iter().take(group.len() * 3 / 4));
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_are_those_of_the_rfc() {
        for (bytes, text) in
            [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg")]
        {
            assert_eq!(STANDARD.encode(bytes.as_bytes()), text);
            assert_eq!(STANDARD.decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(STANDARD.encode(&[0xfb, 0xff]), "+/8");
        assert_eq!(URL_SAFE.encode(&[0xfb, 0xff]), "-_8");
        assert_eq!(URL_SAFE.decode("+/8"), None);
        assert_eq!(STANDARD.decode("Zm9vY"), None);
    }
}
