//! A failed Bazel run, in the user's words: the compiler's own first error, or the label
//! that does not resolve.

use std::path::Path;

use crate::build::event::{Events, FailedAction};
use crate::engine::Outcome;
use crate::error::{Error, Kind};
use crate::source::bazel::FULL;

/// Lines of a compiler's output that are worth showing: its first error and what belongs to it.
const SHOWN: usize = 30;

/// The error for a Bazel run that failed. `read` yields a file of the run by its path inside
/// the root; `log` is where the whole output is kept.
pub fn explain(
    events: &Events,
    output: &str,
    outcome: &Outcome,
    log: &Path,
    read: impl Fn(&str) -> Option<String>,
) -> Error {
    let error = cause(events, output, outcome.end.code().into(), read);
    let error = match outcome.oom_kills {
        0 => error,
        _ => error.hint(
            "the kernel killed a process for want of memory meanwhile: end other work, since a \
             compiler and Bazel need 4 GiB",
        ),
    };
    error.hint(format!("the whole log is `{}`", log.display()))
}

fn cause(events: &Events, output: &str, code: i32, read: impl Fn(&str) -> Option<String>) -> Error {
    let said = |action: &FailedAction| action.stderr.as_deref().and_then(&read);
    if let Some(action) = events.failed.first() {
        let words = said(action).unwrap_or_else(|| output.to_owned());
        let package = package_of(&action.label);
        let message = format!(
            "op package `{package}` does not compile ({} of `{}`):\n{}",
            action.mnemonic,
            action.label,
            first_error(&words)
        );
        let error = Error::new(Kind::Tool, message);
        return match advice(&words) {
            Some(advice) => error.hint(advice),
            None => error,
        };
    }
    let begins = |start: &str| output.lines().find_map(|line| line.strip_prefix(start));
    let full = output.lines().find(|line| line.contains(FULL));
    let message = match (full, begins("ERROR: "), begins("FATAL: ")) {
        (Some(line), ..) => format!("Bazel had no room: {}", in_host_words(line.trim())),
        (_, Some(line), _) => format!("Bazel refuses the ops workspace: {}", in_host_words(line)),
        (_, _, Some(line)) => format!("Bazel cannot go on: {}", in_host_words(line)),
        _ => format!("Bazel failed with exit code {code}: {}", meaning(code)),
    };
    Error::new(Kind::Tool, message)
}

fn package_of(label: &str) -> &str {
    label.trim_start_matches("//").split(':').next().unwrap_or(label)
}

/// From the first `error:` line with its context, at most [`SHOWN`] lines.
fn first_error(words: &str) -> String {
    let lines: Vec<&str> = words.lines().collect();
    let is_error = |line: &&str| line.contains("error:") || line.contains("undefined reference");
    let Some(at) = lines.iter().position(is_error) else {
        return lines[lines.len().saturating_sub(SHOWN)..].join("\n");
    };
    // The line before names the function; the lines after are the excerpt.
    let named = at > 0 && lines[at - 1].contains(": In ");
    let start = if named { at - 1 } else { at };
    let errors = lines.iter().filter(|line| is_error(line)).count();
    let mut shown = lines[start..lines.len().min(start + SHOWN)].join("\n");
    if errors > 1 {
        shown.push_str(&format!("\n({errors} errors in all)"));
    }
    shown
}

/// What the words usually mean for an op's author.
fn advice(words: &str) -> Option<String> {
    let line = words.lines().find(|line| line.contains("error:"))?;
    let (_, header) = line.split_once("fatal error: ")?;
    let header = header.strip_suffix(": No such file or directory")?;
    let ours = [
        "tensorflow/",
        "absl/",
        "tsl/",
        "xla/",
        "google/protobuf/",
        "unsupported/Eigen/",
        "Eigen/",
    ];
    Some(match ours.iter().any(|prefix| header.starts_with(prefix)) {
        true => format!(
            "`{header}` is outside the headers that ops see: add it to \
             toolchains/tensorflow/headers.txt"
        ),
        false => {
            format!("`{header}` is not among the package's `srcs` or `hdrs`, or its path is wrong")
        }
    })
}

/// Bazel speaks of the root's folders; the reader has a checkout.
fn in_host_words(line: &str) -> String {
    line.replace("/work/ops/", "ops/").replace("/work/toolchains/", "toolchains/")
}

