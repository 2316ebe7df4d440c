//! x86-64 instructions: how long each is, its constant, and which processors have it.
//!
//! Only that: no other operands, no names. Format: Intel SDM volume 2, chapter 2 "Instruction
//! Format" and appendix A "Opcode Map", in 64-bit mode.

use super::isa::{Feature, Level};

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Bytes, 1 to 15.
    pub length: usize,
    /// Bytes of its constant, the last of the instruction; 0 to 8.
    pub immediate: usize,
    /// What it needs beyond the baseline.
    pub feature: Option<Feature>,
}

/// The instruction at the start of `code`; none when there is no whole, valid one.
pub fn decode(code: &[u8]) -> Option<Instruction> {
    let code = code.get(..code.len().min(15))?;
    let mut prefixes = Prefixes::default();
    let mut at = 0;
    while prefixes.take(*code.get(at)?) {
        at += 1;
    }
    match (code[at], code.get(at + 1..)?) {
        (0xc5, [byte, ..]) => extended(code, at + 2, 1, byte & 3, &VEX),
        (0xc4, [map, byte, ..]) => extended(code, at + 3, map & 0x1f, byte & 3, &VEX),
        (0x62, [map, byte, _, ..]) if map & 8 == 0 && byte & 4 != 0 => {
            extended(code, at + 4, map & 7, byte & 3, &EVEX)
        }
        (0x8f, [map, _, ..]) if map & 0x1f >= 8 => extended(code, at + 3, map & 0x1f, 0, &XOP),
        (0x0f, [0x38, ..]) => legacy(code, at + 2, 2, &prefixes),
        (0x0f, [0x3a, ..]) => legacy(code, at + 2, 3, &prefixes),
        (0x0f, _) => legacy(code, at + 1, 1, &prefixes),
        _ => legacy(code, at, 0, &prefixes),
    }
}

/// Prefix bytes: operand size, address size, repeat, REX.
#[derive(Default)]
struct Prefixes {
    operand_size: bool,
    address_size: bool,
    /// The last of F2 and F3.
    repeat: Option<u8>,
    rex: u8,
}

impl Prefixes {
    /// Takes `byte` in if it is a prefix.
    fn take(&mut self, byte: u8) -> bool {
        if self.rex != 0 {
            return false; // REX is the last
        }
        match byte {
            0x66 => self.operand_size = true,
            0x67 => self.address_size = true,
            0xf2 | 0xf3 => self.repeat = Some(byte),
            0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0xf0 => {}
            0x40..=0x4f => self.rex = byte,
            _ => return false,
        }
        true
    }

    fn wide(&self) -> bool {
        self.rex & 8 != 0
    }

    /// The prefix that selects among instructions of one opcode, as VEX numbers them.
    fn selects(&self) -> u8 {
        match self.repeat {
            Some(0xf3) => 2,
            Some(_) => 3,
            None => u8::from(self.operand_size),
        }
    }
}

/// What follows an opcode.
#[derive(Clone, Copy)]
struct Shape {
    modrm: bool,
    immediate: Immediate,
}

/// A constant or a displacement within the instruction.
#[derive(Clone, Copy)]
enum Immediate {
    None,
    Bytes(usize),
    /// 2 bytes with the operand-size prefix, else 4.
    Full,
    /// 8 bytes with REX.W, else as `Full`.
    Wide,
    /// An absolute address: 8 bytes, 4 with the address-size prefix.
    Address,
    /// `TEST` of opcodes F6 and F7 has one of this many bytes, 4 standing for `Full`.
    Test(usize),
}

const fn with_modrm(immediate: Immediate) -> Option<Shape> {
    Some(Shape { modrm: true, immediate })
}

const fn plain(immediate: Immediate) -> Option<Shape> {
    Some(Shape { modrm: false, immediate })
}

/// SDM volume 2, table A-2.
fn one_byte(opcode: u8) -> Option<Shape> {
    use Immediate::{Address, Bytes, Full, None as No, Test, Wide};
    match opcode {
        0x00..=0x3f => match opcode & 7 {
            0..=3 => with_modrm(No),
            4 => plain(Bytes(1)),
            5 => plain(Full),
            _ => None,
        },
        0x63 | 0x84..=0x8f | 0xd0..=0xd3 | 0xd8..=0xdf | 0xfe | 0xff => with_modrm(No),
        0x69 | 0x81 | 0xc7 => with_modrm(Full),
        0x6b | 0x80 | 0x83 | 0xc0 | 0xc1 | 0xc6 => with_modrm(Bytes(1)),
        0xf6 => with_modrm(Test(1)),
        0xf7 => with_modrm(Test(4)),
        0x6a | 0x70..=0x7f | 0xa8 | 0xb0..=0xb7 | 0xcd | 0xe0..=0xe7 | 0xeb => plain(Bytes(1)),
        0x68 | 0xa9 => plain(Full),
        0xe8 | 0xe9 => plain(Bytes(4)),
        0xb8..=0xbf => plain(Wide),
        0xa0..=0xa3 => plain(Address),
        0xc2 | 0xca => plain(Bytes(2)),
        0xc8 => plain(Bytes(3)),
        0x60..=0x62 | 0x82 | 0x9a | 0xc4 | 0xc5 | 0xce | 0xd4..=0xd6 | 0xea => None,
        _ => plain(No),
    }
}

