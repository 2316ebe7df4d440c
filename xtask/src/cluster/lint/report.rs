//! Findings for people, scripts and code scanning.

use serde_json::{Value, json};

use super::{Finding, Level, rules};

/// A finding a line, what to do below it.
pub fn text(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let (place, rule) = (&finding.place, finding.rule);
        format!(
            "{}:{}:{}: {}[{}]: {}: {}\n  hint: {}\n",
            place.file,
            place.line,
            place.column,
            rule.level.as_str(),
            rule.id,
            finding.what,
            rule.why,
            rule.todo,
        )
    };
    findings.iter().map(line).collect()
}

/// How many there are of each level.
pub fn summary(findings: &[Finding], documents: usize, tasks: usize) -> String {
    let count = |level| findings.iter().filter(|finding| finding.rule.level == level).count();
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    format!("{documents} documents, {tasks} tasks: {errors} errors, {warnings} warnings")
}

/// `{"findings": […]}`.
pub fn json(findings: &[Finding], documents: usize, tasks: usize) -> Value {
    let item = |finding: &Finding| {
        let (place, rule) = (&finding.place, finding.rule);
        json!({
            "file": &*place.file, "line": place.line, "column": place.column,
            "rule": rule.id, "level": rule.level.as_str(),
            "what": finding.what, "why": rule.why, "hint": rule.todo,
        })
    };
    let findings: Vec<Value> = findings.iter().map(item).collect();
    json!({"documents": documents, "tasks": tasks, "findings": findings})
}

/// SARIF 2.1.0 (OASIS): one run, a result a finding.
pub fn sarif(findings: &[Finding]) -> Value {
    let rule = |rule: &&super::Rule| {
        json!({
            "id": rule.id,
            "shortDescription": {"text": rule.why},
            "help": {"text": rule.todo},
            "defaultConfiguration": {"level": rule.level.as_str()},
        })
    };
    let result = |finding: &Finding| {
        let (place, rule) = (&finding.place, finding.rule);
        json!({
            "ruleId": rule.id,
            "ruleIndex": rules::ALL.iter().position(|known| *known == rule),
            "level": rule.level.as_str(),
            "message": {"text": format!("{}: {}", finding.what, rule.why)},
            "locations": [{"physicalLocation": {
                "artifactLocation": {"uri": uri(&place.file)},
                "region": {"startLine": place.line, "startColumn": place.column},
            }}],
        })
    };
    json!({
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "lockstep",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules::ALL.iter().map(rule).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

/// A relative reference (RFC 3986): all but unreserved characters and `/` as their bytes.
fn uri(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let byte = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    path.bytes().map(byte).collect()
}
