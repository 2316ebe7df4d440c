//! Tasks in systemd units (systemd.exec(5), systemd.service(5)) and files of variables.

use std::sync::Arc;

use super::{Place, Task, Text};

/// The task that a unit starts.
pub fn task(file: &Arc<str>, text: &str) -> Option<Task> {
    let mut task = Task {
        owner: format!("unit {}", file.rsplit('/').next().unwrap_or(file)),
        place: Place { file: file.clone(), line: 1, column: 1 },
        // Units of one folder are one cluster's.
        job: file.rsplit_once('/').map_or_else(String::new, |(folder, _)| folder.to_owned()),
        image: None,
        environment: Vec::new(),
        role: None,
        count: Some(1),
        ports: Vec::new(),
    };
    let mut starts = false;
    for (line, number) in joined(text) {
        let place = Place { file: file.clone(), line: number, column: 1 };
        if let Some(words) = line.strip_prefix("Environment=") {
            let pairs = words_of(words).into_iter().filter_map(|word| {
                let (name, value) = word.split_once('=')?;
                let text = value.replace("%%", "%");
                Some((name.to_owned(), Text { text, place: place.clone() }))
            });
            task.environment.extend(pairs);
        } else if let Some(command) = line.strip_prefix("ExecStart=") {
            starts = true;
            task.image = image(&words_of(command)).map(|text| Text { text, place: place.clone() });
            task.place = place;
        }
    }
    starts.then_some(task)
}

/// `NAME=value` a line.
pub fn variables(file: &Arc<str>, text: &str) -> Task {
    let pairs = text.lines().zip(1..).filter_map(|(line, number)| {
        let line = line.trim_start().strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').filter(|_| !line.starts_with('#'))?;
        let place = Place { file: file.clone(), line: number, column: 1 };
        let value = words_of(value);
        Some((name.trim().to_owned(), Text { text: value.join(" "), place }))
    });
    Task {
        owner: format!("variables {file}"),
        place: Place { file: file.clone(), line: 1, column: 1 },
        job: file.to_string(),
        image: None,
        environment: pairs.collect(),
        role: None,
        count: Some(1),
        ports: Vec::new(),
    }
}

/// Lines with their numbers; one that ends in a backslash goes on.
fn joined(text: &str) -> Vec<(String, usize)> {
    let mut lines: Vec<(String, usize)> = Vec::new();
    let mut goes_on = false;
    for (line, number) in text.lines().zip(1..) {
        let (part, more) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        match lines.last_mut().filter(|_| goes_on) {
            Some((whole, _)) => whole.extend([" ", part]),
            None => lines.push((part.trim_start().to_owned(), number)),
        }
        goes_on = more;
    }
    lines
}

/// Words, quoted or not.
fn words_of(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut any) = (Vec::new(), String::new(), None, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            c if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => (quote, any) = (Some(c), true),
            c if c.is_whitespace() && quote.is_none() => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Of `podman run … IMAGE …`: the first word that can only be an image.
fn image(words: &[String]) -> Option<String> {
    let run = words.iter().position(|word| word == "run" || word == "create")?;
    let looks = |word: &&String| {
        let inner = word.split('@').next().unwrap_or_default();
        !word.starts_with(['-', '/', '.'])
            && !word.contains('=')
            && (word.contains("@sha256:") || inner.contains('/') && !inner.contains(":/"))
    };
    words[run..].iter().find(looks).cloned()
}
