//! Base64 (RFC 4648): the digits alone; padding is the caller's.

/// One of the RFC's two alphabets: its 64 digits, and what each byte is worth as a digit.
#[derive(Debug)]
pub struct Alphabet {
    digits: &'static [u8; 64],
    worth: [u8; 256],
}

/// Section 4.
pub static STANDARD: Alphabet =
    Alphabet::of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
/// Section 5, for URLs and file names.
pub static URL_SAFE: Alphabet =
    Alphabet::of(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");

/// What a byte that is no digit is worth.
const NONE: u8 = 64;

impl Alphabet {
    const fn of(digits: &'static [u8; 64]) -> Self {
        let mut worth = [NONE; 256];
        let mut at = 0;
        while at < digits.len() {
            worth[digits[at] as usize] = at as u8;
            at += 1;
        }
        Alphabet { digits, worth }
    }

    /// `bytes` in digits, without padding.
    pub fn encode(&self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
        for chunk in bytes.chunks(3) {
            let word = chunk.iter().fold(0u32, |word, byte| (word << 8) | u32::from(*byte));
            let word = word << (8 * (3 - chunk.len()));
            for digit in 0..=chunk.len() {
                text.push(char::from(self.digits[(word >> (18 - 6 * digit)) as usize & 63]));
            }
        }
        text
    }

    /// The bytes of unpadded digits; `None` for anything else. Bits that no byte uses are not
    /// looked at: who wants one spelling compares with [`Alphabet::encode`].
    pub fn decode(&self, text: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
        for group in text.as_bytes().chunks(4) {
            if group.len() == 1 {
                return None;
            }
            let mut word = 0;
            for byte in group {
                match self.worth[usize::from(*byte)] {
                    NONE => return None,
                    digit => word = (word << 6) | u32::from(digit),
                }
            }
            word <<= 6 * (4 - group.len());
            bytes.extend_from_slice(&word.to_be_bytes()[1..=group.len() * 3 / 4]);
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