/// Bazel's documented exit codes ("What exit code will I get?").
fn meaning(code: i32) -> &'static str {
    match code {
        1 => "the build failed",
        2 => "its command line is not understood by this Bazel",
        7 | 36 | 37 => "an internal error of Bazel",
        8 => "it was interrupted",
        9 => "another Bazel holds the output folder",
        33 => "it ran out of memory",
        137 => "it was killed, most likely for want of memory",
        _ => "see the log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::engine::{End, Proc};

    fn explained(events: &Events, output: &str, stderr: &str) -> String {
        said(events, output, stderr, 0)
    }

    fn said(events: &Events, output: &str, stderr: &str, oom_kills: u64) -> String {
        let read = |path: &str| (path == "/out/stderr-3").then(|| stderr.to_owned());
        let outcome = Outcome { end: End::Exited(37), proc: Proc::Fresh, oom_kills };
        explain(events, output, &outcome, Path::new("LOG"), read).to_string()
    }

    fn compile_failed() -> Events {
        let action = FailedAction {
            label: "//bad:libbad.so".into(),
            mnemonic: "CppCompile".into(),
            stderr: Some("/out/stderr-3".into()),
        };
        Events { failed: vec![action], ..Events::default() }
    }

    #[test]
    fn the_compilers_first_error_comes_first() {
        let words = "bad/a.cc: In function 'int f()':\nbad/a.cc:1:18: error: 'nope' was not declared\n    1 | int f()\nbad/a.cc:2:11: error: 'zip'\n";
        insta::assert_snapshot!(explained(&compile_failed(), "", words), @r"
        error: op package `bad` does not compile (CppCompile of `//bad:libbad.so`):
        bad/a.cc: In function 'int f()':
        bad/a.cc:1:18: error: 'nope' was not declared
            1 | int f()
        bad/a.cc:2:11: error: 'zip'
        (2 errors in all)
        hint: the whole log is `LOG`
        ");
    }

    #[test]
    fn a_header_that_ops_do_not_see_says_where_to_add_it() {
        let words = "bad/a.cc:1:10: fatal error: tensorflow/core/x.h: No such file or directory\n";
        insta::assert_snapshot!(explained(&compile_failed(), "", words), @r"
        error: op package `bad` does not compile (CppCompile of `//bad:libbad.so`):
        bad/a.cc:1:10: fatal error: tensorflow/core/x.h: No such file or directory
        hint: `tensorflow/core/x.h` is outside the headers that ops see: add it to toolchains/tensorflow/headers.txt
        hint: the whole log is `LOG`
        ");
    }

    #[test]
    fn a_label_that_bazel_refuses_is_shown_with_the_checkouts_paths() {
        let output = "Loading:\nERROR: /work/ops/bad/BUILD:2:21: no such target '//image_ops:nope': target 'nope' not declared\n";
        insta::assert_snapshot!(explained(&Events::default(), output, ""), @r"
        error: Bazel refuses the ops workspace: ops/bad/BUILD:2:21: no such target '//image_ops:nope': target 'nope' not declared
        hint: the whole log is `LOG`
        ");
    }

    #[test]
    fn the_kernels_own_kills_are_told() {
        let output = "\nServer terminated abruptly (error code: 14, error message: 'Socket closed', log file: '/out/bazel/server/jvm.out')\n";
        insta::assert_snapshot!(said(&Events::default(), output, "", 1), @r"
        error: Bazel failed with exit code 37: an internal error of Bazel
        hint: the kernel killed a process for want of memory meanwhile: end other work, since a compiler and Bazel need 4 GiB
        hint: the whole log is `LOG`
        ");
        let words =
            "g++: fatal error: Killed signal terminated program cc1plus\ncompilation terminated.\n";
        insta::assert_snapshot!(said(&compile_failed(), "", words, 1), @r"
        error: op package `bad` does not compile (CppCompile of `//bad:libbad.so`):
        g++: fatal error: Killed signal terminated program cc1plus
        compilation terminated.
        hint: the kernel killed a process for want of memory meanwhile: end other work, since a compiler and Bazel need 4 GiB
        hint: the whole log is `LOG`
        ");
    }

    #[test]
    fn a_full_disk_is_told_wherever_bazel_says_it() {
        let full = "FATAL: Cannot write start time in server dir /out/x: (error: 28): No space left on device\n";
        insta::assert_snapshot!(explained(&Events::default(), full, ""), @r"
        error: Bazel had no room: FATAL: Cannot write start time in server dir /out/x: (error: 28): No space left on device
        hint: the whole log is `LOG`
        ");
        let crashed = "FATAL: bazel crashed due to an internal error.\njava.io.IOException: No space left on device\n";
        let said = explained(&Events::default(), crashed, "");
        assert!(said.starts_with("error: Bazel had no room: java.io.IOException"), "{said}");
        let fatal = explained(&Events::default(), "FATAL: no JVM\n", "");
        assert!(fatal.starts_with("error: Bazel cannot go on: no JVM"), "{fatal}");
    }
}
