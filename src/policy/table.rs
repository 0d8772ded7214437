//! Lines of text, found by their keys: a million of them in some tens of octets each beyond their text.
//!
//! ```text
//! slots (open addressing) ─▶ entries, in the order of the lines ─▶ text: key, value, key, value, ...
//!                              │ next: a later entry with the same key
//!                              └ line; which file and which list stand once for each run of entries
//! ```

use std::path::{Path, PathBuf};

use ahash::RandomState;

use super::trace::Line;

/// An entry's place among all, in the order of the lines: the first that fits decides.
pub(super) type Place = u32;

/// No entry.
const NONE: u32 = u32::MAX;

/// The longest key or value, in octets.
pub(super) const LONGEST: usize = u16::MAX as usize;

/// Lines of text, found by their keys.
#[derive(Clone)]
pub(super) struct Table {
    text: Vec<u8>,
    entries: Vec<Entry>,
    /// Heads of chains of entries with one key; a power of two in number, at most half of them taken.
    slots: Vec<u32>,
    taken: usize,
    hasher: RandomState,
    files: Vec<PathBuf>,
    /// From which entry on which file and which list.
    runs: Vec<Run>,
}

#[derive(Clone, Copy)]
struct Entry {
    at: u32,
    key: u16,
    value: u16,
    line: u32,
    next: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Run {
    from: Place,
    file: u32,
    list: u32,
}

/// A table is full: more text or entries than 32 bits can count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inserted {
    /// It is the first of its list with this key.
    New,
    /// An earlier line of the same list has its key, and decides.
    Shadowed(Place),
}

impl Default for Table {
    fn default() -> Self {
        Self {
            text: Vec::new(),
            entries: Vec::new(),
            slots: Vec::new(),
            taken: 0,
            // What is looked up comes from strangers, but cannot make chains long: they hold what the lines hold.
            hasher: RandomState::with_seeds(1, 2, 3, 4),
            files: Vec::new(),
            runs: Vec::new(),
        }
    }
}

impl Table {
    /// The lines that follow stand in this file, in this list.
    pub(super) fn begin(&mut self, file: &Path, list: u32) {
        let goes_on =
            |last: &Run| last.list == list && self.files.get(last.file as usize).is_some_and(|known| known == file);
        if self.runs.last().is_some_and(goes_on) {
            return;
        }
        let known = self.files.iter().rposition(|known| known == file);
        let file = known.unwrap_or_else(|| {
            self.files.push(file.to_owned());
            self.files.len() - 1
        });
        let run = Run { from: self.entries.len() as u32, file: file as u32, list };
        match self.runs.last_mut() {
            Some(last) if last.from == run.from => *last = run,
            _ => self.runs.push(run),
        }
    }

