//! Which of the packages that apt chose a root really gets.
//!
//! apt resolves in full; an omitted name cuts its dependency off, with all that only it
//! needs. So every dependency of a kept package is kept or omitted by name: nothing is
//! missing unawares.

use std::collections::{BTreeMap, BTreeSet};

/// A package's own description (deb822: Debian Policy 5.3, 5.6).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Stanza(BTreeMap<String, String>);

impl Stanza {
    /// All stanzas of `apt-cache show` or a `Packages` file.
    pub fn all(text: &str) -> Vec<Stanza> {
        text.split("\n\n").map(Stanza::parse).filter(|stanza| !stanza.0.is_empty()).collect()
    }

    fn parse(text: &str) -> Stanza {
        let fields = text.lines().filter(|line| !line.starts_with([' ', '\t']));
        let pair =
            |line: &str| line.split_once(':').map(|(k, v)| (k.to_owned(), v.trim().to_owned()));
        Stanza(fields.filter_map(pair).collect())
    }

    /// A field's first line; empty when it is not there.
    pub fn field(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.field("Package")
    }

    /// Names in relation fields (Policy 7.1), whatever the version, architecture, alternative.
    fn names(&self, fields: &[&str]) -> impl Iterator<Item = &str> {
        let of = |field: &&str| self.0.get(*field);
        let relations = fields.iter().filter_map(of).flat_map(|value| value.split([',', '|']));
        relations.map(|relation| {
            relation.trim().split([' ', ':', '(', '[', '<']).next().unwrap_or_default()
        })
    }
}

/// What a root gets.
#[derive(Debug, PartialEq, Eq)]
pub struct Closure<'s> {
    /// Names of the kept packages.
    pub kept: BTreeSet<&'s str>,
    /// Omitted names that no kept package depends on.
    pub idle: Vec<&'s str>,
}

/// Follows dependencies from `requested` through `resolved`, never into `omit`.
pub fn closure<'s>(resolved: &'s [Stanza], requested: &[&'s str], omit: &[&'s str]) -> Closure<'s> {
    let mut providers: BTreeMap<&str, Vec<&Stanza>> = BTreeMap::new();
    for stanza in resolved {
        for name in stanza.names(&["Provides"]).chain([stanza.name()]) {
            providers.entry(name).or_default().push(stanza);
        }
    }
    let (mut kept, mut cut) = (BTreeSet::new(), BTreeSet::new());
    let mut open: Vec<&str> = requested.to_vec();
    while let Some(name) = open.pop() {
        for stanza in providers.get(name).into_iter().flatten() {
            if omit.contains(&stanza.name()) {
                cut.insert(stanza.name());
            } else if kept.insert(stanza.name()) {
                open.extend(stanza.names(&["Depends", "Pre-Depends"]));
            }
        }
    }
    let idle = omit.iter().copied().filter(|name| !cut.contains(name)).collect();
    Closure { kept, idle }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOLVED: &str = "\
Package: tool
Version: 1
Depends: lib (>= 2) | lib-alt, helper:any, virtual
Description: a tool
 with: a long text

Package: lib
Pre-Depends: deep [amd64]

Package: deep

Package: helper
Depends: only-helper, deep

Package: only-helper

Package: provider
Provides: virtual (= 1), other
";

    fn kept<'s>(resolved: &'s [Stanza], requested: &[&'s str], omit: &[&'s str]) -> Vec<&'s str> {
        closure(resolved, requested, omit).kept.into_iter().collect()
    }

    #[test]
    fn alternatives_qualifiers_and_provided_names_are_followed() {
        let all = Stanza::all(RESOLVED);
        let every = ["deep", "helper", "lib", "only-helper", "provider", "tool"];
        assert_eq!(kept(&all, &["tool"], &[]), every);
        assert_eq!(all[0].field("Description"), "a tool");
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_stanzas_and_a_closure(
            text in "((Package|Depends|Provides|Pre-Depends|X)?[: ]{0,2}[a-c|,( \n]{0,9}){0,20}",
        ) {
            let all = Stanza::all(&text);
            let found = closure(&all, &["a"], &["b"]);
            proptest::prop_assert!(!found.kept.contains("b"));
        }
    }

    #[test]
    fn an_omitted_name_takes_along_what_only_it_needs() {
        let all = Stanza::all(RESOLVED);
        assert_eq!(kept(&all, &["tool"], &["helper"]), ["deep", "lib", "provider", "tool"]);
    }

    #[test]
    fn an_omitted_name_that_nothing_needs_is_reported() {
        let all = Stanza::all(RESOLVED);
        let found = closure(&all, &["tool"], &["helper", "only-helper", "no-such"]);
        assert_eq!(found.idle, ["only-helper", "no-such"]);
    }
}
