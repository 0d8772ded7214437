//! Data sets: lists in the configuration itself, or in a file that it names.

use std::collections::HashMap;
use std::path::Path;

use super::settings::{Setting, line_of, read_lines};
use crate::finding::{Finding, Place, Severity};
use crate::import::Sources;

/// How a data set is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Kind {
    /// By equality.
    #[default]
    Exact,
    /// By patterns in which `*` stands for anything, the first that fits.
    Patterns,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) place: Place,
}

/// A data set as it was read.
#[derive(Debug, Clone, Default)]
pub(super) struct DataSet {
    pub(super) kind: Kind,
    pub(super) entries: Vec<Entry>,
    /// The first entry of each key, in lower case.
    index: HashMap<String, usize>,
    /// All keys in lower case, in their order.
    patterns: Vec<String>,
}

impl DataSet {
    /// Reads the data set that a setting names; none, with a finding, if it cannot be had.
    pub(super) fn read(
        setting: &Setting,
        base: &Path,
        sources: &mut impl Sources,
        findings: &mut Vec<Finding>,
    ) -> Option<Self> {
        let value = setting.value.as_str();
        let (scheme, rest) = match value.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), rest),
            _ if value.ends_with(".db") => ("db".to_owned(), value),
            _ if value.starts_with('/') => ("file".to_owned(), value),
            _ => ("csl".to_owned(), value),
        };
        let (kind, entries) = match scheme.as_str() {
            "csl" => (Kind::Exact, Self::list(rest, &setting.place)),
            "file" => (Kind::Exact, Self::file(base, rest, setting, sources, findings)?),
            "refile" => (Kind::Patterns, Self::file(base, rest, setting, sources, findings)?),
            _ => {
                findings.push(refused(setting, &scheme, rest));
                return None;
            }
        };
        Some(Self::new(kind, entries))
    }

    pub(super) fn new(kind: Kind, entries: Vec<Entry>) -> Self {
        let mut index = HashMap::new();
        for (number, entry) in entries.iter().enumerate() {
            index.entry(entry.key.to_ascii_lowercase()).or_insert(number);
        }
        let patterns = entries.iter().map(|entry| entry.key.to_ascii_lowercase()).collect();
        Self { kind, entries, index, patterns }
    }

    fn list(text: &str, place: &Place) -> Vec<Entry> {
        let words = text.split([',', ' ', '\t']).filter(|word| !word.is_empty());
        let entry = |word: &str| {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            Entry { key: key.trim().into(), value: value.trim().into(), place: place.clone() }
        };
        words.map(entry).collect()
    }

    fn file(
        base: &Path,
        name: &str,
        setting: &Setting,
        sources: &mut impl Sources,
        findings: &mut Vec<Finding>,
    ) -> Option<Vec<Entry>> {
        let path = base.join(name.trim());
        let lines = read_lines(&path, &setting.place, sources, findings)?;
        let entry = |(number, content): (usize, String)| {
            let (key, value) = content.split_once([' ', '\t']).unwrap_or((&content, ""));
            Entry { key: key.into(), value: value.trim().into(), place: line_of(&path, number) }
        };
        Some(lines.into_iter().map(entry).collect())
    }

    /// The entry that is found for a text.
    pub(super) fn find(&self, text: &str) -> Option<&Entry> {
        let text = text.to_ascii_lowercase();
        match self.kind {
            Kind::Exact => self.index.get(&text).and_then(|number| self.entries.get(*number)),
            Kind::Patterns => self.fitting(&text).next(),
        }
    }

    /// The entries whose patterns fit a text in lower case, in their order.
    pub(super) fn fitting(&self, text: &str) -> impl Iterator<Item = &Entry> {
        let fits = move |(_, pattern): &(&Entry, &String)| wildcard_matches(pattern, text);
        self.entries.iter().zip(&self.patterns).filter(fits).map(|(entry, _)| entry)
    }

    pub(super) fn has(&self, text: &str) -> bool {
        self.find(text).is_some()
    }
}

/// Whether a text fits a pattern of a `refile:`, both in lower case: `*` stands for anything and nothing else does.
pub(super) fn wildcard_matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The ends first: of many patterns few fit so far.
    if !text.ends_with(last) {
        return false;
    }
    let Some(mut left) = text.strip_prefix(first).and_then(|left| left.strip_suffix(last)) else { return false };
    for part in middle.split('*') {
        let Some(at) = left.find(part) else { return false };
        left = left.get(at + part.len()..).unwrap_or_default();
    }
    true
}

/// What OpenDKIM knows before the colon, whether this build of it does or not.
fn is_scheme(text: &str) -> bool {
    const SCHEMES: [&str; 14] = [
        "csl", "file", "refile", "db", "dsn", "ldap", "ldaps", "ldapi", "lua", "memcache", "erlang", "mdb", "repute",
        "socket",
    ];
    SCHEMES.iter().any(|scheme| text.eq_ignore_ascii_case(scheme))
}

/// A data set that is no text. What it says may hold a password and is not repeated.
fn refused(setting: &Setting, scheme: &str, rest: &str) -> Finding {
    let what = match scheme {
        "dsn" => {
            let backend = rest.split(':').next().unwrap_or_default();
            let known = ["mysql", "pgsql", "sqlite", "odbc"].iter().find(|known| backend.eq_ignore_ascii_case(known));
            format!("an SQL data base ({})", known.unwrap_or(&"dsn:"))
        }
        "db" | "mdb" => "a data base file (db:, mdb:)".to_owned(),
        "ldap" | "ldaps" | "ldapi" => "an LDAP directory".to_owned(),
        "lua" => "a Lua script".to_owned(),
        other => format!("{other}:"),
    };
    let evidence = format!("{} is kept in {what}, which cannot be taken over from here", setting.name);
    let remedy = "write what it holds into a text file, one entry a line, name that with file: or refile:, and run this again; \
                  for keys alone there is waxseal import key --list";
    Finding::new("import.dataset", Severity::Error, setting.place.clone(), evidence, remedy)
}

#[cfg(test)]
mod tests {
    use super::wildcard_matches;

    #[test]
    fn an_asterisk_stands_for_anything_and_nothing_else_does() {
        for (pattern, text) in [("*@a.b", "x@a.b"), ("*", ""), ("a*c", "abc"), ("*x*", "axb"), ("a", "a"), ("a**", "a")]
        {
            assert!(wildcard_matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("*@a.b", "x@axb"), ("a", "ab"), ("a*a", "a"), ("a?", "ab"), ("", "a"), ("*ab*b", "ab")]
        {
            assert!(!wildcard_matches(pattern, text), "{pattern} {text}");
        }
    }
}