/// SDM volume 2, table A-3: after 0F.
fn two_byte(opcode: u8, selects: u8) -> Option<Shape> {
    use Immediate::{Bytes, None as No};
    match opcode {
        0x05..=0x09 | 0x0b | 0x0e | 0x30..=0x35 | 0x37 | 0x77 => plain(No),
        0xa0..=0xa2 | 0xa8..=0xaa | 0xc8..=0xcf => plain(No),
        0x80..=0x8f => plain(Bytes(4)),
        0x0f | 0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6 => with_modrm(Bytes(1)),
        0x78 if selects & 1 == 1 => with_modrm(Bytes(2)),
        0x04 | 0x0a | 0x0c | 0x24..=0x27 | 0x36 | 0x39 | 0x3b..=0x3f => None,
        0x7a | 0x7b | 0xa6 | 0xa7 => None,
        _ => with_modrm(No),
    }
}

/// An instruction of the maps that every encoding before VEX shares.
fn legacy(code: &[u8], at: usize, map: u8, prefixes: &Prefixes) -> Option<Instruction> {
    let opcode = *code.get(at)?;
    let selects = prefixes.selects();
    let shape = match map {
        0 => one_byte(opcode)?,
        1 => two_byte(opcode, selects)?,
        2 => with_modrm(Immediate::None)?,
        _ => with_modrm(Immediate::Bytes(1))?,
    };
    let modrm = if shape.modrm { *code.get(at + 1)? } else { 0 };
    let operand = if shape.modrm { memory(code.get(at + 1..)?)? } else { 0 };
    let full = if prefixes.operand_size && !prefixes.wide() { 2 } else { 4 };
    let immediate = match shape.immediate {
        Immediate::None => 0,
        Immediate::Bytes(bytes) => bytes,
        Immediate::Full => full,
        Immediate::Wide if prefixes.wide() => 8,
        Immediate::Wide => full,
        Immediate::Address if prefixes.address_size => 4,
        Immediate::Address => 8,
        Immediate::Test(_) if modrm >> 3 & 7 > 1 => 0,
        Immediate::Test(1) => 1,
        Immediate::Test(_) => full,
    };
    let feature = match map {
        0 => of_one_byte(opcode, modrm),
        1 => of_two_byte(opcode, selects, modrm, prefixes.wide()),
        2 => of_0f38(opcode, selects),
        _ => of_0f3a(opcode),
    };
    whole(code, at + 1 + operand, immediate, feature)
}

/// What the encodings with a prefix of several bytes differ in.
struct Extended {
    /// Of which map, and how many immediate bytes.
    immediate: fn(u8, u8) -> Option<usize>,
    feature: fn(u8, u8) -> Feature,
}

const VEX: Extended = Extended { immediate: vex_immediate, feature: of_vex };
const EVEX: Extended = Extended { immediate: vex_immediate, feature: |_, _| AVX512 };
const XOP: Extended = Extended { immediate: xop_immediate, feature: |_, _| XOP_FEATURE };

fn vex_immediate(map: u8, opcode: u8) -> Option<usize> {
    match (map, opcode) {
        (1, 0x70..=0x73 | 0xc2 | 0xc4..=0xc6) | (3, _) => Some(1),
        (1 | 2 | 5 | 6, _) => Some(0),
        _ => None,
    }
}

fn xop_immediate(map: u8, _: u8) -> Option<usize> {
    match map {
        8 => Some(1),
        9 => Some(0),
        10 => Some(4),
        _ => None,
    }
}

fn extended(code: &[u8], at: usize, map: u8, _: u8, kind: &Extended) -> Option<Instruction> {
    let opcode = *code.get(at)?;
    let immediate = (kind.immediate)(map, opcode)?;
    // VZEROUPPER and VZEROALL alone have no operand.
    let operand = if (map, opcode) == (1, 0x77) { 0 } else { memory(code.get(at + 1..)?)? };
    whole(code, at + 1 + operand, immediate, Some((kind.feature)(map, opcode)))
}

fn whole(
    code: &[u8],
    before: usize,
    immediate: usize,
    feature: Option<Feature>,
) -> Option<Instruction> {
    let length = before + immediate;
    (length <= code.len()).then_some(Instruction { length, immediate, feature })
}

/// Length of ModRM, SIB and displacement (SDM volume 2, tables 2-2 and 2-3).
fn memory(code: &[u8]) -> Option<usize> {
    let modrm = *code.first()?;
    let (mode, rm) = (modrm >> 6, modrm & 7);
    if mode == 3 {
        return Some(1);
    }
    let (sib, base) = if rm == 4 { (1, code.get(1)? & 7) } else { (0, rm) };
    let displacement = match mode {
        0 if base == 5 => 4,
        0 => 0,
        1 => 1,
        _ => 4,
    };
    Some(1 + sib + displacement)
}

const fn feature(name: &'static str, level: Option<Level>) -> Feature {
    Feature { name, level }
}

