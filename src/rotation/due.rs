//! When each domain is to be looked at again: a file that can be made anew at any time.
//!
//! JSON lines: first one about the file, then one for each domain. A domain is due when a wait of its keys ends, when its
//! manifest is another than it was, and when it is the patrol's turn. A file that is missing, damaged or from another
//! time (the clock was set) only costs a look at each manifest.

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::keystore::Stamp;
use crate::lifecycle::{Silences, Witnessed};
use crate::names::DomainName;

const VERSION: u32 = 1;

/// A clock that differs by more than this from what the file says was set.
const TOLERATED: SignedDuration = SignedDuration::from_mins(5);

/// The first pause after a failure; each that follows doubles it.
const BACKOFF: SignedDuration = SignedDuration::from_mins(5);

/// The longest pause after failures.
const LONGEST_BACKOFF: SignedDuration = SignedDuration::from_hours(6);

/// What is known of one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The manifest that this is about.
    pub stamp: [i64; 7],
    /// When a wait ends; none: nothing is waited for.
    pub at: Option<Timestamp>,
    /// When its records are looked at though nothing is due.
    pub patrol: Timestamp,
    /// Failures in a row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub failures: u32,
    /// The last revision whose audit lines are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audited: Option<u64>,
    /// Since when servers are silent.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub silences: Silences,
}

/// The index could not be written: the next run looks at every manifest.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}, which says what is due", path.display())]
pub struct IndexError {
    path: PathBuf,
    source: io::Error,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    written: Witnessed,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    domain: DomainName,
    #[serde(flatten)]
    due: Due,
}

/// When each domain is to be looked at again.
#[derive(Debug)]
pub struct DueIndex {
    path: PathBuf,
    domains: HashMap<DomainName, Due>,
    random: RandomState,
}

impl DueIndex {
    /// Reads the file. What cannot be used of it is as if it were not there.
    pub fn read(path: &Path, now: &Witnessed) -> Self {
        let domains = File::open(path).ok().and_then(|file| parse(BufReader::new(file), now)).unwrap_or_default();
        Self { path: path.to_owned(), domains, random: RandomState::new() }
    }

    /// What is known of a domain.
    pub fn get(&self, domain: &DomainName) -> Option<&Due> {
        self.domains.get(domain)
    }

    /// How many domains are known.
    pub fn len(&self) -> usize {
        self.domains.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.domains.is_empty()
    }

    /// Takes note of when a domain is due again.
    pub fn set(&mut self, domain: DomainName, due: Due) {
        self.domains.insert(domain, due);
    }

    /// A domain failed: it is tried again after a pause that grows.
    pub fn failed(&mut self, domain: &DomainName, stamp: Option<Stamp>, now: Timestamp) {
        let before = self.domains.get(domain);
        let failures = before.map_or(0, |due| due.failures).saturating_add(1);
        let due = Due {
            stamp: numbers(stamp),
            at: Some(after_backoff(failures, now)),
            patrol: before.map_or(now, |due| due.patrol),
            failures,
            audited: before.and_then(|due| due.audited),
            silences: before.map(|due| due.silences.clone()).unwrap_or_default(),
        };
        self.domains.insert(domain.clone(), due);
    }

    /// Drops domains that the store has no more.
    pub fn retain(&mut self, is_there: impl Fn(&DomainName) -> bool) {
        self.domains.retain(|domain, _| is_there(domain));
    }

    /// The next patrol of a domain: a little earlier than `every` from now, so that patrols spread over the day. That of
    /// a domain which was never looked at falls anywhere within it.
    pub fn next_patrol(&self, domain: &DomainName, every: SignedDuration, now: Timestamp) -> Timestamp {
        let share = self.random.hash_one(domain) % 1000;
        let seconds = every.as_secs().max(1);
        let lot = i64::try_from(share).unwrap_or(0).saturating_mul(seconds) / 1000;
        let wait = if self.domains.contains_key(domain) { seconds - lot / 10 } else { lot };
        now.saturating_add(SignedDuration::from_secs(wait.max(1))).unwrap_or(Timestamp::MAX)
    }

    /// Replaces the file, whole.
    ///
    /// # Errors
    /// If it cannot be written; the old one stays.
    pub fn write(&self, now: &Witnessed) -> Result<(), IndexError> {
        let failed = |source| IndexError { path: self.path.clone(), source };
        let new = self.path.with_extension("new");
        self.write_to(&new, now).and_then(|()| fs::rename(&new, &self.path)).map_err(|error| {
            // What is half written takes room that may be what is missing.
            let _ = fs::remove_file(&new);
            failed(error)
        })
    }

    fn write_to(&self, path: &Path, now: &Witnessed) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        serde_json::to_writer(&mut out, &Head { version: VERSION, written: now.clone() })?;
        out.write_all(b"\n")?;
        for (domain, due) in &self.domains {
            // Borrowed fields, written as `Line` reads them.
            #[derive(Serialize)]
            struct Borrowed<'a> {
                domain: &'a DomainName,
                #[serde(flatten)]
                due: &'a Due,
            }
            serde_json::to_writer(&mut out, &Borrowed { domain, due })?;
            out.write_all(b"\n")?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()
    }
}

impl Due {
    /// A manifest's stamp, as it is kept.
    pub fn stamp_of(stamp: Option<Stamp>) -> [i64; 7] {
        numbers(stamp)
    }

