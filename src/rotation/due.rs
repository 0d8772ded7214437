//! When each domain is to be looked at again: a file that can be made anew at any time.
//!
//! JSON lines, of which the last about a domain counts. A domain is due when a wait of its keys ends, when its manifest is
//! another than it was, and when it is the patrol's turn. A long run appends what it found out as it goes, so that the next
//! goes on where it was killed; now and then the file is written anew. What is read ends before the first line that is
//! damaged: each line before it was true when it was written, and a domain that was worked on since is still due by it. A
//! file that is missing or from another time (the clock was set) only costs a look at each manifest.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::summary::KeyCounts;
use crate::keystore::Stamp;
use crate::lifecycle::{Silences, Witnessed};
use crate::names::DomainName;

const VERSION: u32 = 2;

/// A clock that differs by more than this from what the file says was set.
const TOLERATED: SignedDuration = SignedDuration::from_mins(5);

/// The first pause after a failure; each that follows doubles it.
const BACKOFF: SignedDuration = SignedDuration::from_mins(5);

/// The longest pause after failures.
const LONGEST_BACKOFF: SignedDuration = SignedDuration::from_hours(6);

/// The file is written anew when it has twice as many lines as domains, and so many more.
const SPARE_LINES: usize = 10_000;

/// A patrol that comes later than its period by more than this share of it falls anywhere within the next: a host that was
/// down for a day is not to look at everything at once every day from then on.
const LATE: i64 = 20;

/// What is known of one domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// The manifest that this is about, as [`Due::stamp_of`] gives it.
    pub stamp: u64,
    /// When a wait ends; none: nothing is waited for.
    pub at: Option<Timestamp>,
    /// When its records are looked at though nothing is due.
    pub patrol: Timestamp,
    /// Failures in a row.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failures: u32,
    /// The last revision whose audit lines are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audited: Option<u64>,
    /// Since when servers are silent.
    #[serde(default, skip_serializing_if = "is_default")]
    pub silences: Silences,
    /// Its keys by state.
    #[serde(default)]
    pub keys: KeyCounts,
    /// What threatens its mail.
    #[serde(default, skip_serializing_if = "is_default")]
    pub alarms: u32,
}

/// The index could not be written: the next run looks at more manifests than it had to.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}, which says what is due", path.display())]
pub struct IndexError {
    path: PathBuf,
    source: io::Error,
}

/// A line about the file: those that follow were written then or later.
#[derive(Debug, Serialize, Deserialize)]
struct Head {
    version: u32,
    written: Witnessed,
}

/// A line about a domain, to be read.
#[derive(Debug, Deserialize)]
struct Line {
    domain: DomainName,
    stamp: u64,
    at: Option<Timestamp>,
    patrol: Timestamp,
    #[serde(default)]
    failures: u32,
    audited: Option<u64>,
    #[serde(default)]
    silences: Silences,
    #[serde(default)]
    keys: KeyCounts,
    #[serde(default)]
    alarms: u32,
}

/// When each domain is to be looked at again.
#[derive(Debug)]
pub struct DueIndex {
    path: PathBuf,
    domains: HashMap<DomainName, Due>,
    random: RandomState,
    /// Lines that the file has not yet.
    pending: Vec<u8>,
    /// Lines in the file, those that are pending included.
    lines: usize,
    /// Whether lines can be appended to the file as it is.
    is_sound: bool,
}

impl DueIndex {
    /// Reads the file. What cannot be used of it is as if it were not there.
    pub fn read(path: &Path, now: &Witnessed) -> Self {
        let Some(Parsed { domains, lines, is_whole }) =
            File::open(path).ok().and_then(|file| parse(BufReader::with_capacity(1 << 16, file), now))
        else {
            return Self::with(path, HashMap::new(), 0, false);
        };
        Self::with(path, domains, lines, is_whole)
    }

    fn with(path: &Path, domains: HashMap<DomainName, Due>, lines: usize, is_sound: bool) -> Self {
        Self { path: path.to_owned(), domains, random: RandomState::new(), pending: Vec::new(), lines, is_sound }
    }

    /// What is known of a domain.
    pub fn get(&self, domain: &DomainName) -> Option<&Due> {
        self.domains.get(domain)
    }

    /// What is known of all.
    pub fn all(&self) -> impl Iterator<Item = &Due> {
        self.domains.values()
    }

