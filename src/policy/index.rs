//! Which patterns fit an address, in the order of their lines, however many there are.
//!
//! Patterns without wildcards, and those that only say "anybody", "any domain" or "any domain below", are found by hash: the
//! address itself, its domain, each parent of its domain. The rest are globs: each is looked for by that piece of it which the
//! fewest others have, all pieces in one pass over the address (Aho and Corasick), and only what shows its piece is compared
//! whole. Both are merged by line, so the first line decides as if all were compared one by one.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::glob::glob_matches;
use super::pattern::is_wild;
use super::table::{Full, Inserted, Place, Table};

/// Where the local part begins, between it and the domain, and where that ends, in the text that is searched.
const BEGIN: u8 = 1;
const BETWEEN: u8 = 2;
const END: u8 = 3;

/// Patterns of addresses.
#[derive(Debug, Clone, Default)]
pub(super) struct PatternIndex {
    table: Table,
    /// Places of the globs whose pieces `pieces` has, in the order of `pieces`' patterns.
    globs: Vec<Place>,
    /// Globs without a piece of any length, in their order.
    shapeless: Vec<Place>,
    pieces: Option<AhoCorasick>,
}

/// What a pattern says about an address's domain or local part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part<'p> {
    Any,
    Exactly(&'p str),
    /// `*.` and this, a name without wildcards; for domains only.
    Below(&'p str),
    Glob,
}

/// Builds an index: patterns in the order in which they decide.
#[derive(Debug, Default)]
pub(super) struct PatternIndexBuilder {
    table: Table,
    globs: Vec<Place>,
}

impl PatternIndexBuilder {
    pub(super) fn table(&mut self) -> &mut Table {
        &mut self.table
    }

    /// Adds a pattern of which both parts are normalised.
    pub(super) fn insert(
        &mut self,
        local_part: &str,
        domain: &str,
        value: &[u8],
        line: usize,
    ) -> Result<Inserted, Full> {
        let key = match (part(local_part, ""), part(domain, "*.")) {
            (Part::Any, Part::Any) => String::new(),
            (Part::Any, Part::Exactly(domain)) => format!("@{domain}"),
            (Part::Any, Part::Below(domain)) => format!(".{domain}"),
            (Part::Exactly(local), Part::Any) => format!("{local}@"),
            (Part::Exactly(local), Part::Exactly(domain)) => format!("{local}@{domain}"),
            (Part::Exactly(local), Part::Below(domain)) => format!("{local}@.{domain}"),
            _ => {
                let place = self.table.push(format!("{local_part}@{domain}").as_bytes(), value, line)?;
                self.globs.push(place);
                return Ok(Inserted::New);
            }
        };
        self.table.insert(key.as_bytes(), value, line)
    }

    /// The index. It fails where the pieces of all globs are too much for one search.
    pub(super) fn build(mut self) -> Result<PatternIndex, Full> {
        self.table.shrink();
        let mut index = PatternIndex { table: self.table, ..PatternIndex::default() };
        let mut pieces = Vec::new();
        let frequency = frequencies(&index.table, &self.globs);
        for place in self.globs {
            // Of equally rare pieces the longest.
            let rarest = pieces_of(index.table.key(place))
                .into_iter()
                .min_by_key(|piece| (frequency.get(piece).copied().unwrap_or(0), usize::MAX - piece.len()));
            match rarest {
                Some(piece) => {
                    pieces.push(piece);
                    index.globs.push(place);
                }
                None => index.shapeless.push(place),
            }
        }
        if !pieces.is_empty() {
            // Globs that share a piece are found by it all the same: each is a pattern of its own.
            let search = AhoCorasick::builder()
                .match_kind(MatchKind::Standard)
                .kind(Some(AhoCorasickKind::ContiguousNFA))
                .build(pieces)
                .map_err(|_| Full)?;
            index.pieces = Some(search);
        }
        Ok(index)
    }
}

type Frequencies = std::collections::HashMap<Vec<u8>, usize, ahash::RandomState>;

fn frequencies(table: &Table, globs: &[Place]) -> Frequencies {
    let mut counts = Frequencies::with_hasher(ahash::RandomState::with_seeds(1, 2, 3, 4));
    for place in globs {
        for piece in pieces_of(table.key(*place)) {
            *counts.entry(piece).or_default() += 1;
        }
    }
    counts
}

/// What stands between the wildcards of a glob, with its beginning, middle and end marked.
fn pieces_of(glob: &[u8]) -> Vec<Vec<u8>> {
    let mut marked = Vec::with_capacity(glob.len() + 2);
    marked.push(BEGIN);
    marked.extend(glob.iter().map(|octet| if *octet == b'@' { BETWEEN } else { *octet }));
    marked.push(END);
    let is_mark = |piece: &&[u8]| piece.iter().any(|octet| !matches!(*octet, BEGIN | BETWEEN | END));
    marked.split(|octet| matches!(octet, b'*' | b'?')).filter(is_mark).map(<[u8]>::to_vec).collect()
}

fn part<'p>(text: &'p str, below: &str) -> Part<'p> {
    if text == "*" {
        return Part::Any;
    }
    if !is_wild(text) {
        return Part::Exactly(text);
    }
    match text.strip_prefix(below) {
        Some(name) if !below.is_empty() && !is_wild(name) => Part::Below(name),
        _ => Part::Glob,
    }
}

