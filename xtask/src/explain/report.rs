//! What was found, for people and for scripts.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::scan::{Found, Place};
use crate::abi::symbol::demangled;

/// A paragraph a message.
pub(super) fn text(found: &Found) -> String {
    let mut text = String::new();
    for place in &found.places {
        let known = place.known;
        let times =
            if place.count > 1 { format!(" ({} lines)", place.count) } else { String::new() };
        let _infallible = writeln!(text, "line {}{times}: {}", place.line, place.text);
        if let Some(symbol) = symbol(place) {
            let _infallible = writeln!(text, "  symbol: {symbol}");
        }
        let _infallible = writeln!(
            text,
            "  cause: {}\n  layer: {}\n  fix:   {}\n  proof: {}\n",
            known.cause,
            known.layer.as_str(),
            known.fix,
            known.proof
        );
    }
    if found.places.is_empty() {
        let _infallible =
            writeln!(text, "in {} lines there is no message that Lockstep knows", found.lines);
        for (line, words) in &found.strange {
            let _infallible = writeln!(text, "  line {line} speaks of an error: {words}");
        }
    }
    text
}

/// `{"lines", "messages", "unknown"}`.
pub(super) fn json(found: &Found) -> Value {
    let message = |place: &Place| {
        let known = place.known;
        json!({
            "id": known.id, "line": place.line, "count": place.count, "text": place.text,
            "symbol": symbol(place), "cause": known.cause, "layer": known.layer.as_str(),
            "fix": known.fix, "proof": known.proof, "follows": known.follows,
        })
    };
    let unknown = |(line, text): &(u64, String)| json!({"line": line, "text": text});
    json!({
        "lines": found.lines,
        "messages": found.places.iter().map(message).collect::<Vec<_>>(),
        "unknown": found.strange.iter().map(unknown).collect::<Vec<_>>(),
    })
}

/// The first mangled name of the message, as it is written in C++.
fn symbol(place: &Place) -> Option<String> {
    let (_, rest) = place.text.split_at_checked(place.text.find("_Z")?)?;
    let inner = |c: char| c.is_ascii_alphanumeric() || "_.$".contains(c);
    let name = &rest[..rest.find(|c| !inner(c)).unwrap_or(rest.len())];
    let said = demangled(name);
    (said != name).then_some(said)
}
