//! The instruction decoder, against binutils' own on real code.

use std::collections::BTreeSet;
use std::process::Command;

use proptest::prelude::*;
use xtask::abi::x86::decode;

/// libm has every instruction set that it dispatches to: SSE4.1, AVX, FMA, FMA4.
const LIBRARIES: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/libm.so.6", "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1"];

#[test]
fn lengths_and_vex_agree_with_objdump() {
    let mut seen = 0;
    let mut features = BTreeSet::new();
    for library in LIBRARIES {
        #[expect(clippy::disallowed_methods, reason = "the reference to compare with")]
        let output = Command::new("objdump").args(["-d", "-w", library]).output().unwrap();
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Some((bytes, text)) = instruction(line) else { continue };
            let found = decode(&[&bytes[..], &[0x90; 15]].concat());
            assert_eq!(found.map(|found| found.length), Some(bytes.len()), "{line}");
            let feature = found.and_then(|found| found.feature);
            let mnemonic = text.split_whitespace().next().unwrap_or_default();
            let vex = mnemonic.starts_with('v') && !mnemonic.starts_with("ver");
            if vex {
                assert!(
                    feature.and_then(|found| found.level).is_some() || feature.is_some(),
                    "{line}"
                );
            }
            features.extend(feature.map(|found| found.name));
            seen += 1;
        }
    }
    assert!(seen > 50_000, "objdump showed {seen} instructions");
    for name in ["SSE4.1", "AVX or AVX2", "FMA"] {
        assert!(features.contains(name), "{name} not among {features:?}");
    }
}

/// `  1040:\tc5 f8 77 \tvzeroupper` as bytes and text; none for other lines, for what
/// objdump itself cannot read, and for FWAIT, which it shows as part of its successor.
fn instruction(line: &str) -> Option<(Vec<u8>, &str)> {
    let mut columns = line.split('\t');
    columns.next()?.trim_start().strip_suffix(':')?;
    let byte = |text: &str| u8::from_str_radix(text, 16).ok();
    let bytes: Vec<u8> = columns.next()?.split_whitespace().map(byte).collect::<Option<_>>()?;
    let text = columns.next()?;
    let readable = !text.contains("(bad)") && !text.starts_with('.') && !text.starts_with("rex");
    (readable && bytes[0] != 0x9b).then_some((bytes, text))
}

#[test]
fn features_of_single_instructions() {
    let cases: [(&[u8], usize, Option<&str>); 14] = [
        (&[0xc3], 1, None),
        (&[0xf3, 0x0f, 0x1e, 0xfa], 4, None), // endbr64
        (&[0xf3, 0x0f, 0xbc, 0xc1], 4, None), // tzcnt, which older processors read as bsf
        (&[0xf3, 0x0f, 0xbd, 0xc1], 4, Some("LZCNT")),
        (&[0xf3, 0x0f, 0xb8, 0xc1], 4, Some("POPCNT")),
        (&[0x66, 0x0f, 0x38, 0x00, 0xc1], 5, Some("SSSE3")),
        (&[0xf2, 0x0f, 0x38, 0xf1, 0xc1], 5, Some("SSE4.2")),
        (&[0x0f, 0x38, 0xf1, 0x07], 4, Some("MOVBE")),
        (&[0x48, 0x0f, 0xc7, 0x0f], 4, Some("CMPXCHG16B")),
        (&[0xc5, 0xf8, 0x77], 3, Some("AVX or AVX2")),
        (&[0xc4, 0xe2, 0xf9, 0x98, 0xc1], 5, Some("FMA")),
        (&[0xc4, 0xe2, 0x78, 0xf2, 0xc1], 5, Some("BMI")),
        (&[0x62, 0xf1, 0x7c, 0x48, 0x58, 0xc1], 6, Some("AVX-512")),
        (&[0x66, 0x0f, 0x38, 0xdc, 0xc1], 5, Some("AES")),
    ];
    for (bytes, length, feature) in cases {
        let found = decode(bytes).unwrap();
        assert_eq!(
            (found.length, found.feature.map(|found| found.name)),
            (length, feature),
            "{bytes:x?}"
        );
    }
    assert_eq!(decode(&[0x0f]), None, "cut off");
    assert_eq!(decode(&[0x06]), None, "not in 64-bit mode");
}

proptest! {
    #[test]
    fn no_bytes_break_the_decoder(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
        if let Some(found) = decode(&bytes) {
            prop_assert!((1..=15).contains(&found.length) && found.length <= bytes.len());
        }
    }
}
