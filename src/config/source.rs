//! The text of a configuration file, and where in it every setting stands.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::finding::Place;

/// A parsed file: the tree of its settings, and what was taken out of it because it could not be read.
pub(super) struct Source<'t> {
    path: &'t Path,
    text: &'t str,
    /// Octet offsets of the beginnings of lines.
    lines: Vec<usize>,
    tree: Spanned<DeTable<'t>>,
    removed: Vec<Vec<Step>>,
}

/// One step from a table or an array to what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// A setting that was taken out: where it stood and how its value was written.
pub(super) struct Removed {
    pub(super) path: Vec<Step>,
    pub(super) value: String,
    /// The kind of value, in TOML's words.
    pub(super) kind: &'static str,
}

impl<'t> Source<'t> {
    /// Parses as much as can be; syntax errors are returned beside it.
    pub(super) fn parse(path: &'t Path, text: &'t str) -> (Self, Vec<toml::de::Error>) {
        let lines = std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect();
        let (tree, errors) = DeTable::parse_recoverable(text);
        (Self { path, text, lines, tree, removed: Vec::new() }, errors)
    }

    pub(super) fn path(&self) -> &'t Path {
        self.path
    }

    pub(super) fn tree(&self) -> &Spanned<DeTable<'t>> {
        &self.tree
    }

    /// Line and column of an octet offset.
    pub(super) fn place(&self, offset: usize) -> Place {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.lines.partition_point(|&start| start <= offset);
        let start = line.checked_sub(1).and_then(|index| self.lines.get(index)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Place::Line { path: self.path.to_owned(), line: line.max(1), column }
    }

    /// The lines that a syntax error spoils, counted from 1: its own, and behind the name of a section, which is then
    /// unknown, all up to the next.
    pub(super) fn part_around(&self, offset: usize) -> Range<usize> {
        let line = self.lines.partition_point(|&start| start <= offset).max(1);
        let names_section = |index: usize| {
            let start = self.lines.get(index).copied().unwrap_or(self.text.len());
            self.text.get(start..).is_some_and(|rest| rest.trim_start_matches([' ', '\t']).starts_with('['))
        };
        if !names_section(line - 1) {
            return line..line + 1;
        }
        let next = (line..self.lines.len()).find(|&index| names_section(index));
        line..next.unwrap_or(self.lines.len()) + 1
    }

    /// Where a setting stands: its value, or the nearest table around it that is in the file.
    pub(super) fn place_of(&self, path: &[Step]) -> Place {
        let mut found = None;
        let mut steps = path.iter();
        if let Some(Step::Key(key)) = steps.next() {
            let mut value = self.tree.get_ref().get(key.as_str());
            while let Some(inner) = value {
                found = Some(inner.span());
                value = match steps.next() {
                    Some(Step::Key(key)) => inner.get_ref().get(key.as_str()),
                    Some(Step::Index(index)) => inner.get_ref().get(*index),
                    None => None,
                };
            }
        }
        match found {
            Some(span) => self.place(span.start),
            None => Place::Line { path: self.path.to_owned(), line: 1, column: 1 },
        }
    }

    /// Where the keys of a table stand, as written.
    pub(super) fn keys_of(&self, key: &str) -> Vec<(&str, Place)> {
        let table = self.tree.get_ref().get(key).and_then(|value| value.get_ref().as_table());
        let Some(table) = table else {
            return Vec::new();
        };
        table.keys().map(|key| (key.get_ref().as_ref(), self.place(key.span().start))).collect()
    }

    /// Takes out the setting whose key or value has that span, so that the rest can be read.
    pub(super) fn remove(&mut self, span: &Range<usize>) -> Option<Removed> {
        let mut path = Vec::new();
        let text = self.text;
        let (kind, written) = remove_from_table(self.tree.get_mut(), span, &mut path)?;
        let value = text.get(written).unwrap_or_default().to_owned();
        self.removed.push(path.clone());
        Some(Removed { path, value, kind })
    }

    /// Whether that setting, or something in it, was taken out: then it must not be called missing.
    pub(super) fn was_removed(&self, path: &[Step]) -> bool {
        self.removed.iter().any(|removed| removed.starts_with(path))
    }
}

type Found = (&'static str, Range<usize>);

fn remove_from_table(table: &mut DeTable<'_>, span: &Range<usize>, path: &mut Vec<Step>) -> Option<Found> {
    let direct = table.iter().find(|(key, value)| key.span() == *span || value.span() == *span);
    if let Some((key, value)) = direct {
        let (key, found) = (key.get_ref().to_string(), (value.get_ref().type_str(), value.span()));
        table.remove(key.as_str());
        path.push(Step::Key(key));
        return Some(found);
    }
    for (key, value) in table.iter_mut() {
        path.push(Step::Key(key.get_ref().to_string()));
        if let Some(found) = remove_from_value(value.get_mut(), span, path) {
            return Some(found);
        }
        path.pop();
    }
    None
}

fn remove_from_value(value: &mut DeValue<'_>, span: &Range<usize>, path: &mut Vec<Step>) -> Option<Found> {
    match value {
        DeValue::Table(table) => remove_from_table(table, span, path),
        DeValue::Array(array) => {
            if let Some(index) = array.iter().position(|element| element.span() == *span) {
                path.push(Step::Index(index));
                let found = array.get(index).map(|element| (element.get_ref().type_str(), element.span()));
                let mut kept = DeArray::new();
                for (_, element) in array.iter().enumerate().filter(|(place, _)| *place != index) {
                    kept.push(element.clone());
                }
                *array = kept;
                return found;
            }
            for (index, element) in array.iter_mut().enumerate() {
                path.push(Step::Index(index));
                if let Some(found) = remove_from_value(element.get_mut(), span, path) {
                    return Some(found);
                }
                path.pop();
            }
            None
        }
        _ => None,
    }
}

/// A path as people write it: `listener[0].allow`.
pub(super) struct Dotted<'p>(pub(super) &'p [Step]);

impl fmt::Display for Dotted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) => {
                    if depth > 0 {
                        f.write_str(".")?;
                    }
                    if key.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_' || octet == b'-') {
                        f.write_str(key)?;
                    } else {
                        write!(f, "{key:?}")?;
                    }
                }
            }
        }
        Ok(())
    }
}