impl PatternIndex {
    /// The patterns that fit an address, both parts lower case, the domain in A-labels; in the order of their lines.
    pub(super) fn fitting<'i>(&'i self, local_part: &'i [u8], domain: &'i str) -> Fitting<'i> {
        let mut fitting = Fitting { index: self, local_part, domain, by_key: Vec::new(), globs: Vec::new() };
        if self.table.len() > self.globs.len() + self.shapeless.len() {
            fitting.find_keys();
        }
        if let Some(pieces) = &self.pieces {
            fitting.find_globs(pieces);
        }
        fitting.globs.extend_from_slice(&self.shapeless);
        // The first line is taken from the end.
        fitting.globs.sort_unstable_by(|one, other| other.cmp(one));
        fitting.globs.dedup();
        fitting
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// The pattern of a line, as people write it.
    pub(super) fn pattern(&self, place: Place) -> String {
        let key = String::from_utf8_lossy(self.table.key(place));
        match key.split_once('@') {
            None if key.is_empty() => "*".to_owned(),
            None => format!("*{key}"),
            Some(("" | "*", domain)) => domain.to_owned(),
            Some((local_part, "")) => format!("{local_part}@*"),
            Some((local_part, domain)) if domain.starts_with('.') => format!("{local_part}@*{domain}"),
            Some(_) => key.into_owned(),
        }
    }

    /// Octets of memory.
    pub(super) fn memory(&self) -> usize {
        let globs = (self.globs.capacity() + self.shapeless.capacity()) * size_of::<Place>();
        self.table.memory() + globs + self.pieces.as_ref().map_or(0, AhoCorasick::memory_usage)
    }
}

/// The patterns that fit one address, the first line first.
pub(super) struct Fitting<'i> {
    index: &'i PatternIndex,
    local_part: &'i [u8],
    domain: &'i str,
    /// The next line of each chain of lines with one key.
    by_key: Vec<Place>,
    /// Globs that show their piece, the first line last.
    globs: Vec<Place>,
}

impl Fitting<'_> {
    fn find_keys(&mut self) {
        let table = &self.index.table;
        let mut key = Vec::with_capacity(self.local_part.len() + self.domain.len() + 2);
        let mut find = |parts: [&[u8]; 3]| {
            key.clear();
            parts.iter().for_each(|part| key.extend_from_slice(part));
            self.by_key.extend(table.find(&key));
        };
        let domain = self.domain.as_bytes();
        find([self.local_part, b"@", domain]);
        find([b"", b"@", domain]);
        find([self.local_part, b"@", b""]);
        find([b"", b"", b""]);
        for dot in memchr::memchr_iter(b'.', domain) {
            let below = &domain[dot..];
            find([b"", b"", below]);
            find([self.local_part, b"@", below]);
        }
    }

    fn find_globs(&mut self, pieces: &AhoCorasick) {
        let mut marked = Vec::with_capacity(self.local_part.len() + self.domain.len() + 3);
        marked.push(BEGIN);
        marked.extend_from_slice(self.local_part);
        marked.push(BETWEEN);
        marked.extend_from_slice(self.domain.as_bytes());
        marked.push(END);
        let found = pieces.find_overlapping_iter(&marked);
        self.globs.extend(found.filter_map(|found| self.index.globs.get(found.pattern().as_usize())));
    }

    /// Whether a glob fits: each part for itself, since a quoted local part may hold an `@`.
    fn fits(&self, glob: Place) -> bool {
        let glob = self.index.table.key(glob);
        let Some(at) = memchr::memchr(b'@', glob) else { return false };
        glob_matches(&glob[at + 1..], self.domain.as_bytes()) && glob_matches(&glob[..at], self.local_part)
    }
}