const SSE3: Feature = feature("SSE3", Some(Level::V2));
const SSSE3: Feature = feature("SSSE3", Some(Level::V2));
const SSE41: Feature = feature("SSE4.1", Some(Level::V2));
const SSE42: Feature = feature("SSE4.2", Some(Level::V2));
const POPCNT: Feature = feature("POPCNT", Some(Level::V2));
const CMPXCHG16B: Feature = feature("CMPXCHG16B", Some(Level::V2));
const LAHF: Feature = feature("LAHF/SAHF", Some(Level::V2));
const AVX: Feature = feature("AVX or AVX2", Some(Level::V3));
const FMA: Feature = feature("FMA", Some(Level::V3));
const F16C: Feature = feature("F16C", Some(Level::V3));
const BMI: Feature = feature("BMI", Some(Level::V3));
const LZCNT: Feature = feature("LZCNT", Some(Level::V3));
const MOVBE: Feature = feature("MOVBE", Some(Level::V3));
const AVX512: Feature = feature("AVX-512", Some(Level::V4));
const AES: Feature = feature("AES", None);
const PCLMUL: Feature = feature("PCLMULQDQ", None);
const SHA: Feature = feature("SHA", None);
const GFNI: Feature = feature("GFNI", None);
const ADX: Feature = feature("ADX", None);
const RDRAND: Feature = feature("RDRAND or RDSEED", None);
const RTM: Feature = feature("RTM", None);
const SSE4A: Feature = feature("SSE4a", None);
const AMD_3DNOW: Feature = feature("3DNow!", None);
const FMA4: Feature = feature("FMA4", None);
const XOP_FEATURE: Feature = feature("XOP", None);

fn of_one_byte(opcode: u8, modrm: u8) -> Option<Feature> {
    match (opcode, modrm) {
        (0x9e | 0x9f, _) => Some(LAHF),
        (0xdb | 0xdd | 0xdf, 0x08..=0x0f | 0x48..=0x4f | 0x88..=0x8f) => Some(SSE3), // FISTTP
        (0xc6 | 0xc7, 0xf8) => Some(RTM),
        _ => None,
    }
}

/// `selects`: 1 for 66, 2 for F3, 3 for F2.
///
/// TZCNT is not among them: compilers write it for every processor, as older ones read BSF.
fn of_two_byte(opcode: u8, selects: u8, modrm: u8, wide: bool) -> Option<Feature> {
    let (register, group) = (modrm >= 0xc0, modrm >> 3 & 7);
    match (opcode, selects) {
        (0x12, 2 | 3) | (0x16, 2) | (0x7c | 0x7d | 0xd0, 1 | 3) | (0xf0, 3) => Some(SSE3),
        (0xb8, 2) => Some(POPCNT),
        (0xbd, 2) => Some(LZCNT),
        (0xc7, _) if group == 1 && wide && !register => Some(CMPXCHG16B),
        (0xc7, 0 | 1) if group >= 6 && register => Some(RDRAND),
        (0x01, _) if modrm == 0xd5 || modrm == 0xd6 => Some(RTM),
        (0x2b, 2 | 3) | (0x78 | 0x79, 1 | 3) => Some(SSE4A),
        (0x0f, _) => Some(AMD_3DNOW),
        _ => None,
    }
}

fn of_0f38(opcode: u8, selects: u8) -> Option<Feature> {
    match (opcode, selects) {
        (0x00..=0x0b | 0x1c..=0x1e, _) => Some(SSSE3),
        (0x37, _) | (0xf0 | 0xf1, 3) => Some(SSE42),
        (0x10..=0x17 | 0x20..=0x41, _) => Some(SSE41),
        (0xc8..=0xcd, _) => Some(SHA),
        (0xcf, _) => Some(GFNI),
        (0xdb..=0xdf, _) => Some(AES),
        (0xf0 | 0xf1, _) => Some(MOVBE),
        (0xf6, 1 | 2) => Some(ADX),
        _ => None,
    }
}

fn of_0f3a(opcode: u8) -> Option<Feature> {
    match opcode {
        0x0f => Some(SSSE3),
        0x08..=0x0e | 0x14..=0x17 | 0x20..=0x22 | 0x40..=0x42 => Some(SSE41),
        0x44 => Some(PCLMUL),
        0x60..=0x63 => Some(SSE42),
        0xcc => Some(SHA),
        0xce | 0xcf => Some(GFNI),
        0xdf => Some(AES),
        _ => None,
    }
}

fn of_vex(map: u8, opcode: u8) -> Feature {
    match (map, opcode) {
        // mask registers
        (1, 0x41..=0x4b | 0x90..=0x93 | 0x98 | 0x99) | (3, 0x30..=0x33) => AVX512,
        (2, 0x13) | (3, 0x1d) => F16C,
        (2, 0x96..=0x9f | 0xa6..=0xaf | 0xb6..=0xbf) => FMA,
        (2, 0xf2..=0xf7) | (3, 0xf0) => BMI,
        (3, 0x5c..=0x5f | 0x68..=0x6f | 0x78..=0x7f) => FMA4,
        _ => AVX,
    }
}
