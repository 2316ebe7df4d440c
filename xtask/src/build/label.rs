//! Labels in BUILD files, checked before Bazel starts.
//!
//! A BUILD file is a program, and only Bazel can run it. But nearly every dependency that
//! is wrong in practice is written as a plain string, and those are checked here, all at
//! once, in milliseconds: that the package's folder and BUILD file are there, that a source
//! file is there, with the near miss. What is computed is left to Bazel, whose refusal
//! [`crate::build::failure`] explains. Syntax: Bazel's "Labels" and Starlark's lexical
//! elements.

use std::fmt;

/// A label as written: `//pkg:target`, `@repo//pkg`, `:target`, `file.cc`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// Repository without `@`; `None` is the ops workspace itself.
    pub repository: Option<String>,
    /// Package; `None` is the package of the BUILD file that holds the label.
    pub package: Option<String>,
    /// Target within the package.
    pub target: String,
}

impl Label {
    /// Parses a label; `None` for a string that is none.
    pub fn parse(text: &str) -> Option<Self> {
        let bad = |c: char| c.is_whitespace() || c.is_control() || "$*?[]\\\"'".contains(c);
        if text.is_empty() || text.contains(bad) {
            return None;
        }
        let (repository, rest) = match text.strip_prefix('@') {
            Some(after) => {
                let (name, rest) = after.trim_start_matches('@').split_once("//")?;
                (Some(name.to_owned()), Some(rest))
            }
            None => (None, text.strip_prefix("//")),
        };
        let Some(path) = rest else {
            let target = text.strip_prefix(':').unwrap_or(text);
            return Some(Label { repository: None, package: None, target: target.to_owned() });
        };
        let (package, target) = match path.split_once(':') {
            Some((package, target)) => (package, target),
            None => (path, path.rsplit('/').next().unwrap_or(path)),
        };
        Some(Label { repository, package: Some(package.to_owned()), target: target.to_owned() })
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(repository) = &self.repository {
            write!(f, "@{repository}")?;
        }
        if let Some(package) = &self.package {
            write!(f, "//{package}")?;
        }
        write!(f, ":{}", self.target)
    }
}

/// A string literal where a label belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// The attribute: `srcs`, `deps`, …, or `load`.
    pub attribute: String,
    /// The string.
    pub text: String,
    /// Line in the BUILD file, from 1.
    pub line: usize,
}

/// Attributes whose list entries are labels.
const LABELS: [&str; 6] = ["srcs", "hdrs", "textual_hdrs", "deps", "data", "gpu_srcs"];

/// All labels that a BUILD file writes as plain strings: in lists given to [`LABELS`], and
/// in `load`.
pub fn mentions(build_file: &str) -> Vec<Mention> {
    let tokens = tokens(build_file);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let word = match &token.0 {
            Token::Word(word) => word.as_str(),
            _ => continue,
        };
        let rest = &tokens[at + 1..];
        let list = match rest {
            [(Token::Mark('='), _), (Token::Mark('['), _), list @ ..] if LABELS.contains(&word) => {
                list
            }
            [(Token::Mark('('), _), list @ ..] if word == "load" => &list[..list.len().min(1)],
            _ => continue,
        };
        for (token, line) in list {
            match token {
                Token::Text(text) => {
                    found.push(Mention { attribute: word.into(), text: text.clone(), line: *line });
                }
                Token::Mark(',') => {}
                _ => break,
            }
        }
    }
    found
}

/// Target names that a BUILD file writes as plain strings (`name = "…"`).
pub fn names(build_file: &str) -> Vec<String> {
    tokens(build_file)
        .windows(3)
        .filter_map(|window| match window {
            [(Token::Word(name), _), (Token::Mark('='), _), (Token::Text(text), _)]
                if name == "name" =>
            {
                Some(text.clone())
            }
            _ => None,
        })
        .collect()
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Mark(char),
}

/// Starlark's tokens as far as labels need them; anything odd becomes a mark.
fn tokens(text: &str) -> Vec<(Token, usize)> {
    let mut out = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(c) = rest.chars().next() {
        let (token, length) = match c {
            '#' => (None, rest.find('\n').unwrap_or(rest.len())),
            '"' | '\'' => {
                let (text, length) = string(rest, c);
                (Some(Token::Text(text)), length)
            }
            c if c.is_alphanumeric() || c == '_' => {
                let end =
                    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                (Some(Token::Word(rest[..end].to_owned())), end)
            }
            c if c.is_whitespace() => (None, c.len_utf8()),
            c => (Some(Token::Mark(c)), c.len_utf8()),
        };
        out.extend(token.map(|token| (token, line)));
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    out
}

/// A string literal at the start of `text`: its value (escapes kept as written) and length.
fn string(text: &str, quote: char) -> (String, usize) {
    let triple: String = std::iter::repeat_n(quote, 3).collect();
    let fence = if text.starts_with(&triple) { triple } else { quote.to_string() };
    let mut at = fence.len();
    while at < text.len() && !text[at..].starts_with(&fence) {
        let step = text[at..].chars().next().map_or(1, char::len_utf8);
        let escaped = text[at..].starts_with('\\');
        at += step;
        if escaped {
            at += text[at..].chars().next().map_or(0, char::len_utf8);
        }
    }
    let end = at.min(text.len());
    (text[fence.len()..end].to_owned(), (end + fence.len()).min(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_are_read_as_bazel_reads_them() {
        let shown = |text: &str| Label::parse(text).map(|label| label.to_string());
        assert_eq!(shown("@tf//core:lib").as_deref(), Some("@tf//core:lib"));
        assert_eq!(shown("//a/b").as_deref(), Some("//a/b:b"));
        assert_eq!(shown(":x").as_deref(), Some(":x"));
        assert_eq!(shown("kernels/x.cc").as_deref(), Some(":kernels/x.cc"));
        assert_eq!(shown("$(location x)"), None);
    }

    #[test]
    fn mentions_are_the_plain_strings_of_label_lists() {
        let text = "load(\"//a:b.bzl\", \"macro\")\nmacro(\n  name = 'x', # deps = [\"no\"]\n  srcs = [\n    \"x.cc\",\n    'y.cc',\n  ] + glob([\"z\"]),\n  copts = [\"-O2\"],\n)\n";
        let found: Vec<_> =
            mentions(text).into_iter().map(|m| (m.attribute, m.text, m.line)).collect();
        let expected = [("load", "//a:b.bzl", 1), ("srcs", "x.cc", 5), ("srcs", "y.cc", 6)];
        assert_eq!(found, expected.map(|(a, t, l)| (a.to_owned(), t.to_owned(), l)));
        assert_eq!(names(text), ["x"]);
    }

    proptest! {
        #[test]
        fn any_text_has_tokens(text in "\\PC*|[\"'#\\\\\na=\\[\\]]*") {
            mentions(&text);
            names(&text);
            drop(Label::parse(&text));
        }
    }
}
