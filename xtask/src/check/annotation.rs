//! Annotations: what GitHub Actions shows beside the line of a file (workflow commands,
//! `::error file=…,line=…,title=…::…`).

use crate::ledger::digests::ALL;
use crate::workspace::Workspace;

use super::report::{Report, guilt_of};
use super::verdict::Verdict;

/// A line for each thing that is wrong.
pub fn annotations(report: &Report, workspace: &Workspace, snapshot: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for artifact in report.artifacts.iter().filter(|artifact| !artifact.equal()) {
        if artifact.differences.is_empty() {
            continue; // it follows from another
        }
        let (file, line) = place(artifact, workspace, snapshot);
        let mut text: Vec<String> =
            artifact.differences.iter().take(3).map(ToString::to_string).collect();
        text.extend(artifact.guilt.as_ref().map(|guilt| format!("guilty: {}", guilt_of(guilt))));
        let title = format!("{} is not reproducible", artifact.file);
        lines.push(command(&file, line, &title, &text.join("\n")));
    }
    // Of builds that differ, no ledger can be expected to be reproduced.
    if let Some(why) = report.ledger.as_ref().filter(|_| lines.is_empty()) {
        for moved in report.rows.iter().filter(|moved| moved.moved) {
            let line = row(workspace, snapshot, &moved.file);
            let text = report.since.as_ref().and_then(|since| moved.sentence(since));
            let text = text.unwrap_or_else(|| "run `cargo xtask build-ops` to see how".to_owned());
            let title = format!("{} differs from the committed ledger", moved.file);
            lines.push(command(snapshot, line, &title, &text));
        }
        if lines.is_empty() {
            lines.push(command(snapshot, 1, "the ledger is not reproduced", why));
        }
    }
    lines
}

/// The BUILD file's line that speaks of the artifact, or the ledger's.
fn place(artifact: &Verdict, workspace: &Workspace, snapshot: &str) -> (String, usize) {
    if artifact.package == ALL {
        return (snapshot.to_owned(), row(workspace, snapshot, &artifact.file));
    }
    for name in ["BUILD.bazel", "BUILD"] {
        let file = format!("ops/{}/{name}", artifact.package);
        if let Ok(text) = std::fs::read_to_string(workspace.root().join(&file)) {
            return (file, line_with(&text, &format!("\"{}\"", artifact.file)));
        }
    }
    (format!("ops/{}", artifact.package), 1)
}

fn row(workspace: &Workspace, snapshot: &str, file: &str) -> usize {
    let text = std::fs::read_to_string(workspace.root().join(snapshot)).unwrap_or_default();
    line_with(&text, file)
}

fn line_with(text: &str, word: &str) -> usize {
    text.lines().position(|line| line.contains(word)).map_or(1, |at| at + 1)
}

/// One workflow command.
fn command(file: &str, line: usize, title: &str, text: &str) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    format!("::error file={},line={line},title={}::{}", property(file), property(title), data(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_line_whatever_is_in_it() {
        assert_eq!(
            command("ops/a,b/BUILD", 7, "50%: no", "x: 1\ny"),
            "::error file=ops/a%2Cb/BUILD,line=7,title=50%25%3A no::x: 1%0Ay"
        );
    }
}