impl Iterator for Fitting<'_> {
    type Item = Place;

    fn next(&mut self) -> Option<Place> {
        let first = self.by_key.iter().copied().enumerate().min_by_key(|(_, place)| *place);
        while let Some(&glob) = self.globs.last() {
            if first.is_some_and(|(_, place)| place < glob) {
                break;
            }
            self.globs.pop();
            if self.fits(glob) {
                return Some(glob);
            }
        }
        let (chain, place) = first?;
        match self.index.table.next(place) {
            Some(next) => self.by_key[chain] = next,
            None => {
                self.by_key.swap_remove(chain);
            }
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::policy::AddressPattern;

    fn index(patterns: &[&str]) -> PatternIndex {
        let mut builder = PatternIndexBuilder::default();
        for (line, pattern) in patterns.iter().enumerate() {
            // Each in a list of its own, as rules are.
            builder.table().begin(Path::new("file"), line as u32);
            let pattern = AddressPattern::parse(pattern).unwrap();
            builder.insert(pattern.local_part(), pattern.domain(), b"", line).unwrap();
        }
        builder.build().unwrap()
    }

    fn fitting(index: &PatternIndex, local_part: &str, domain: &str) -> Vec<usize> {
        index.fitting(local_part.as_bytes(), domain).map(|place| index.table.line_of(place).line).collect()
    }

    #[test]
    fn lines_come_in_their_order_whatever_they_are_found_by() {
        let patterns = [
            "mail*.example.com",
            "joe@example.com",
            "*.example.com",
            "news*@example.com",
            "example.com",
            "joe@*",
            "*",
            "joe@*.example.com",
            "?oe@*.com",
            "joe@example.com",
        ];
        let index = index(&patterns);
        assert_eq!(fitting(&index, "joe", "example.com"), [1, 4, 5, 6, 8, 9]);
        assert_eq!(fitting(&index, "joe", "mail1.example.com"), [0, 2, 5, 6, 7, 8]);
        assert_eq!(fitting(&index, "news-1", "example.com"), [3, 4, 6]);
        assert_eq!(fitting(&index, "ann", "example.org"), [6]);
        assert_eq!(fitting(&index, "joe@example.com", "example.org"), [6]);
        for (line, pattern) in patterns.iter().enumerate() {
            assert_eq!(index.pattern(line as u32), *pattern);
        }
    }

    #[test]
    fn nothing_fits_where_nothing_is() {
        assert_eq!(fitting(&index(&[]), "joe", "example.com"), [0; 0]);
        assert_eq!(fitting(&index(&["*?*@*?*.?"]), "joe", "example.c"), [0]);
    }

    proptest! {
        #[test]
        fn the_hashed_path_is_the_naive_first_match(
            patterns in proptest::collection::vec(
                prop_oneof!["[ab*?]{1,3}@[ab*?]{1,2}(\\.[ab*]{1,2}){0,2}", "[ab*]{1,2}(\\.[ab*]{1,2}){0,2}"],
                0..12,
            ),
            local_part in "[ab@.]{1,4}",
            domain in "[ab]{1,2}(\\.[ab]{1,2}){0,3}",
        ) {
            let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
            let naive: Vec<usize> = patterns
                .iter()
                .enumerate()
                .filter(|(_, pattern)| AddressPattern::parse(pattern).unwrap().matches(local_part.as_bytes(), &domain))
                .map(|(line, _)| line)
                .collect();
            prop_assert_eq!(fitting(&index(&patterns), &local_part, &domain), naive);
        }
    }
}
