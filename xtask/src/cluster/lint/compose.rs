//! Tasks in a Compose file (the Compose specification): a service each.

use super::document::{Node, Walk};
use super::{Task, Text};

/// Every service.
pub fn tasks(file: &Node, walk: &mut Walk) -> Vec<Task> {
    let mut tasks = Vec::new();
    for (name, service) in walk.entries(file.get("services")) {
        tasks.push(Task {
            owner: format!("service {}", name.scalar().unwrap_or_default()),
            place: name.place.clone(),
            job: file.place.file.to_string(),
            image: service.get("image").and_then(Node::text),
            environment: environment(service.get("environment"), walk),
            role: None,
            count: service.at(&["deploy", "replicas"]).and_then(|n| n.scalar()?.parse().ok()),
            ports: published(service.get("ports"), walk),
        });
    }
    tasks
}

/// `NAME: value` or `- NAME=value`; `$$` is a dollar sign.
fn environment(node: Option<&Node>, walk: &mut Walk) -> Vec<(String, Text)> {
    let plain = |mut text: Text| {
        text.text = text.text.replace("$$", "$");
        text
    };
    let mut variables = Vec::new();
    for (name, value) in walk.entries(node) {
        let name = name.scalar().unwrap_or_default().to_owned();
        variables.extend(value.text().map(|value| (name, plain(value))));
    }
    for line in walk.items(node).iter().filter_map(Node::text) {
        let (name, value) = line.text.split_once('=').unwrap_or((&line.text, ""));
        let value = Text { text: value.to_owned(), place: line.place.clone() };
        variables.push((name.to_owned(), plain(value)));
    }
    variables
}

/// The host's side of `"2222:2222"`, `"127.0.0.1:2222:2222/tcp"`, `{published: 2222}`.
fn published(node: Option<&Node>, walk: &mut Walk) -> Vec<Text> {
    let mut ports = Vec::new();
    for port in walk.items(node) {
        if let Some(text) = port.text() {
            let place = text.place;
            let host = text.text.rsplit_once(':').map(|(host, _)| host.to_owned());
            ports.extend(host.map(|text| Text { text, place }));
        }
        ports.extend(port.get("published").and_then(Node::text));
    }
    ports
}