    /// All domains, with what is known of them.
    pub fn domains(&self) -> impl Iterator<Item = (&DomainName, &Due)> {
        self.domains.iter()
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
        if self.is_sound {
            let length = self.pending.len();
            match write_line(&mut self.pending, &domain, &due) {
                Ok(()) => self.lines += 1,
                // What cannot be appended is written with the whole.
                Err(_) => {
                    self.pending.truncate(length);
                    self.is_sound = false;
                }
            }
        }
        self.domains.insert(domain, due);
    }

    /// A domain failed: it is tried again after a pause that grows.
    pub fn failed(&mut self, domain: &DomainName, stamp: Option<Stamp>, now: Timestamp) {
        let before = self.domains.get(domain);
        let failures = before.map_or(0, |due| due.failures).saturating_add(1);
        let due = Due {
            stamp: Due::stamp_of(stamp),
            at: Some(after_backoff(failures, now)),
            patrol: before.map_or(now, |due| due.patrol),
            failures,
            audited: before.and_then(|due| due.audited),
            silences: before.map(|due| due.silences.clone()).unwrap_or_default(),
            keys: before.map(|due| due.keys).unwrap_or_default(),
            alarms: before.map_or(0, |due| due.alarms),
        };
        self.set(domain.clone(), due);
    }

    /// Drops domains that the store has no more.
    pub fn keep_only(&mut self, there: &HashSet<DomainName>) {
        self.domains.retain(|domain, _| there.contains(domain));
        self.is_sound = false;
    }

    /// Drops a domain that the store has no more.
    pub fn drop_domain(&mut self, domain: &DomainName) {
        if self.domains.remove(domain).is_some() {
            self.is_sound = false;
        }
    }

    /// The next patrol of a domain: a little earlier than `every` from now, so that patrols spread over the day. That of
    /// a domain which was never looked at, or whose patrol was late, falls anywhere within it.
    pub fn next_patrol(&self, domain: &DomainName, every: SignedDuration, now: Timestamp) -> Timestamp {
        let seconds = every.as_secs().max(1);
        let lot = self.random.hash_one((domain, now)) % seconds.unsigned_abs();
        let lot = i64::try_from(lot).unwrap_or(seconds);
        let is_late = |due: &Due| now.duration_since(due.patrol).as_secs() > seconds / LATE;
        let is_on_time = self.domains.get(domain).is_some_and(|due| !is_late(due));
        let wait = if is_on_time { seconds - lot / 10 } else { lot };
        now.saturating_add(SignedDuration::from_secs(wait.max(1))).unwrap_or(Timestamp::MAX)
    }

    /// Brings to the file what it has not yet: during a run, as often as you like. It may take until
    /// [`Self::finish`] to reach stable storage.
    ///
    /// # Errors
    /// If it cannot be written. The next call writes the file anew.
    pub fn save(&mut self, now: &Witnessed) -> Result<(), IndexError> {
        if !self.is_sound || self.lines > 2 * self.domains.len() + SPARE_LINES {
            return self.write(now);
        }
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.lines += 1;
        self.append(&pending, now).inspect_err(|_| self.is_sound = false)
    }

    /// The same at the end of a run, through to stable storage.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(&mut self, now: &Witnessed) -> Result<(), IndexError> {
        self.save(now)?;
        let sync = || File::open(&self.path)?.sync_data();
        sync().map_err(|source| IndexError { path: self.path.clone(), source })
    }

    fn append(&self, lines: &[u8], now: &Witnessed) -> Result<(), IndexError> {
        let write = || {
            let mut octets = Vec::with_capacity(lines.len() + 256);
            write_head(&mut octets, now)?;
            octets.extend_from_slice(lines);
            OpenOptions::new().append(true).open(&self.path)?.write_all(&octets)
        };
        write().map_err(|source| IndexError { path: self.path.clone(), source })
    }

    /// Replaces the file, whole. If it cannot be written, the old one stays.
    fn write(&mut self, now: &Witnessed) -> Result<(), IndexError> {
        let new = self.path.with_extension("new");
        self.write_to(&new, now).and_then(|()| fs::rename(&new, &self.path)).map_err(|source| {
            // What is half written takes room that may be what is missing.
            let _ = fs::remove_file(&new);
            IndexError { path: self.path.clone(), source }
        })?;
        self.pending.clear();
        (self.lines, self.is_sound) = (self.domains.len() + 1, true);
        Ok(())
    }

    fn write_to(&self, path: &Path, now: &Witnessed) -> io::Result<()> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path)?;
        let mut out = BufWriter::with_capacity(1 << 16, file);
        write_head(&mut out, now)?;
        for (domain, due) in &self.domains {
            write_line(&mut out, domain, due)?;
        }
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_data()
    }
}

