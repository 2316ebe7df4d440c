//! How much a task may have, as Kubernetes writes it (its chapter "Quantity").

use std::fmt;
use std::str::FromStr;

use crate::pins::value::shown;

/// Thousandths of a processor: `2`, `500m` (Kubernetes' quantities).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu(pub u32);

impl FromStr for Cpu {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, factor) = match text.strip_suffix('m') {
            Some(digits) => (digits, 1),
            None => (text, 1000),
        };
        let whole = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.parse::<u32>().ok().filter(|number| whole && *number > 0);
        let milli = number.and_then(|number| number.checked_mul(factor));
        milli.map(Cpu).ok_or_else(|| {
            format!("expected processors such as `2` or `500m`, found {}", shown(text))
        })
    }
}

/// Bytes: `512Mi`, `2Gi` (Kubernetes' quantities).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory(pub u64);

impl FromStr for Memory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("Mi", 20), ("Gi", 30), ("Ti", 40)];
        let split = units.iter().find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, bits)));
        let bytes = split.and_then(|(digits, bits)| {
            let whole = digits.bytes().all(|byte| byte.is_ascii_digit());
            let number = digits.parse::<u64>().ok().filter(|number| whole && *number > 0)?;
            number.checked_mul(1 << bits)
        });
        bytes.map(Memory).ok_or_else(|| {
            format!("expected memory such as `512Mi` or `2Gi`, found {}", shown(text))
        })
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 1000 {
            0 => write!(f, "{}", self.0 / 1000),
            _ => write!(f, "{}m", self.0),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % (1 << 30) {
            0 => write!(f, "{}Gi", self.0 >> 30),
            _ => write!(f, "{}Mi", self.0 >> 20),
        }
    }
}
