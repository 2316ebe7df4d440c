//! What is wrong with a text file, each problem shown where it is.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// One problem at one place of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What and which key: one line.
    pub title: String,
    /// What was expected, or what may have been meant; beside the place.
    pub label: String,
    /// The place, in bytes.
    pub span: Range<usize>,
}

/// A message lists this many problems; the rest are counted.
const MOST: usize = 20;

/// All problems of `file` as one message, each with the lines that it is about.
pub fn render(file: &str, text: &str, problems: &[Problem], color: bool) -> String {
    // An excerpt may end in a log for all to read.
    let text = &masked(text);
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut blocks: Vec<String> = problems
        .iter()
        .take(MOST)
        .map(|problem| format!("{}\n{}", problem.title, excerpt(file, text, problem, &renderer)))
        .collect();
    if problems.len() > MOST {
        blocks.push(format!("{} more problems in {file}", problems.len() - MOST));
    }
    blocks.join("\n\nerror: ")
}

/// The line of the problem, underlined.
fn excerpt(file: &str, text: &str, problem: &Problem, renderer: &Renderer) -> String {
    let annotation =
        AnnotationKind::Primary.span(problem.span.clone()).label(problem.label.as_str());
    let snippet = Snippet::source(text).path(file).annotation(annotation);
    renderer.render(&[Group::with_level(Level::ERROR).element(snippet)])
}

/// `text` with stars, as many bytes, for each user name and password in a URL.
pub(super) fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let end = after.find(|c: char| c == '/' || c == '"' || c.is_whitespace());
        let authority = &after[..end.unwrap_or(after.len())];
        let secret = authority.rfind('@').unwrap_or(0);
        masked.extend([before, "://", &"*".repeat(secret)]);
        rest = &after[secret..];
    }
    masked + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        let text = "a://b/@ \"https://mé:p@ss@mirror.example/x@y\" c@d x://";
        let shown = masked(text);
        assert_eq!(shown, "a://b/@ \"https://********@mirror.example/x@y\" c@d x://");
        assert_eq!(shown.len(), text.len());
    }
}