    /// Whether something is to be done now, but for the patrol.
    pub fn is_due(&self, stamp: Option<Stamp>, now: Timestamp) -> bool {
        self.at.is_some_and(|at| at <= now) || self.stamp != numbers(stamp)
    }

    /// Whether it is the patrol's turn.
    pub fn is_patrolled(&self, now: Timestamp) -> bool {
        self.patrol <= now
    }
}

/// When to try again what failed.
pub(super) fn after_backoff(failures: u32, now: Timestamp) -> Timestamp {
    let pause = BACKOFF.checked_mul(1_i32 << failures.saturating_sub(1).min(10)).unwrap_or(LONGEST_BACKOFF);
    now.saturating_add(pause.min(LONGEST_BACKOFF)).unwrap_or(Timestamp::MAX)
}

/// A stamp as numbers; zeros where there is no manifest.
pub(super) fn numbers(stamp: Option<Stamp>) -> [i64; 7] {
    let Some(Stamp { file, size, modified, changed }) = stamp else { return [0; 7] };
    [file.0.cast_signed(), file.1.cast_signed(), size.cast_signed(), modified.0, modified.1, changed.0, changed.1]
}

fn parse(file: impl BufRead, now: &Witnessed) -> Option<HashMap<DomainName, Due>> {
    let mut lines = file.lines();
    let head: Head = serde_json::from_str(&lines.next()?.ok()?).ok()?;
    let is_past = head.written.wall <= now.wall.saturating_add(TOLERATED).ok()?;
    if head.version != VERSION || !is_past || now.since(&head.written).trouble.is_some() {
        return None;
    }
    let mut domains = HashMap::new();
    for line in lines {
        let Line { domain, due } = serde_json::from_str(&line.ok()?).ok()?;
        domains.insert(domain, due);
    }
    Some(domains)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_empty(silences: &Silences) -> bool {
    *silences == Silences::default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn now(second: i64) -> Witnessed {
        let boot_time = Duration::from_secs(u64::try_from(1_000_000 + second).unwrap());
        Witnessed { wall: at(second), boot_id: "boot".into(), boot_time }
    }

    fn due(at: Option<Timestamp>, patrol: Timestamp) -> Due {
        Due { stamp: [0; 7], at, patrol, failures: 0, audited: Some(3), silences: Silences::default() }
    }

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    #[test]
    fn what_was_written_is_read_again_and_damage_is_as_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("due.jsonl");
        let mut index = DueIndex::read(&path, &now(0));
        assert!(index.is_empty());
        index.set(name("example.com"), due(Some(at(60)), at(900)));
        index.set(name("example.net"), due(None, at(900)));
        index.write(&now(0)).unwrap();
        let read = DueIndex::read(&path, &now(1));
        assert_eq!(read.get(&name("example.com")), index.get(&name("example.com")));
        assert_eq!(read.len(), 2);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        assert!(DueIndex::read(&path, &now(1)).is_empty());
    }

    #[test]
    fn a_clock_that_was_set_makes_all_due() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("due.jsonl");
        let mut index = DueIndex::read(&path, &now(0));
        index.set(name("example.com"), due(Some(at(60)), at(900)));
        index.write(&now(0)).unwrap();
        let year = 365 * 24 * 3600;
        for set_to in [-year, year] {
            assert!(DueIndex::read(&path, &Witnessed { wall: at(set_to), ..now(10) }).is_empty());
        }
        let rebooted = Witnessed { boot_id: "next".into(), ..now(-year / 100) };
        assert!(DueIndex::read(&path, &rebooted).is_empty());
        assert_eq!(DueIndex::read(&path, &Witnessed { boot_id: "next".into(), ..now(year) }).len(), 1);
    }

    #[test]
    fn a_domain_is_due_when_a_wait_ends_or_its_manifest_is_another() {
        let entry = due(Some(at(60)), at(900));
        assert!(!entry.is_due(None, at(59)) && entry.is_due(None, at(60)));
        let stamp = Stamp { file: (1, 2), size: 3, modified: (4, 5), changed: (6, 7) };
        assert!(entry.is_due(Some(stamp), at(0)));
        assert!(!entry.is_patrolled(at(899)) && entry.is_patrolled(at(900)));
    }

    #[test]
    fn failures_are_tried_again_later_and_later() {
        let scratch = tempfile::tempdir().unwrap();
        let mut index = DueIndex::read(&scratch.path().join("due.jsonl"), &now(0));
        let mut pauses = Vec::new();
        for _ in 0..40 {
            index.failed(&name("example.com"), None, at(0));
            let pause = index.get(&name("example.com")).unwrap().at.unwrap();
            pauses.push(pause.duration_since(at(0)).as_mins());
        }
        assert_eq!(pauses[..4], [5, 10, 20, 40]);
        assert_eq!(pauses[39], 360);
    }

    #[test]
    fn patrols_spread_over_the_day() {
        let scratch = tempfile::tempdir().unwrap();
        let index = DueIndex::read(&scratch.path().join("due.jsonl"), &now(0));
        let day = SignedDuration::from_hours(24);
        let hour = |number: u32| index.next_patrol(&name(&format!("d{number}.example")), day, at(0));
        let first_hour = (0..2400).filter(|number| hour(*number) < at(3600)).count();
        assert!((40..200).contains(&first_hour), "{first_hour}");
    }
}