impl Due {
    /// A manifest's stamp, as it is kept: equal if the manifests are. Zero where there is none.
    pub fn stamp_of(stamp: Option<Stamp>) -> u64 {
        let Some(Stamp { file, size, modified, changed }) = stamp else { return 0 };
        let mut hasher = DefaultHasher::new();
        (file, size, modified, changed).hash(&mut hasher);
        hasher.finish()
    }

    /// Whether something is to be done now, but for the patrol.
    pub fn is_due(&self, stamp: Option<Stamp>, now: Timestamp) -> bool {
        self.at.is_some_and(|at| at <= now) || self.stamp != Self::stamp_of(stamp)
    }

    /// Whether it is the patrol's turn.
    pub fn is_patrolled(&self, now: Timestamp) -> bool {
        self.patrol <= now
    }

    /// When it is looked at again, unless its manifest changes.
    pub fn next(&self) -> Timestamp {
        self.at.map_or(self.patrol, |at| at.min(self.patrol))
    }
}

/// When to try again what failed.
pub(super) fn after_backoff(failures: u32, now: Timestamp) -> Timestamp {
    let pause = BACKOFF.checked_mul(1_i32 << failures.saturating_sub(1).min(10)).unwrap_or(LONGEST_BACKOFF);
    now.saturating_add(pause.min(LONGEST_BACKOFF)).unwrap_or(Timestamp::MAX)
}

fn write_head(out: &mut impl Write, now: &Witnessed) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Head { version: VERSION, written: now.clone() })?;
    out.write_all(b"\n")
}

fn write_line(out: &mut impl Write, domain: &DomainName, due: &Due) -> io::Result<()> {
    // Borrowed fields, written as `Line` reads them.
    #[derive(Serialize)]
    struct Borrowed<'a> {
        domain: &'a DomainName,
        #[serde(flatten)]
        due: &'a Due,
    }
    serde_json::to_writer(&mut *out, &Borrowed { domain, due })?;
    out.write_all(b"\n")
}

/// What could be used of a file.
struct Parsed {
    domains: HashMap<DomainName, Due>,
    lines: usize,
    /// Nothing in it was damaged.
    is_whole: bool,
}