    /// Adds a line that is not found by its key but by other means; its place.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8], line: usize) -> Result<Place, Full> {
        let place = u32::try_from(self.entries.len()).ok().filter(|place| *place != NONE).ok_or(Full)?;
        let at = u32::try_from(self.text.len()).map_err(|_| Full)?;
        let (key_length, value_length) =
            (key.len().try_into().map_err(|_| Full)?, value.len().try_into().map_err(|_| Full)?);
        self.text.extend_from_slice(key);
        self.text.extend_from_slice(value);
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        self.entries.push(Entry { at, key: key_length, value: value_length, line, next: NONE });
        Ok(place)
    }

    /// Adds a line that is found by its key, unless its list has that key already.
    pub(super) fn insert(&mut self, key: &[u8], value: &[u8], line: usize) -> Result<Inserted, Full> {
        if self.slots.len() < (self.taken + 1) * 2 {
            self.grow();
        }
        let slot = self.slot(key);
        let list = self.runs.last().map_or(0, |run| run.list);
        let mut last = None;
        let mut place = self.slots[slot];
        while place != NONE {
            if self.list_of(place) == list {
                return Ok(Inserted::Shadowed(place));
            }
            last = Some(place);
            place = self.entries[place as usize].next;
        }
        let new = self.push(key, value, line)?;
        match last {
            Some(last) => self.entries[last as usize].next = new,
            None => {
                self.slots[slot] = new;
                self.taken += 1;
            }
        }
        Ok(Inserted::New)
    }

    /// The first line with this key.
    pub(super) fn find(&self, key: &[u8]) -> Option<Place> {
        if self.slots.is_empty() {
            return None;
        }
        Some(self.slots[self.slot(key)]).filter(|place| *place != NONE)
    }

    /// The next line with the same key.
    pub(super) fn next(&self, place: Place) -> Option<Place> {
        self.entries.get(place as usize).map(|entry| entry.next).filter(|next| *next != NONE)
    }

    pub(super) fn key(&self, place: Place) -> &[u8] {
        let Some(entry) = self.entries.get(place as usize) else { return &[] };
        let at = entry.at as usize;
        &self.text[at..at + usize::from(entry.key)]
    }

    pub(super) fn value(&self, place: Place) -> &[u8] {
        let Some(entry) = self.entries.get(place as usize) else { return &[] };
        let at = entry.at as usize + usize::from(entry.key);
        &self.text[at..at + usize::from(entry.value)]
    }

    /// Which list a line is in.
    pub(super) fn list_of(&self, place: Place) -> u32 {
        self.run_of(place).map_or(0, |run| run.list)
    }

    /// Where a line stands.
    pub(super) fn line_of(&self, place: Place) -> Line {
        let file = self.run_of(place).and_then(|run| self.files.get(run.file as usize));
        let line = self.entries.get(place as usize).map_or(0, |entry| entry.line as usize);
        Line { path: file.cloned().unwrap_or_default(), line }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Octets of memory.
    pub(super) fn memory(&self) -> usize {
        self.text.capacity()
            + self.entries.capacity() * size_of::<Entry>()
            + self.slots.capacity() * size_of::<u32>()
            + self.runs.capacity() * size_of::<Run>()
    }

    /// Gives back what was only for growing.
    pub(super) fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.entries.shrink_to_fit();
        self.runs.shrink_to_fit();
    }

    fn run_of(&self, place: Place) -> Option<&Run> {
        let after = self.runs.partition_point(|run| run.from <= place);
        self.runs.get(after.checked_sub(1)?)
    }

    /// The slot of a key: its own, or the free one where it would be.
    fn slot(&self, key: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = self.hasher.hash_one(key) as usize & mask;
        while self.slots[slot] != NONE && self.key(self.slots[slot]) != key {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        let larger = vec![NONE; (self.slots.len() * 2).max(16)];
        let heads = std::mem::replace(&mut self.slots, larger);
        for head in heads.into_iter().filter(|head| *head != NONE) {
            let slot = self.slot(self.key(head));
            self.slots[slot] = head;
        }
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("entries", &self.entries.len())
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_found_by_its_key_with_its_file_and_list() {
        let mut table = Table::default();
        table.begin(Path::new("a"), 7);
        assert_eq!(table.insert(b"one", b"1", 3), Ok(Inserted::New));
        assert_eq!(table.insert(b"one", b"again", 4), Ok(Inserted::Shadowed(0)));
        table.begin(Path::new("b"), 8);
        assert_eq!(table.insert(b"one", b"other list", 1), Ok(Inserted::New));
        let first = table.find(b"one").unwrap();
        assert_eq!((table.value(first), table.list_of(first)), (&b"1"[..], 7));
        assert_eq!(table.line_of(first), Line { path: "a".into(), line: 3 });
        let next = table.next(first).unwrap();
        assert_eq!((table.value(next), table.list_of(next)), (&b"other list"[..], 8));
        assert_eq!(table.line_of(next).to_string(), "b:1");
        assert_eq!(table.next(next), None);
        assert_eq!(table.find(b"on"), None);
        assert_eq!(Table::default().find(b"one"), None);
    }

    proptest! {
        #[test]
        fn finds_what_a_map_finds(keys in proptest::collection::vec("[ab]{0,4}", 0..60), asked in "[ab]{0,4}") {
            let mut table = Table::default();
            let mut map = HashMap::new();
            table.begin(Path::new("file"), 0);
            for (line, key) in keys.iter().enumerate() {
                table.insert(key.as_bytes(), line.to_string().as_bytes(), line).unwrap();
                map.entry(key.clone()).or_insert(line);
            }
            let found = table.find(asked.as_bytes()).map(|place| table.line_of(place).line);
            prop_assert_eq!(found, map.get(&asked).copied());
        }
    }
}
