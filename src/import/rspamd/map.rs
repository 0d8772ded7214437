//! Maps: files, or lists in the configuration, of a key and what it means.

use std::path::PathBuf;

use super::config::{Missing, Reader};
use super::ucl::{Kind, Value};
use crate::finding::{Place, Severity};
use crate::import::Sources;

/// A line of a map.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) key: String,
    /// What follows the key; empty where nothing does.
    pub(super) value: String,
    pub(super) place: Place,
}

impl<S: Sources> Reader<'_, S> {
    /// The lines of the map that an option names.
    pub(super) fn map(&mut self, option: &str, value: &Value) -> Vec<Line> {
        match &value.kind {
            Kind::Text(text) => self.named(option, text, &value.place),
            Kind::List(items) => {
                let texts: Vec<(String, Place)> =
                    items.iter().filter_map(|item| Some((item.text()?.to_owned(), item.place.clone()))).collect();
                texts.into_iter().flat_map(|(text, place)| self.item(option, &text, place)).collect()
            }
            Kind::Object(_) => {
                let pairs = value.pairs().into_iter();
                let line = |(key, value): (String, Value)| {
                    let text = value.text()?.to_owned();
                    Some(Line { key, value: text, place: value.place })
                };
                pairs.filter_map(line).collect()
            }
        }
    }

    /// An item of a list: a line, or the name of a map.
    fn item(&mut self, option: &str, text: &str, place: Place) -> Vec<Line> {
        if text.starts_with(['/', '$']) || text.contains("://") && !text.contains(' ') {
            return self.named(option, text, &place);
        }
        line_of(text, place).into_iter().collect()
    }

    fn named(&mut self, option: &str, text: &str, place: &Place) -> Vec<Line> {
        let expanded = self.expand(text);
        let path = expanded.strip_prefix("file://").unwrap_or(&expanded);
        if !path.starts_with('/') || path.ends_with(".cdb") {
            let evidence = format!("{option} is {text:?}, which cannot be taken over from here");
            let remedy = "write what it holds into a text file, a line each, and name that by its path";
            self.find("import.dataset", Severity::Error, place.clone(), evidence, remedy);
            return Vec::new();
        }
        let path = PathBuf::from(path);
        let Some(text) = self.text(&path, Missing::Error) else { return Vec::new() };
        let lines = (1..).zip(text.lines());
        lines.filter_map(|(line, text)| line_of(text, Place::Line { path: path.clone(), line, column: 1 })).collect()
    }
}

fn line_of(text: &str, place: Place) -> Option<Line> {
    let text = text.split('#').next().unwrap_or_default().trim();
    let (key, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (!key.is_empty()).then(|| Line { key: key.to_lowercase(), value: value.trim().to_owned(), place })
}
