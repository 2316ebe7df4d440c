//! YAML and JSON with places (YAML 1.2.2), from anybody: an alias is shared, never copied,
//! nesting and size have bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use saphyr_parser::{Event, Parser, Span};

use super::{Finding, Place, Text, rules};

/// Deeper is nobody's manifest.
const DEEPEST: usize = 100;

/// Items that are looked at in one file, each as often as aliases repeat it.
const MOST: usize = 1_000_000;

/// So many bytes of text are an item more.
const PIECE: usize = 256;

/// No key that anybody looks up is longer, in bytes.
const LONGEST_KEY: usize = 1024;

/// A part of a document.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub place: Place,
    value: Value,
    /// Levels below it, those of aliases too: whoever walks or drops it goes so deep.
    height: usize,
    /// Items that one look at it may pass: its keys, those of merged mappings too, and its text.
    weight: usize,
}

#[derive(Clone, Debug)]
enum Value {
    Scalar(Arc<str>),
    Map(Arc<Vec<(Node, Node)>>),
    List(Arc<Vec<Node>>),
}

impl Node {
    fn scalar_at(place: Place, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let weight = 1 + text.len() / PIECE;
        Node { place, value: Value::Scalar(text), height: 0, weight }
    }

    /// Text, a number, a truth value: as written.
    pub fn scalar(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// [`Node::scalar`] with its place.
    pub fn text(&self) -> Option<Text> {
        let text = self.scalar()?.to_owned();
        Some(Text { text, place: self.place.clone() })
    }

    /// The value of a key; that of a merged mapping (`<<`) when there is no other.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.looked_up(key, 8)
    }

    fn looked_up(&self, key: &str, depth: usize) -> Option<&Node> {
        let Value::Map(entries) = &self.value else { return None };
        let of = |key: &str| entries.iter().find(|(name, _)| name.scalar() == Some(key));
        if let Some((_, value)) = of(key) {
            return Some(value);
        }
        let (_, merged) = of("<<").filter(|_| depth > 0)?;
        match &merged.value {
            Value::List(items) => items.iter().find_map(|item| item.looked_up(key, depth - 1)),
            _ => merged.looked_up(key, depth - 1),
        }
    }

    /// The value at the end of several keys.
    pub fn at(&self, keys: &[&str]) -> Option<&Node> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Whether it has keys.
    pub fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }
}

/// How much was looked at: aliases make a small file endless.
#[derive(Debug, Default)]
pub struct Walk {
    seen: usize,
}

impl Walk {
    /// Items of a list.
    pub fn items<'n>(&mut self, node: Option<&'n Node>) -> &'n [Node] {
        match node.map(|node| &node.value) {
            Some(Value::List(items)) if self.has_room(items.iter()) => items,
            _ => &[],
        }
    }

    /// Keys and values of a mapping, and those of mappings that are merged into it (`<<`).
    pub fn entries<'n>(&mut self, node: Option<&'n Node>) -> Vec<(&'n Node, &'n Node)> {
        let mut all: Vec<(&Node, &Node)> = Vec::new();
        let mut known = BTreeSet::new();
        let mut maps: Vec<&Node> = node.into_iter().collect();
        while let Some(map) = maps.pop() {
            let Value::Map(entries) = &map.value else { continue };
            if !self.has_room(entries.iter().flat_map(|(key, value)| [key, value])) {
                break;
            }
            for (key, value) in entries.iter() {
                match key.scalar() {
                    Some("<<") if value.is_map() => maps.push(value),
                    Some("<<") => maps.extend(self.items(Some(value))),
                    name if known.insert(name) => all.push((key, value)),
                    _ => {}
                }
            }
        }
        all
    }

    fn has_room<'n>(&mut self, more: impl IntoIterator<Item = &'n Node>) -> bool {
        if !self.is_spent() {
            self.seen = self.seen.saturating_add(weight(more));
        }
        !self.is_spent()
    }

    /// Whether something was left out.
    pub fn is_spent(&self) -> bool {
        self.seen > MOST
    }
}

fn weight<'n>(nodes: impl IntoIterator<Item = &'n Node>) -> usize {
    nodes.into_iter().fold(0, |sum, node| sum.saturating_add(node.weight))
}

/// Every document of a file up to the first mistake, which is a finding.
pub fn parse(file: &Arc<str>, text: &str, findings: &mut Vec<Finding>) -> Vec<Node> {
    let mut build = Build::new(file);
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((event, span)) => build.step(event, &span),
            Err(error) => {
                let at = error.marker();
                let place = Place { file: file.clone(), line: at.line(), column: at.col() + 1 };
                Err(rules::finding(&rules::NOT_YAML, &place, error.info()))
            }
        };
        if let Err(finding) = step {
            findings.push(finding);
            break;
        }
    }
    findings.extend(build.findings);
    build.documents
}

