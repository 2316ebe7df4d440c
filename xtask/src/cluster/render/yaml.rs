//! JSON values as block YAML (YAML 1.2.2, chapter 8), such that YAML 1.1 reads the same.

use std::fmt::Write as _;

use serde_json::Value;

/// One document for each value.
pub fn documents(values: &[Value]) -> String {
    values.iter().map(document).collect::<Vec<_>>().join("---\n")
}

/// The value as one document.
pub fn document(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

/// Writes what stands after a key or at the start of a line, with its line end.
fn block(value: &Value, depth: usize, text: &mut String) {
    let pad = "  ".repeat(depth);
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (index, (key, value)) in entries.iter().enumerate() {
                let pad = if index == 0 { "" } else { &pad };
                let _infallible = write!(text, "{pad}{}:", scalar(key));
                beside(value, depth, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                let pad = if index == 0 { "" } else { &pad };
                let _infallible = write!(text, "{pad}- ");
                block(item, depth + 1, text);
            }
        }
        other => {
            let _infallible = writeln!(text, "{}", flow(other));
        }
    }
}

/// The value of a key: below it when it has parts, else on its line.
fn beside(value: &Value, depth: usize, text: &mut String) {
    let (pad, below) = match value {
        Value::Object(entries) if !entries.is_empty() => ("  ".repeat(depth + 1), depth + 1),
        Value::Array(items) if !items.is_empty() => ("  ".repeat(depth), depth),
        Value::String(lines) if lines.contains('\n') => return literal(lines, depth + 1, text),
        _ => (" ".to_owned(), 0),
    };
    if pad != " " {
        text.push('\n');
    }
    text.push_str(&pad);
    block(value, below, text);
}

/// Several lines as they are (chapter 8.1.2), where YAML keeps them so; else in quotes.
fn literal(lines: &str, depth: usize, text: &mut String) {
    let plain = |line: &str| !line.contains(|c: char| c.is_control()) && line.trim_end() == line;
    let keeps =
        lines.lines().all(plain) && !lines.contains('\r') && !lines.starts_with([' ', '\n']);
    if !keeps {
        let _infallible = writeln!(text, " {}", Value::from(lines));
        return;
    }
    // `|` keeps one line end, `|-` none, `|+` all.
    let chomp = match (lines.ends_with('\n'), lines.ends_with("\n\n")) {
        (false, _) => "-",
        (true, false) => "",
        (true, true) => "+",
    };
    let _infallible = writeln!(text, " |{chomp}");
    for line in lines.lines() {
        let pad = if line.is_empty() { "" } else { &"  ".repeat(depth) };
        let _infallible = writeln!(text, "{pad}{line}");
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Without quotes only what no version of YAML takes for anything but text.
fn scalar(text: &str) -> String {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_./@".contains(c);
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let bare = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.split(':').all(|part| part.chars().all(inner) && !part.is_empty())
        && !words.contains(&text.to_ascii_lowercase().as_str());
    if bare { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stand_below_and_what_reads_as_something_else_is_quoted() {
        let value = serde_json::json!({
            "a": [{"b": "yes", "c": ["1", 1]}, ["x:1", "x: 1"]], "d": {}, "e": [],
            "f": "two\n  lines\n", "g": "tab\there\n", "h": "0x1", "i": "~", "j": {"k": null},
        });
        insta::assert_snapshot!(document(&value), @r#"
        a:
        - b: "yes"
          c:
          - "1"
          - 1
        - - x:1
          - "x: 1"
        d: {}
        e: []
        f: |
          two
            lines
        g: "tab\there\n"
        h: "0x1"
        i: "~"
        j:
          k: null
        "#);
    }
}
