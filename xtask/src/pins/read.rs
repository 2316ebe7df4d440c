//! Reading a TOML table key by key: whatever is wrong is noted, and reading goes on.

use std::cell::RefCell;
use std::collections::BTreeMap;
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
    /// `bazel`, `cluster.worker`; empty for the document itself.
    name: String,
    entries: &'d DeTable<'d>,
    /// Where the table begins: the place of what is missing from it.
    span: Range<usize>,
    known: Vec<&'static str>,
    problems: &'d Problems,
}

impl<'d> Table<'d> {
    /// The document itself.
    pub fn document(document: &'d Spanned<DeTable<'d>>, problems: &'d Problems) -> Self {
        Table {
            name: String::new(),
            entries: document.get_ref(),
            span: 0..0,
            known: Vec::new(),
            problems,
        }
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

    /// `true` or `false`, if it is there.
    pub fn optional_flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.entry(key)?;
        let flag = value.get_ref().as_bool();
        self.noted(
            key,
            value.span(),
            flag.ok_or_else(|| expected("true or false", value.get_ref())),
        )
    }

    /// A whole number that must be there; `check` says what is wrong with it.
    pub fn number(
        &mut self,
        key: &'static str,
        check: impl Fn(u64) -> Result<(), String>,
    ) -> Option<u64> {
        let value = self.required(key)?;
        self.whole(key, value, check)
    }

    /// A whole number that may be there.
    pub fn optional_number(
        &mut self,
        key: &'static str,
        check: impl Fn(u64) -> Result<(), String>,
    ) -> Option<u64> {
        let value = self.entry(key)?;
        self.whole(key, value, check)
    }

    fn whole(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        check: impl Fn(u64) -> Result<(), String>,
    ) -> Option<u64> {
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
        let mut found: Vec<T> = Vec::new();
        for item in self.items(key) {
            let Some(parsed) = self.parsed::<T>(key, item) else { continue };
            if found.contains(&parsed) {
                let title = format!("`{}` names one thing twice", self.path(key));
                self.problem(title, "is here a second time".to_owned(), item.span());
            }
            found.push(parsed);
        }
        found
    }

    /// An array of text in its order, the same item as often as it is there.
    pub fn words<T: FromStr<Err = String>>(&mut self, key: &'static str) -> Vec<T> {
        self.items(key).iter().filter_map(|item| self.parsed(key, item)).collect()
    }

    fn items(&mut self, key: &'static str) -> &'d [Spanned<DeValue<'d>>] {
        let Some(value) = self.entry(key) else { return &[] };
        if let Some(items) = value.get_ref().as_array() {
            return items;
        }
        self.other_type(key, expected("an array of strings", value.get_ref()), value.span());
        &[]
    }

    /// A table of text by names that a person chooses.
    pub fn pairs<K, V>(&mut self, key: &'static str) -> BTreeMap<K, V>
    where
        K: FromStr<Err = String> + Ord,
        V: FromStr<Err = String>,
    {
        let Some(value) = self.entry(key) else { return BTreeMap::new() };
        let Some(entries) = value.get_ref().as_table() else {
            self.other_type(key, expected("a table of strings", value.get_ref()), value.span());
            return BTreeMap::new();
        };
        let pair = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let name: &std::borrow::Cow<'_, str> = name.get_ref();
            let known = self.noted(key, value.span(), name.parse());
            known.zip(self.parsed(&format!("{key}.{name}"), value))
        };
        entries.iter().filter_map(pair).collect()
    }

    /// A table that must be there, read to its end by `read`.
    pub fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> Option<T>,
    ) -> Option<T> {
        self.required(key)?;
        self.optional_table(key, read)
    }

    /// A table that may be there, read to its end by `read`.
    pub fn optional_table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'_>) -> Option<T>,
    ) -> Option<T> {
        let value = self.entry(key)?;
        let Some(entries) = value.get_ref().as_table() else {
            self.other_type(key, expected("a table", value.get_ref()), value.span());
            return None;
        };
        let mut table = Table {
            name: self.path(key),
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

    fn other_type(&self, key: &str, label: String, span: Range<usize>) {
        self.problem(format!("`{}` is of another type", self.path(key)), label, span);
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
