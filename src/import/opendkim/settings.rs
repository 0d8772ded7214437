//! The lines of `opendkim.conf` and of the files it includes.

use std::path::{Path, PathBuf};

use crate::finding::{Chain, Finding, Place, Severity};
use crate::import::Sources;

/// Files within files; OpenDKIM takes no more.
const DEPTH: usize = 5;

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
pub(super) struct Settings(Vec<Setting>);

impl Settings {
    /// Reads a configuration and what it includes.
    pub(super) fn read(path: &Path, sources: &mut impl Sources, findings: &mut Vec<Finding>) -> Self {
        let mut settings = Self::default();
        settings.read_file(path, 0, sources, findings);
        settings
    }

    fn read_file(&mut self, path: &Path, depth: usize, sources: &mut impl Sources, findings: &mut Vec<Finding>) {
        let Some(text) = read_text(path, &whole(path), sources, findings) else { return };
        for (number, line) in (1..).zip(text.lines()) {
            let place = line_of(path, number);
            let content = line.split('#').next().unwrap_or_default().trim();
            let (name, value) = content.split_once([' ', '\t']).unwrap_or((content, ""));
            let (name, value) = (name.to_ascii_lowercase(), value.trim().to_owned());
            if name.is_empty() {
                continue;
            }
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
            } else if depth == DEPTH {
                let evidence = format!("includes go deeper than {DEPTH}: OpenDKIM does not start with this");
                findings.push(Finding::new("import.include", Severity::Error, place, evidence, "include less deep"));
            } else {
                let included: PathBuf = path.parent().unwrap_or(Path::new("")).join(&value);
                self.read_file(&included, depth + 1, sources, findings);
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
        self.0.push(setting);
    }

    /// The last line of that name, in lower case.
    pub(super) fn get(&self, name: &str) -> Option<&Setting> {
        self.0.iter().rev().find(|setting| setting.name == name)
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.get(name).map(|setting| setting.value.as_str())
    }

    /// Whether a Boolean is set, of which only the first octet counts.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value.starts_with(['T', 't', 'Y', 'y', '1']))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.0.iter()
    }
}

/// The text of a file; none, with a finding, if it cannot be read.
pub(super) fn read_text(
    path: &Path,
    named_at: &Place,
    sources: &mut impl Sources,
    findings: &mut Vec<Finding>,
) -> Option<String> {
    let mut fail = |evidence: String| {
        let remedy = "run this as a user who can read it, or correct the path";
        findings.push(Finding::new("import.unreadable", Severity::Error, named_at.clone(), evidence, remedy));
    };
    match sources.read(path) {
        Ok(octets) => match String::from_utf8(octets.to_vec()) {
            Ok(text) => Some(text),
            Err(_) => {
                fail(format!("{} is not UTF-8", path.display()));
                None
            }
        },
        Err(error) => {
            fail(Chain(&error).to_string());
            None
        }
    }
}

pub(super) fn whole(path: &Path) -> Place {
    Place::Path { path: path.to_owned() }
}

pub(super) fn line_of(path: &Path, line: usize) -> Place {
    Place::Line { path: path.to_owned(), line, column: 1 }
}
