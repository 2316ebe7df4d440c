use super::*;
use std::collections::BTreeSet;

/// Every message of TensorFlow 2.20 and 2.21, Bazel, the loader and the entrypoint that users
/// were seen to meet.
const MESSAGES: &str = include_str!("messages.txt");

fn explained(log: &str) -> String {
    report::text(&scan::scan(log.as_bytes()).unwrap())
}

#[test]
fn each_message_is_explained() {
    let texts: Vec<String> = MESSAGES.lines().map(explained).collect();
    for (message, text) in MESSAGES.lines().zip(&texts) {
        assert!(text.contains("  cause: "), "not known: {message}");
    }
    insta::assert_snapshot!(texts.concat());
}

#[test]
fn each_known_message_was_seen() {
    let seen = scan::scan(MESSAGES.as_bytes()).unwrap();
    let seen: BTreeSet<&str> = seen.places.iter().map(|place| place.known.id).collect();
    let known: BTreeSet<&str> = known::all().map(|known| known.id).collect();
    assert_eq!(known.difference(&seen).collect::<Vec<_>>(), Vec::<&&str>::new());
    assert_eq!(known.len(), known::all().count(), "an id is there twice");
}

#[test]
fn what_follows_from_others_is_told_last_and_lines_are_counted() {
    let log = "a\nb: The following tasks are unhealthy\r\nc\n\nIllegal instruction\nIllegal instruction\nd";
    let found = scan::scan(log.as_bytes()).unwrap();
    let places: Vec<_> =
        found.places.iter().map(|place| (place.known.id, place.line, place.count)).collect();
    assert_eq!(places, [("illegal-instruction", 5, 2), ("tasks-unhealthy", 2, 1)]);
    assert_eq!(found.lines, 7);
}

#[test]
fn what_is_not_known_is_said_plainly() {
    insta::assert_snapshot!(explained("Epoch 1\nFooError: the sky fell\nEpoch 2\n"), @"
    in 3 lines there is no message that Lockstep knows
      line 2 speaks of an error: FooError: the sky fell
    ");
    insta::assert_snapshot!(explained(""), @"in 0 lines there is no message that Lockstep knows");
}

#[test]
fn a_message_is_found_wherever_a_read_ends() {
    struct Slow<'t>(&'t [u8], usize);
    impl std::io::Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let step = self.1.min(self.0.len()).min(buffer.len());
            buffer[..step].copy_from_slice(&self.0[..step]);
            self.0 = &self.0[step..];
            Ok(step)
        }
    }
    let log = format!("{}\nThere must be at least one ps.\nend", "x".repeat(50));
    for step in (1..90).step_by(7) {
        let found = scan::scan(Slow(log.as_bytes(), step)).unwrap();
        assert_eq!((found.places[0].line, found.lines), (2, 3), "{step}");
    }
    let long = format!("{}\nThere must be at least one ps.\n", "x".repeat(3 << 20));
    assert_eq!(scan::scan(long.as_bytes()).unwrap().places.len(), 1);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
    #[test]
    fn any_bytes_are_read(log in proptest::collection::vec(proptest::num::u8::ANY, 0..500)) {
        scan::scan(&*log).unwrap();
        scan::scan(&*[b"undefined symbol: _Z".as_slice(), &log].concat()).unwrap();
    }
}
