//! The options of a module, put together from the files in which rspamd looks for them.

use std::path::{Path, PathBuf};

use super::ucl::{Entry, Kind, Value, parse};
use crate::finding::{Chain, Finding, Place, Severity};
use crate::import::Sources;

/// Files in all: includes may go round in circles.
const FILES: usize = 100;

/// What stands in files for directories, and where Debian's package has them.
const DATA: &str = "/var/lib/rspamd";

/// What a module is told: the last word on each option.
#[derive(Debug, Default)]
pub(super) struct Options(Vec<(String, Value)>);

/// Reads files below a directory of rspamd's.
pub(super) struct Reader<'r, S> {
    pub(super) directory: &'r Path,
    pub(super) sources: &'r mut S,
    pub(super) findings: &'r mut Vec<Finding>,
    files: usize,
}

impl<'r, S: Sources> Reader<'r, S> {
    pub(super) fn new(directory: &'r Path, sources: &'r mut S, findings: &'r mut Vec<Finding>) -> Self {
        Self { directory, sources, findings, files: 0 }
    }

    /// The options of a module: what its package says, what is merged into that, and what replaces it. `own` is the
    /// package's file, in which they stand in a section of that name, or as they are.
    pub(super) fn options(&mut self, own: &str, section: &str, name: &str) -> Options {
        let mut options = Options::default();
        let own = self.file(&self.directory.join(own), Missing::Allowed);
        let inner: Vec<(String, Value)> = own
            .iter()
            .filter(|(key, _)| key == section)
            .filter_map(|(_, value)| match &value.kind {
                Kind::Object(entries) => Some(pairs(entries)),
                _ => None,
            })
            .flatten()
            .collect();
        let is_inside = own.iter().any(|(key, _)| key == section);
        options.replace(if is_inside { inner } else { own });
        let merged = self.file(&self.directory.join("local.d").join(name), Missing::Allowed);
        options.merge(merged);
        let replaced = self.file(&self.directory.join("override.d").join(name), Missing::Allowed);
        options.replace(replaced);
        options
    }

    /// A file with what it includes, save what is read anyway.
    fn file(&mut self, path: &Path, missing: Missing) -> Vec<(String, Value)> {
        if self.files == FILES {
            let place = Place::Path { path: path.to_owned() };
            let evidence = format!("more than {FILES} files are included");
            self.find("import.include", Severity::Error, place, evidence, "include less");
            return Vec::new();
        }
        self.files += 1;
        let Some(text) = self.text(path, missing) else { return Vec::new() };
        match parse(&text, path) {
            Ok(entries) => self.included(entries, path),
            Err(error) => {
                let evidence = format!("cannot be read as rspamd does: {error}");
                self.find(
                    "import.syntax",
                    Severity::Error,
                    error.place.clone(),
                    evidence,
                    "correct it: rspamadm configtest",
                );
                Vec::new()
            }
        }
    }

    fn included(&mut self, entries: Vec<Entry>, path: &Path) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        for entry in entries {
            match entry {
                Entry::Pair(key, Value { kind: Kind::Object(inner), place }) => {
                    let inner = self.included(inner, path);
                    let inner = inner.into_iter().map(|(key, value)| Entry::Pair(key, value)).collect();
                    found.push((key, Value { kind: Kind::Object(inner), place }));
                }
                Entry::Pair(key, value) => found.push((key, value)),
                Entry::Macro(name, options, value) if name.starts_with("include") => {
                    let Kind::Text(named) = &value.kind else { continue };
                    let named = self.expand(named);
                    let is_tried = options.replace(' ', "").contains("try=true");
                    let is_read_anyway =
                        ["/local.d/", "/override.d/", "/dynamic/"].iter().any(|part| named.contains(part));
                    if is_tried && is_read_anyway {
                        continue;
                    }
                    if named.contains(['*', '?', '[']) || named.contains("://") {
                        let evidence = format!("{named:?} cannot be followed");
                        let remedy = "put what it says into local.d/dkim_signing.conf";
                        self.find("import.include", Severity::Error, value.place, evidence, remedy);
                        continue;
                    }
                    let missing = if is_tried { Missing::Allowed } else { Missing::Error };
                    let below = path.parent().unwrap_or(Path::new("/")).join(named);
                    found.extend(self.file(&below, missing));
                }
                Entry::Macro(name, _, value) => {
                    let evidence = format!("the macro .{name} is not understood");
                    let remedy = "see what it does, and put that into local.d/dkim_signing.conf";
                    self.find("import.macro", Severity::Warning, value.place, evidence, remedy);
                }
            }
        }
        found
    }

    /// The text of a file; none, with a finding, if it cannot be had and must be.
    pub(super) fn text(&mut self, path: &Path, missing: Missing) -> Option<String> {
        let place = Place::Path { path: path.to_owned() };
        match self.sources.read(path) {
            Ok(octets) => match std::str::from_utf8(&octets) {
                Ok(text) if !text.contains('\0') => Some(text.to_owned()),
                _ => {
                    self.find("import.octets", Severity::Error, place, "is not UTF-8".into(), "write it in UTF-8");
                    None
                }
            },
            Err(error) if missing == Missing::Allowed && error.source.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                let remedy = "run this as a user who can read it, or correct the path";
                self.find("import.unreadable", Severity::Error, place, Chain(&error).to_string(), remedy);
                None
            }
        }
    }

    /// With the directories that variables stand for.
    pub(super) fn expand(&self, text: &str) -> String {
        let directory = self.directory.to_string_lossy().into_owned();
        let variables: [(&str, &str); 5] = [
            ("LOCAL_CONFDIR", &directory),
            ("CONFDIR", &directory),
            ("DBDIR", DATA),
            ("LOGDIR", "/var/log/rspamd"),
            ("RUNDIR", "/run/rspamd"),
        ];
        variables.iter().fold(text.to_owned(), |text, (name, value)| {
            text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
        })
    }

    pub(super) fn find(
        &mut self,
        rule: &'static str,
        severity: Severity,
        place: Place,
        evidence: String,
        remedy: &str,
    ) {
        self.findings.push(Finding::new(rule, severity, place, evidence, remedy));
    }
}

