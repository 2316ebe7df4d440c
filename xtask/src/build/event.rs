//! Bazel's build events: what was built, and what failed.
//!
//! Format: the JSON form of `build_event_stream.proto`, one event a line
//! (`--build_event_json_file`); only the few fields that Lockstep uses are read.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::{Error, Kind, Result};

/// Tag of a target whose output is an op's `.so`.
const OP: &str = "lockstep_op";
/// Tag of the probe program.
const PROBE: &str = "lockstep_probe";

/// What one Bazel run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Output files of the op libraries, by label.
    pub libraries: BTreeMap<String, Vec<String>>,
    /// The probe program.
    pub probe: Option<String>,
    /// Actions that failed, in the order in which they did.
    pub failed: Vec<FailedAction>,
}

/// An action that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAction {
    /// The target it was for.
    pub label: String,
    /// Bazel's mnemonic: `CppCompile`.
    pub mnemonic: String,
    /// Where its standard error is, inside the root.
    pub stderr: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    id: Id,
    #[serde(default, rename = "namedSetOfFiles")]
    set: Option<FileSet>,
    completed: Option<Completed>,
    action: Option<Action>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Id {
    named_set: Option<SetId>,
    target_completed: Option<Labelled>,
}

#[derive(Deserialize)]
struct SetId {
    id: String,
}

#[derive(Deserialize)]
struct Labelled {
    label: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct FileSet {
    files: Vec<File>,
    file_sets: Vec<SetId>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    uri: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Completed {
    success: bool,
    tag: Vec<String>,
    output_group: Vec<OutputGroup>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OutputGroup {
    name: String,
    #[serde(default)]
    file_sets: Vec<SetId>,
}

#[derive(Deserialize)]
struct Action {
    #[serde(default)]
    success: bool,
    #[serde(default)]
    label: String,
    #[serde(default, rename = "type")]
    mnemonic: String,
    stderr: Option<File>,
}

impl Events {
    /// Reads a whole event file. A torn last line, as a killed Bazel leaves it, is passed
    /// over; any other line that is no event is an error.
    pub fn parse(text: &str) -> Result<Self> {
        let mut events = Events::default();
        let mut sets = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            match serde_json::from_str::<Event>(line) {
                Ok(event) => events.take(event, &mut sets),
                Err(e) if e.is_eof() => break,
                Err(e) => {
                    let message = format!("line {} of Bazel's build events: {e}", index + 1);
                    return Err(Error::new(Kind::Tool, message));
                }
            }
        }
        Ok(events)
    }

    fn take(&mut self, event: Event, sets: &mut BTreeMap<String, FileSet>) {
        if let (Some(id), Some(set)) = (event.id.named_set, event.set) {
            sets.insert(id.id, set);
        }
        if let Some(action) = event.action.filter(|action| !action.success) {
            self.failed.push(FailedAction {
                label: action.label,
                mnemonic: action.mnemonic,
                stderr: action.stderr.map(|file| path_of(&file.uri)),
            });
        }
        if let (Some(id), Some(completed)) = (event.id.target_completed, event.completed) {
            self.complete(id.label, &completed, sets);
        }
    }

    fn complete(&mut self, label: String, completed: &Completed, sets: &BTreeMap<String, FileSet>) {
        if !completed.success {
            return;
        }
        let mut files = Vec::new();
        for group in completed.output_group.iter().filter(|group| group.name == "default") {
            group.file_sets.iter().for_each(|set| gather(&set.id, sets, &mut files));
        }
        let tagged = |tag: &str| completed.tag.iter().any(|t| t == tag);
        if tagged(OP) {
            self.libraries.insert(label, files);
        } else if tagged(PROBE) {
            self.probe = files.into_iter().next();
        }
    }
}

/// All files of a named set and the sets below it (each set is announced before its users,
/// so there are no cycles).
fn gather(id: &str, sets: &BTreeMap<String, FileSet>, files: &mut Vec<String>) {
    if let Some(set) = sets.get(id) {
        files.extend(set.files.iter().map(|file| path_of(&file.uri)));
        set.file_sets.iter().for_each(|below| gather(&below.id, sets, files));
    }
}

fn path_of(uri: &str) -> String {
    uri.strip_prefix("file://").unwrap_or(uri).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op_libraries_are_found_by_their_tag_through_nested_sets() {
        let text = r#"
{"id":{"namedSet":{"id":"0"}},"namedSetOfFiles":{"files":[{"name":"a","uri":"file:///out/a.so"}]}}
{"id":{"namedSet":{"id":"1"}},"namedSetOfFiles":{"fileSets":[{"id":"0"}]}}
{"id":{"targetCompleted":{"label":"//a:a.so"}},"completed":{"success":true,"outputGroup":[{"name":"default","fileSets":[{"id":"1"}]}],"tag":["lockstep_op"]}}
{"id":{"targetCompleted":{"label":"//a:other"}},"completed":{"success":true,"outputGroup":[{"name":"default","fileSets":[{"id":"1"}]}]}}
{"id":{"buildFinished":{}},"finished":{"overallSuc"#;
        let events = Events::parse(text.trim_start()).unwrap();
        let expected = [("//a:a.so".to_owned(), vec!["/out/a.so".to_owned()])];
        assert_eq!(events.libraries, expected.into());
        assert_eq!(events.probe, None);
    }

    #[test]
    fn a_failed_action_keeps_where_its_words_are() {
        let text = r#"{"id":{"actionCompleted":{"primaryOutput":"a.o","label":"//bad:libbad.so"}},"action":{"exitCode":1,"stderr":{"name":"stderr","uri":"file:///out/stderr-3"},"label":"//bad:libbad.so","type":"CppCompile"}}"#;
        let events = Events::parse(text).unwrap();
        assert_eq!(
            events.failed,
            [FailedAction {
                label: "//bad:libbad.so".into(),
                mnemonic: "CppCompile".into(),
                stderr: Some("/out/stderr-3".into()),
            }]
        );
    }

    #[test]
    fn a_line_that_is_no_event_is_an_error_that_names_it() {
        let error = Events::parse("{\"id\":{}}\n{\"id\":7}\n").unwrap_err();
        assert!(error.message().starts_with("line 2 of Bazel's build events"), "{error}");
    }
}
