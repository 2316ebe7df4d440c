//! What a build of TensorFlow says while it runs, and which wheel came of it.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{Error, Kind, Result};
use crate::progress;

use super::plan::OUT;

/// Between two lines of progress.
const PAUSE: Duration = Duration::from_secs(10);

/// Progress of a build, from the lines of Bazel's log.
pub struct Pace {
    start: Instant,
    said: Instant,
    first: Option<u64>,
}

impl Pace {
    /// Begins now.
    pub fn begin() -> Self {
        let now = Instant::now();
        Pace { start: now, said: now, first: None }
    }

    /// Takes a line of the log; now and then says how far the build is.
    pub fn take(&mut self, text: &str) {
        let Some(step) = Step::parse(text) else { return };
        let first = *self.first.get_or_insert(step.done);
        if self.said.elapsed() >= PAUSE {
            self.said = Instant::now();
            progress::say(&step.line(first, self.start.elapsed()));
        }
    }
}

/// Bazel's `[12 / 345] Compiling a.cc; 12s linux-sandbox`.
#[derive(Debug, PartialEq, Eq)]
struct Step<'t> {
    done: u64,
    total: u64,
    /// The action that has run longest.
    slowest: &'t str,
}

impl<'t> Step<'t> {
    fn parse(text: &'t str) -> Option<Self> {
        let (counts, rest) = text.strip_prefix('[')?.split_once(']')?;
        let (done, total) = counts.split_once(" / ")?;
        let number = |text: &str| text.replace(',', "").parse().ok();
        Some(Step { done: number(done)?, total: number(total)?, slowest: rest.trim() })
    }

    /// `first` actions were done when the build began.
    fn line(&self, first: u64, elapsed: Duration) -> String {
        let Step { done, total, slowest } = self;
        let rate = done.saturating_sub(first) as f64 / elapsed.as_secs_f64().max(0.001);
        let left = total.saturating_sub(*done) as f64 / rate;
        let left = match left.is_finite() {
            true => format!(", {} min left", (left / 60.0).ceil() as u64),
            false => String::new(),
        };
        let slowest = if slowest.is_empty() { String::new() } else { format!("; {slowest}") };
        format!("building TensorFlow: {done} of {total} actions, {rate:.1}/s{left}{slowest}")
    }
}

/// The one wheel among the output files of `target`, on the host; `events` are Bazel's, as
/// JSON, one a line (`build_event_stream.proto`).
pub fn wheel(events: &str, target: &str, out: &Path) -> Result<PathBuf> {
    let mut sets: BTreeMap<String, Value> = BTreeMap::new();
    let mut files = Vec::new();
    for line in events.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        if let Some(id) = event["id"]["namedSet"]["id"].as_str() {
            sets.insert(id.to_owned(), event["namedSetOfFiles"].clone());
        }
        if event["id"]["targetCompleted"]["label"].as_str() == Some(target) {
            let groups = event["completed"]["outputGroup"].as_array().into_iter().flatten();
            for group in groups.filter(|group| group["name"] == "default") {
                gather(&group["fileSets"], &sets, &mut files);
            }
        }
    }
    files.retain(|file| file.ends_with(".whl"));
    files.dedup();
    let [file] = &files[..] else {
        let found = match files.len() {
            0 => "none".to_owned(),
            count => format!("{count}: {}", files.join(", ")),
        };
        let message =
            format!("`tensorflow.target`: expected {target} to yield one wheel, found {found}");
        return Err(Error::new(Kind::Tool, message).hint("pin the target that yields the wheel"));
    };
    on_host(file, out).ok_or_else(|| {
        Error::new(Kind::Tool, format!("{target} made `{file}`, which is not below {OUT}"))
    })
}

fn gather(references: &Value, sets: &BTreeMap<String, Value>, files: &mut Vec<String>) {
    for id in references.as_array().into_iter().flatten().filter_map(|set| set["id"].as_str()) {
        let Some(set) = sets.get(id) else { continue };
        let own = set["files"].as_array().into_iter().flatten();
        let uris = own.filter_map(|file| file["uri"].as_str());
        files.extend(uris.map(|uri| uri.strip_prefix("file://").unwrap_or(uri).to_owned()));
        gather(&set["fileSets"], sets, files);
    }
}

fn on_host(inside: &str, out: &Path) -> Option<PathBuf> {
    let relative = Path::new(inside).strip_prefix(OUT).ok()?;
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
    plain.then(|| out.join(relative))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_has_count_rate_time_left_and_the_slowest_action() {
        let step = Step::parse("[1,200 / 7,200] Compiling a.cc; 12s linux-sandbox").unwrap();
        assert_eq!(
            step.line(0, Duration::from_secs(600)),
            "building TensorFlow: 1200 of 7200 actions, 2.0/s, 50 min left; Compiling a.cc; 12s linux-sandbox"
        );
        assert_eq!(
            step.line(1200, Duration::from_secs(1)),
            "building TensorFlow: 1200 of 7200 actions, 0.0/s; Compiling a.cc; 12s linux-sandbox"
        );
        assert_eq!(Step::parse("INFO: [x]"), None);
    }

    fn found(files: &str) -> String {
        let events = format!(
            "{{\"id\":{{\"namedSet\":{{\"id\":\"0\"}}}},\"namedSetOfFiles\":{{\"files\":[{files}]}}}}\n\
             {{\"id\":{{\"targetCompleted\":{{\"label\":\"//a:b\"}}}},\"completed\":{{\"outputGroup\":[{{\"name\":\"default\",\"fileSets\":[{{\"id\":\"0\"}}]}}]}}}}\n"
        );
        match wheel(&events, "//a:b", Path::new("/host")) {
            Ok(path) => path.display().to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn one_wheel_is_taken_none_or_two_are_refused() {
        let file = |name: &str| format!("{{\"uri\":\"file:///out/{name}\"}}");
        assert_eq!(found(&[file("x/a.whl"), file("b.txt")].join(",")), "/host/x/a.whl");
        insta::assert_snapshot!(found(&file("b.txt")), @r"
        error: `tensorflow.target`: expected //a:b to yield one wheel, found none
        hint: pin the target that yields the wheel
        ");
        insta::assert_snapshot!(found(&[file("a.whl"), file("b.whl")].join(",")), @r"
        error: `tensorflow.target`: expected //a:b to yield one wheel, found 2: /out/a.whl, /out/b.whl
        hint: pin the target that yields the wheel
        ");
        assert!(found("{\"uri\":\"file:///out/../a.whl\"}").contains("not below /out"));
    }
}