/// Whether a file need not be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Allowed,
    Error,
}

impl Options {
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The text of an option; none if it is none.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::text)
    }

    pub(super) fn is(&self, key: &str, default: bool) -> bool {
        self.text(key)
            .map_or(default, |text| ["true", "yes", "on", "1"].iter().any(|yes| text.eq_ignore_ascii_case(yes)))
    }

    /// Where an option stands, or else the file in which it would.
    pub(super) fn place(&self, key: &str, directory: &Path) -> Place {
        let unset = || Place::Path { path: PathBuf::from(directory).join("local.d/dkim_signing.conf") };
        self.get(key).map_or_else(unset, |value| value.place.clone())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    fn replace(&mut self, values: Vec<(String, Value)>) {
        for (key, value) in joined(values) {
            self.0.retain(|(name, _)| *name != key);
            self.0.push((key, value));
        }
    }

    fn merge(&mut self, values: Vec<(String, Value)>) {
        for (key, value) in joined(values) {
            let at = self.0.iter().position(|(name, _)| *name == key);
            let before = at.map(|at| self.0.remove(at).1);
            self.0.push((key, both(before, value)));
        }
    }
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            Kind::Object(_) | Kind::List(_) => None,
        }
    }

    /// The keys of an object with their values; of a list, those of all objects in it.
    pub(super) fn pairs(&self) -> Vec<(String, Value)> {
        match &self.kind {
            Kind::Object(entries) => pairs(entries),
            Kind::List(items) => items.iter().flat_map(Self::pairs).collect(),
            Kind::Text(_) => Vec::new(),
        }
    }
}

fn pairs(entries: &[Entry]) -> Vec<(String, Value)> {
    let pair = |entry: &Entry| match entry {
        Entry::Pair(key, value) => Some((key.clone(), value.clone())),
        Entry::Macro(..) => None,
    };
    entries.iter().filter_map(pair).collect()
}

/// A key that stands several times, once: objects together, of others the last.
fn joined(values: Vec<(String, Value)>) -> Vec<(String, Value)> {
    let mut joined: Vec<(String, Value)> = Vec::new();
    for (key, value) in values {
        let at = joined.iter().position(|(name, _)| *name == key);
        let before = at.map(|at| joined.remove(at).1);
        joined.push((key, both(before, value)));
    }
    joined
}

/// Two objects as one, in which the second has the last word; else the second.
fn both(before: Option<Value>, value: Value) -> Value {
    match (before.map(|before| before.kind), value) {
        (Some(Kind::Object(mut entries)), Value { kind: Kind::Object(more), place }) => {
            let replaced = |entry: &Entry| match entry {
                Entry::Pair(key, _) => more.iter().any(|other| matches!(other, Entry::Pair(name, _) if name == key)),
                Entry::Macro(..) => true,
            };
            entries.retain(|entry| !replaced(entry));
            entries.extend(more);
            Value { kind: Kind::Object(entries), place }
        }
        (_, value) => value,
    }
}
