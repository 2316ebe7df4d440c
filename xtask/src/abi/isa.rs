//! Which processors can run an op: the x86-64 level of its instructions.
//!
//! Levels: x86-64 psABI, section 3.1.1 "Processor Architecture".

use std::fmt;

/// A level of the x86-64 psABI.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The baseline: every x86-64 processor.
    #[default]
    V1,
    /// SSE3, SSSE3, SSE4, POPCNT, CMPXCHG16B.
    V2,
    /// AVX, AVX2, BMI, FMA, F16C, LZCNT, MOVBE.
    V3,
    /// AVX-512 F, BW, CD, DQ, VL.
    V4,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Level::V1 => "x86-64",
            Level::V2 => "x86-64-v2",
            Level::V3 => "x86-64-v3",
            Level::V4 => "x86-64-v4",
        })
    }
}
