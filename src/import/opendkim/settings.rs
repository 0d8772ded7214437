//! The lines of `opendkim.conf` and of the files it includes.

use std::path::{Path, PathBuf};

use crate::finding::{Chain, Finding, Place, Severity};
use crate::import::Sources;

/// Files within files; OpenDKIM takes no more.
const DEPTH: usize = 5;

/// Files in all: a loop of includes would be read again and again down to that depth.
const FILES: usize = 100;

/// One line: a name and what it is set to.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// In lower case: OpenDKIM takes any.
    pub(super) name: String,
    pub(super) value: String,
    pub(super) place: Place,
}

/// All lines, in their order.
#[derive(Debug, Default)]
pub(super) struct Settings {
    lines: Vec<Setting>,
    files: usize,
}

impl Settings {
    /// Reads a configuration and what it includes.
    pub(super) fn read(path: &Path, sources: &mut impl Sources, findings: &mut Vec<Finding>) -> Self {
        let mut settings = Self::default();
        settings.read_file(path, &whole(path), 0, sources, findings);
        settings
    }

    fn read_file(
        &mut self,
        path: &Path,
        named_at: &Place,
        depth: usize,
        sources: &mut impl Sources,
        findings: &mut Vec<Finding>,
    ) {
        self.files += 1;
        let Some(lines) = read_lines(path, named_at, sources, findings) else { return };
        for (number, content) in lines {
            let place = line_of(path, number);
            let (name, value) = content.split_once([' ', '\t']).unwrap_or((&content, ""));
            let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
            if content.ends_with('\\') {
                let evidence = "ends with a backslash, and OpenDKIM knows no lines that go on";
                findings.push(Finding::new(
                    "import.continuation",
                    Severity::Error,
                    place,
                    evidence,
                    "write it in one line",
                ));
            } else if value.is_empty() {
                let evidence = format!("{name} has no value: OpenDKIM does not start with this");
                findings.push(Finding::new(
                    "import.no_value",
                    Severity::Error,
                    place,
                    evidence,
                    "give it one, or leave it out",
                ));
            } else if name != "include" {
                self.set(Setting { name, value, place }, findings);
            } else if depth == DEPTH || self.files == FILES {
                let evidence = format!(
                    "includes go deeper than {DEPTH}, or there are more than {FILES}: OpenDKIM does not start with this"
                );
                findings.push(Finding::new("import.include", Severity::Error, place, evidence, "include less deep"));
            } else {
                let included: PathBuf = path.parent().unwrap_or(Path::new("")).join(&value);
                self.read_file(&included, &place, depth + 1, sources, findings);
            }
        }
    }

    fn set(&mut self, setting: Setting, findings: &mut Vec<Finding>) {
        if let Some(before) = self.get(&setting.name) {
            let evidence = format!("{} was set already at {}; the last one is taken", setting.name, before.place);
            let place = setting.place.clone();
            findings.push(Finding::new(
                "import.set_twice",
                Severity::Warning,
                place,
                evidence,
                "leave one of them out",
            ));
        }
        self.lines.push(setting);
    }

    /// The last line of that name, in lower case.
    pub(super) fn get(&self, name: &str) -> Option<&Setting> {
        self.lines.iter().rev().find(|setting| setting.name == name)
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(|setting| setting.value.as_str())
    }

    /// Whether a Boolean is set, of which only the first octet counts.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value.starts_with(['T', 't', 'Y', 'y', '1']))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.lines.iter()
    }
}

/// The lines of a file that say something, numbered, without comments; none, with a finding, if it cannot be read.
pub(super) fn read_lines(
    path: &Path,
    named_at: &Place,
    sources: &mut impl Sources,
    findings: &mut Vec<Finding>,
) -> Option<Vec<(usize, String)>> {
    let octets = match sources.read(path) {
        Ok(octets) => octets,
        Err(error) => {
            let remedy = "run this as a user who can read it, or correct the path";
            let evidence = Chain(&error).to_string();
            findings.push(Finding::new("import.unreadable", Severity::Error, named_at.clone(), evidence, remedy));
            return None;
        }
    };
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(octets.split(|octet| *octet == b'\n')) {
        // Comments are in any character set.
        let content = line.split(|octet| *octet == b'#').next().unwrap_or_default().trim_ascii();
        let wrong = match std::str::from_utf8(content) {
            Ok("") => continue,
            Ok(text) if !text.contains('\0') => {
                lines.push((number, text.to_owned()));
                continue;
            }
            Ok(_) => "holds a NUL, behind which OpenDKIM reads nothing",
            Err(_) => "is not UTF-8",
        };
        let place = line_of(path, number);
        let remedy = "write domains in A-labels, and everything in ASCII or UTF-8";
        findings.push(Finding::new("import.octets", Severity::Error, place, format!("the line {wrong}"), remedy));
    }
    Some(lines)
}

pub(super) fn whole(path: &Path) -> Place {
    Place::Path { path: path.to_owned() }
}

pub(super) fn line_of(path: &Path, line: usize) -> Place {
    Place::Line { path: path.to_owned(), line, column: 1 }
}