/// One document whose every part stands at `place`: text inside other text.
pub fn within(place: &Place, text: &str, findings: &mut Vec<Finding>) -> Option<Node> {
    let mut build = Build { fixed: Some(place.clone()), ..Build::new(&place.file) };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        build.step(event, &span).ok()?;
    }
    findings.extend(build.findings);
    build.documents.into_iter().next()
}

/// A mapping or list that is not at its end yet.
struct Open {
    place: Place,
    anchor: usize,
    items: Vec<Node>,
    map: bool,
}

struct Build {
    file: Arc<str>,
    fixed: Option<Place>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    documents: Vec<Node>,
    findings: Vec<Finding>,
}

impl Build {
    fn new(file: &Arc<str>) -> Self {
        Build {
            file: file.clone(),
            fixed: None,
            open: Vec::new(),
            anchors: BTreeMap::new(),
            documents: Vec::new(),
            findings: Vec::new(),
        }
    }

    fn place(&self, span: &Span) -> Place {
        let at = &span.start;
        self.fixed.clone().unwrap_or_else(|| Place {
            file: self.file.clone(),
            line: at.line(),
            column: at.col() + 1,
        })
    }

    fn step(&mut self, event: Event<'_>, span: &Span) -> Result<(), Finding> {
        match event {
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::SequenceStart(anchor, _) => self.begin(anchor, false, span)?,
            Event::MappingStart(anchor, _) => self.begin(anchor, true, span)?,
            Event::SequenceEnd | Event::MappingEnd => self.end()?,
            Event::Scalar(text, _, anchor, _) => {
                self.add(Node::scalar_at(self.place(span), text), anchor);
            }
            Event::Alias(anchor) => {
                // A mapping within itself has no value yet: nothing is there.
                let nothing = || Node::scalar_at(self.place(span), "");
                let node = self.anchors.get(&anchor).cloned().unwrap_or_else(nothing);
                self.add(Node { place: self.place(span), ..node }, 0);
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, anchor: usize, map: bool, span: &Span) -> Result<(), Finding> {
        let place = self.place(span);
        if self.open.len() == DEEPEST {
            let what = format!("it is nested deeper than {DEEPEST} levels");
            return Err(rules::finding(&rules::HOSTILE, &place, what));
        }
        self.open.push(Open { place, anchor, items: Vec::new(), map });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Finding> {
        let Some(Open { place, anchor, items, map }) = self.open.pop() else { return Ok(()) };
        let height = items.iter().map(|node| node.height + 1).max().unwrap_or(0);
        if height > DEEPEST {
            let what = format!("aliases nest it deeper than {DEEPEST} levels");
            return Err(rules::finding(&rules::HOSTILE, &place, what));
        }
        let (value, weight) = match map {
            false => {
                let weight = weight(&items).saturating_add(1);
                (Value::List(Arc::new(items)), weight)
            }
            true => {
                let entries = self.entries(items);
                let passed = entries.iter().flat_map(|(key, value)| {
                    let is_passed = value.scalar().is_some() || key.scalar() == Some("<<");
                    [Some(key), is_passed.then_some(value)].into_iter().flatten()
                });
                let weight = weight(passed).saturating_add(1);
                (Value::Map(Arc::new(entries)), weight)
            }
        };
        if map && weight > MOST {
            let what = "a look-up in it would pass more than a million items";
            return Err(rules::finding(&rules::HOSTILE, &place, what));
        }
        self.add(Node { place, value, height, weight }, anchor);
        Ok(())
    }

    /// Pairs, each key once: of a key that is there twice the last counts, as for Python's `json`.
    fn entries(&mut self, items: Vec<Node>) -> Vec<(Node, Node)> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut known: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            let name = match &key.value {
                Value::Scalar(name) if **name != *"<<" && name.len() <= LONGEST_KEY => Some(name),
                _ => None,
            };
            let last = entries.len();
            let at = name.map_or(last, |name| *known.entry(name.clone()).or_insert(last));
            match entries.get_mut(at) {
                None => entries.push((key, value)),
                Some(earlier) => {
                    let shown = key.scalar().unwrap_or_default().escape_debug();
                    let what = format!("`{shown}` is there twice");
                    self.findings.push(rules::finding(&rules::DUPLICATE_KEY, &key.place, what));
                    *earlier = (key, value);
                }
            }
        }
        entries
    }

    fn add(&mut self, node: Node, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.documents.push(node),
        }
    }
}
