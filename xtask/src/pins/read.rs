//! Reading a TOML table key by key: whatever is wrong is noted, and reading goes on.

use std::cell::RefCell;
use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::value::shown;
use crate::nearest::nearest;

/// All problems met so far.
pub(super) type Problems = RefCell<Vec<Problem>>;

/// A table that is being read.
pub(super) struct Table<'d> {
    /// `bazel`; empty for the document itself.
    name: &'d str,
    entries: &'d DeTable<'d>,
    /// Where the table begins: the place of what is missing from it.
    span: Range<usize>,
    known: Vec<&'static str>,
    problems: &'d Problems,
}

impl<'d> Table<'d> {
    /// The document itself.
    pub fn document(document: &'d Spanned<DeTable<'d>>, problems: &'d Problems) -> Self {
        Table { name: "", entries: document.get_ref(), span: 0..0, known: Vec::new(), problems }
    }

    /// Text that must be there.
    pub fn text<T: FromStr<Err = String>>(&mut self, key: &'static str) -> Option<T> {
        let value = self.required(key)?;
        self.parsed(key, value)
    }

    /// Text that may be there.
    pub fn optional_text<T: FromStr<Err = String>>(&mut self, key: &'static str) -> Option<T> {
        let value = self.entry(key)?;
        self.parsed(key, value)
    }

    /// A whole number that must be there; `check` says what is wrong with it.
    pub fn number(
        &mut self,
        key: &'static str,
        check: impl Fn(u64) -> Result<(), String>,
    ) -> Option<u64> {
        let value = self.required(key)?;
        let number = match value.get_ref().as_integer() {
            Some(integer) => u64::from_str_radix(integer.as_str(), integer.radix())
                .map_err(|_| format!("expected a whole number, found `{integer}`")),
            None => Err(expected("a whole number", value.get_ref())),
        };
        let checked = number.and_then(|number| check(number).map(|()| number));
        self.noted(key, value.span(), checked)
    }

    /// An array of text, each item once.
    pub fn texts<T: FromStr<Err = String> + Ord + Clone>(&mut self, key: &'static str) -> Vec<T> {
        let value = self.entry(key);
        let Some(array) = value.map(|value| (value.get_ref().as_array(), value)) else {
            return Vec::new();
        };
        let (Some(items), _) = array else {
            let wrong = expected("an array of strings", array.1.get_ref());
            self.problem(format!("`{}` is of another type", self.path(key)), wrong, array.1.span());
            return Vec::new();
        };
        let mut found: Vec<T> = Vec::new();
        for item in items {
            let Some(parsed) = self.parsed::<T>(key, item) else { continue };
            if found.contains(&parsed) {
                let title = format!("`{}` names one thing twice", self.path(key));
                self.problem(title, "is here a second time".to_owned(), item.span());
            }
            found.push(parsed);
        }
        found
    }

    /// A table that must be there, read to its end by `read`.
    pub fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.required(key)?;
        let Some(entries) = value.get_ref().as_table() else {
            let wrong = expected("a table", value.get_ref());
            self.problem(format!("`{}` is of another type", self.path(key)), wrong, value.span());
            return None;
        };
        let mut table = Table {
            name: key,
            entries,
            span: value.span(),
            known: Vec::new(),
            problems: self.problems,
        };
        let read = read(&mut table);
        table.finish();
        read
    }

    /// Notes every key that nobody asked for.
    pub fn finish(self) {
        for key in self.entries.keys().filter(|key| !self.known.contains(&key.get_ref().as_ref())) {
            let label = match nearest(key.get_ref(), self.known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys here are {}", self.known.join(", ")),
            };
            let place =
                if self.name.is_empty() { String::new() } else { format!(" in [{}]", self.name) };
            self.problem(format!("unknown key {}{place}", shown(key.get_ref())), label, key.span());
        }
    }

    /// Whether the key is there; it counts as known.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    /// Notes a problem of the key, or of the table where the key is not there.
    pub fn wrong(&self, key: &str, title: &str, label: &str) {
        let span = self.entries.get(key).map_or(self.span.clone(), Spanned::span);
        self.problem(title.to_owned(), label.to_owned(), span);
    }

    fn entry(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.get(key)
    }

    fn required(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        let entry = self.entry(key);
        if entry.is_none() {
            let label = format!("add `{key}` here");
            self.problem(format!("`{}` is missing", self.path(key)), label, self.span.clone());
        }
        entry
    }

    fn parsed<T: FromStr<Err = String>>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<T> {
        let text = value.get_ref().as_str().ok_or_else(|| expected("a string", value.get_ref()));
        self.noted(key, value.span(), text.and_then(str::parse))
    }

    fn noted<T>(&self, key: &str, span: Range<usize>, result: Result<T, String>) -> Option<T> {
        result
            .map_err(|label| self.problem(format!("`{}` is wrong", self.path(key)), label, span))
            .ok()
    }

    fn problem(&self, title: String, label: String, span: Range<usize>) {
        self.problems.borrow_mut().push(Problem { title, label, span });
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}

fn expected(what: &str, found: &DeValue<'_>) -> String {
    format!("expected {what}, found {}", found.type_str())
}