/// None if the clock was set since, or if there is not even a first line.
fn parse(mut file: impl BufRead, now: &Witnessed) -> Option<Parsed> {
    let mut parsed = Parsed { domains: HashMap::new(), lines: 0, is_whole: false };
    let mut written: Option<Witnessed> = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        match file.read_until(b'\n', &mut line) {
            Ok(0) => {
                parsed.is_whole = true;
                break;
            }
            Ok(_) if line.last() == Some(&b'\n') => {}
            _ => break,
        }
        if line.starts_with(b"{\"version\"") {
            let Ok(Head { version: VERSION, written: later }) = serde_json::from_slice(&line) else { break };
            if written.as_ref().is_some_and(|earlier| later.since(earlier).trouble.is_some()) {
                parsed.domains.clear();
            }
            written = Some(later);
        } else {
            let Ok(line) = serde_json::from_slice::<Line>(&line) else { break };
            let Line { domain, stamp, at, patrol, failures, audited, silences, keys, alarms } = line;
            parsed.domains.insert(domain, Due { stamp, at, patrol, failures, audited, silences, keys, alarms });
        }
        if written.is_none() {
            break;
        }
        parsed.lines += 1;
    }
    let written = written?;
    let is_past = written.wall <= now.wall.saturating_add(TOLERATED).ok()?;
    (is_past && now.since(&written).trouble.is_none()).then_some(parsed)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
        let (silences, keys) = (Silences::default(), KeyCounts::default());
        Due { stamp: 0, at, patrol, failures: 0, audited: Some(3), silences, keys, alarms: 0 }
    }

    fn name(text: &str) -> DomainName {
        DomainName::parse(text).unwrap()
    }

    #[test]
    fn what_was_written_is_read_again() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("due.jsonl");
        let mut index = DueIndex::read(&path, &now(0));
        assert!(index.is_empty());
        index.set(name("example.com"), due(Some(at(60)), at(900)));
        index.set(name("example.net"), due(None, at(900)));
        index.finish(&now(0)).unwrap();
        let read = DueIndex::read(&path, &now(1));
        assert_eq!(read.get(&name("example.com")), index.get(&name("example.com")));
        assert_eq!(read.len(), 2);
    }

    #[test]
    fn a_file_that_is_cut_anywhere_says_what_was_once_true_and_is_mended() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("due.jsonl");
        let mut index = DueIndex::read(&path, &now(0));
        let names: Vec<_> = (0..4).map(|number| name(&format!("d{number}.example"))).collect();
        let mut said: HashMap<&DomainName, Vec<Due>> = HashMap::new();
        for round in 0..3 {
            for (number, name) in names.iter().enumerate().skip(round) {
                let due = due(Some(at(i64::try_from(10 * round + number).unwrap())), at(900));
                said.entry(name).or_default().push(due.clone());
                index.set(name.clone(), due);
                index.save(&now(i64::try_from(round).unwrap())).unwrap();
            }
        }
        index.finish(&now(3)).unwrap();
        let whole = fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let mut read = DueIndex::read(&path, &now(4));
            for name in &names {
                assert!(read.get(name).is_none_or(|due| said[name].contains(due)), "{length}: {:?}", read.get(name));
            }
            // Mending takes an fsync, so not every one is mended.
            if !length.is_multiple_of(16) {
                continue;
            }
            let before = read.domains.clone();
            read.set(name("new.example"), due(None, at(5)));
            read.finish(&now(5)).unwrap();
            let again = DueIndex::read(&path, &now(6));
            assert!(again.is_sound && before.iter().all(|(name, due)| again.get(name) == Some(due)), "{length}");
            assert_eq!(again.len(), before.len() + 1, "{length}");
        }
        for position in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[position] = 0;
            fs::write(&path, &damaged).unwrap();
            let read = DueIndex::read(&path, &now(4));
            assert!(names.iter().all(|name| read.get(name).is_none_or(|due| said[name].contains(due))), "{position}");
        }
    }

    #[test]
    fn a_run_appends_and_the_file_is_written_anew_when_it_is_long() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("due.jsonl");
        let mut index = DueIndex::read(&path, &now(0));
        let lines = || fs::read_to_string(&path).unwrap().lines().count();
        for round in 0..3 * i64::try_from(SPARE_LINES).unwrap() {
            index.set(name(&format!("d{}.example", round % 7)), due(Some(at(round)), at(900)));
            if round % 512 == 0 {
                index.save(&now(round)).unwrap();
                assert!(lines() <= SPARE_LINES + 1024);
            }
        }
        index.finish(&now(1)).unwrap();
        assert_eq!(DueIndex::read(&path, &now(2)).domains, index.domains);
        index.drop_domain(&name("d3.example"));
        index.finish(&now(3)).unwrap();
        assert_eq!((lines(), DueIndex::read(&path, &now(4)).len()), (7, 6));
        index.keep_only(&HashSet::from([name("d1.example")]));
        index.finish(&now(3)).unwrap();
        assert_eq!(lines(), 2);
    }

    #[test]
    fn what_was_said_before_the_clock_was_set_during_a_run_is_dropped() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("due.jsonl");
        let mut index = DueIndex::read(&path, &now(0));
        index.set(name("before.example"), due(Some(at(60)), at(900)));
        index.save(&now(0)).unwrap();
        let set = |second: i64| Witnessed { wall: at(second + 7200), ..now(second) };
        index.set(name("after.example"), due(Some(at(60)), at(900)));
        index.save(&set(10)).unwrap();
        let read = DueIndex::read(&path, &set(20));
        assert_eq!((read.get(&name("before.example")), read.len()), (None, 1));
        assert!(DueIndex::read(&path, &now(20)).is_empty());
    }

    #[test]
    fn a_clock_that_was_set_makes_all_due() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("due.jsonl");
        let mut index = DueIndex::read(&path, &now(0));
        index.set(name("example.com"), due(Some(at(60)), at(900)));
        index.finish(&now(0)).unwrap();
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

    #[test]
    fn patrols_that_were_late_spread_again_and_the_others_keep_their_turn() {
        let scratch = tempfile::tempdir().unwrap();
        let mut index = DueIndex::read(&scratch.path().join("due.jsonl"), &now(0));
        let day = SignedDuration::from_hours(24);
        let names: Vec<_> = (0..2400).map(|number| name(&format!("d{number}.example"))).collect();
        for name in &names {
            index.set(name.clone(), due(None, at(0)));
        }
        let of = |index: &DueIndex, now: i64, until: i64| {
            names.iter().filter(|name| index.next_patrol(name, day, at(now)) <= at(now + until)).count()
        };
        let (hour, half, all) = (3600, 12 * 3600, 24 * 3600);
        assert_eq!((of(&index, 60, half), of(&index, 60, all)), (0, names.len()));
        assert!((40..200).contains(&of(&index, 2 * all, hour)));
        assert_eq!(of(&index, 2 * all, all), names.len());
    }
}
