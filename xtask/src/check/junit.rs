//! JUnit's XML (the common subset of Jenkins' and GitLab's schemas): a case an artifact, one
//! for the ledger, one for each engine and variation that was skipped.

use std::fmt::Write as _;

use super::report::{Report, Skipped, guilt_of};

/// The whole document.
pub fn xml(report: &Report) -> String {
    let mut cases = String::new();
    let (mut tests, mut failures, mut skipped) = (0, 0, 0);
    let mut case = |class: &str, name: &str, verdict: &Verdict<'_>| {
        tests += 1;
        let head = format!("  <testcase classname=\"{}\" name=\"{}\"", escape(class), escape(name));
        let _in_memory = match verdict {
            Verdict::Passed => writeln!(cases, "{head}/>"),
            Verdict::Skipped(why) => {
                skipped += 1;
                writeln!(cases, "{head}><skipped message=\"{}\"/></testcase>", escape(why))
            }
            Verdict::Failed(why, text) => {
                failures += 1;
                let (why, text) = (escape(why), escape(text));
                writeln!(cases, "{head}><failure message=\"{why}\">{text}</failure></testcase>")
            }
        };
    };
    for artifact in &report.artifacts {
        let text: Vec<String> = artifact.differences.iter().map(ToString::to_string).collect();
        let guilt = artifact.guilt.as_ref().map(|guilt| format!("guilty: {}", guilt_of(guilt)));
        let text = text.into_iter().chain(guilt).collect::<Vec<_>>().join("\n");
        let why = artifact.differences.first().map_or("differs", |first| first.cause.sentence());
        let verdict = if artifact.equal() { Verdict::Passed } else { Verdict::Failed(why, &text) };
        case(&artifact.package, &artifact.file, &verdict);
    }
    let ledger = report.ledger.as_deref();
    let verdict = ledger
        .map_or(Verdict::Passed, |why| Verdict::Failed(why.lines().next().unwrap_or(why), why));
    case("ledger", &report.platform, &verdict);
    if let Some(agreement) = &report.agreement {
        let text = agreement.to_string();
        let all = agreement.agree == agreement.of;
        let verdict =
            if all { Verdict::Passed } else { Verdict::Failed("other ledgers dissent", &text) };
        case("ledger", "agreement", &verdict);
    }
    for Skipped { what, why } in &report.skipped {
        case("skipped", what, &Verdict::Skipped(why));
    }
    let seconds: u64 = report.builds.iter().map(|build| build.seconds).sum();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"cargo xtask check\" \
         tests=\"{tests}\" failures=\"{failures}\" errors=\"0\" skipped=\"{skipped}\" \
         time=\"{seconds}\">\n{cases}</testsuite>\n"
    )
}

enum Verdict<'a> {
    Passed,
    Skipped(&'a str),
    /// In a line, and in full.
    Failed(&'a str, &'a str),
}

/// Text for an attribute or an element. XML 1.0 has no way to write most control characters.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\n' => escaped += "&#10;",
            '\t' => escaped.push('\t'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('?'),
            c => escaped.push(c),
        }
    }
    escaped
}
