//! What the last run over all that is due came to, for whoever watches: a file that is replaced whole.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::crew::Halt;
use super::due::{Due, DueIndex};
use crate::lifecycle::Silences;
use crate::manifest::{DomainManifest, StateName};
use crate::names::DomainName;

/// The file's name in the state directory.
const FILE: &str = "summary.json";

const VERSION: u32 = 1;

/// Domains that are named in each list.
const NAMED: usize = 20;

/// All states, in the order of a key's life.
const STATES: [StateName; 7] = [
    StateName::Generated,
    StateName::Published,
    StateName::Ready,
    StateName::Active,
    StateName::Retiring,
    StateName::Revoked,
    StateName::Withdrawn,
];

/// What the last run over all that is due came to. The names of its fields are stable; more may come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSummary {
    /// 1.
    pub version: u32,
    /// When the run began.
    pub begun: Timestamp,
    /// When it was done.
    pub ended: Timestamp,
    /// Domains in the key store.
    pub domains: u64,
    /// Those that the run was to look at, patrols included.
    pub due: u64,
    /// Of these, those of which only the patrol's turn had come.
    pub patrolled: u64,
    /// Those that it looked at and that did not fail.
    pub done: u64,
    /// Those for which something was changed, in the store or in DNS.
    pub changed: u64,
    /// Those for which something was refused or went wrong.
    pub failed: u64,
    /// Why it ended early; none: it did not.
    pub halted: Option<Halted>,
    /// Domains of the whole store for which something failed when they were last looked at, and is tried again.
    pub failing: u64,
    /// Domains of the whole store whose mail was at stake when they were last looked at.
    pub alarmed: u64,
    /// When the next domain is due, patrols included; none: none is.
    pub next_due: Option<Timestamp>,
    /// When the next wait of a key ends; none: nothing is waited for.
    #[serde(default)]
    pub next_transition: Option<Timestamp>,
    /// Keys of the whole store by state, as they were when each domain was last looked at.
    pub keys: BTreeMap<String, u64>,
    /// Domains of the whole store that have a key in each state.
    #[serde(default)]
    pub domains_with: BTreeMap<String, u64>,
    /// Domains of the whole store by what was found of their records when they were last looked at, each once, by the worst:
    /// `alarmed`, `failing`, `silent` (some server does not answer), `sound`.
    #[serde(default)]
    pub records: BTreeMap<String, u64>,
    /// The 20 domains whose waits end next, the first first.
    #[serde(default)]
    pub next: Vec<NextStep>,
    /// 20 of the domains that are alarmed or failing, the worst first.
    #[serde(default)]
    pub troubled: Vec<Troubled>,
}

/// A domain with a wait that ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextStep {
    /// The domain.
    pub domain: DomainName,
    /// When it ends.
    pub at: Timestamp,
}

/// A domain that is alarmed or failing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Troubled {
    /// The domain.
    pub domain: DomainName,
    /// Failures in a row.
    pub failures: u32,
    /// What threatens its mail.
    pub alarms: u32,
}

/// Why a run ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halted {
    /// So many domains failed,
    pub failed: u64,
    /// of so many that were looked at,
    pub finished: u64,
    /// and so many were not begun.
    pub left: u64,
}

/// The summary could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SummaryError {
    /// The file.
    #[error("cannot {action} {}, the summary of the last run", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not a summary, or one of a newer version.
    #[error("{} is no summary of a run", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
}

/// What a run did, while it does it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// As [`RunSummary::domains`].
    pub domains: u64,
    /// As [`RunSummary::due`].
    pub due: u64,
    /// As [`RunSummary::patrolled`].
    pub patrolled: u64,
    /// As [`RunSummary::done`].
    pub done: u64,
    /// As [`RunSummary::changed`].
    pub changed: u64,
    /// As [`RunSummary::failed`].
    pub failed: u64,
}

/// How many keys are in each state, in the order of [`StateName`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyCounts([u16; STATES.len()]);

impl RunSummary {
    /// Of a run, and of all domains as the index knows them after it.
    pub fn new(begun: Timestamp, ended: Timestamp, counted: Counted, halted: Option<Halt>, index: &DueIndex) -> Self {
        let Counted { domains, due, patrolled, done, changed, failed } = counted;
        let mut summary = Self {
            version: VERSION,
            begun,
            ended,
            domains,
            due,
            patrolled,
            done,
            changed,
            failed,
            halted: halted.map(Halted::from),
            failing: 0,
            alarmed: 0,
            next_due: None,
            next_transition: None,
            keys: BTreeMap::new(),
            domains_with: BTreeMap::new(),
            records: FOUND.iter().map(|found| ((*found).to_owned(), 0)).collect(),
            next: Vec::new(),
            troubled: Vec::new(),
        };
        let (mut keys, mut with) = ([0_u64; STATES.len()], [0_u64; STATES.len()]);
        for known in index.all() {
            summary.failing += u64::from(known.failures > 0);
            summary.alarmed += u64::from(known.alarms > 0);
            summary.next_due = Some(summary.next_due.map_or(known.next(), |next| next.min(known.next())));
            *summary.records.entry(found(known).to_owned()).or_default() += 1;
            for (state, count) in known.keys.0.into_iter().enumerate() {
                keys[state] += u64::from(count);
                with[state] += u64::from(count > 0);
            }
        }
        let by_state = |counts: [u64; STATES.len()]| STATES.iter().map(StateName::to_string).zip(counts).collect();
        (summary.keys, summary.domains_with) = (by_state(keys), by_state(with));
        summary.next = next(index);
        summary.next_transition = summary.next.first().map(|next| next.at);
        summary.troubled = troubled(index);
        summary
    }

    /// Reads that of the last run; none if there was none.
    ///
    /// # Errors
    /// If it cannot be read or is not one.
    pub fn read(state_directory: &Path) -> Result<Option<Self>, SummaryError> {
        let path = state_directory.join(FILE);
        match fs::read(&path) {
            Ok(json) => match serde_json::from_slice(&json) {
                Ok(summary) => Ok(Some(summary)),
                Err(source) => Err(SummaryError::Malformed { path, source }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(SummaryError::Io { action: "read", path, source }),
        }
    }

    /// Replaces that of the run before, whole. This group may read it, if we may give it to that group: the daemon's, which
    /// shows it.
    ///
    /// # Errors
    /// If it cannot be written; the old one stays.
    pub fn write(&self, state_directory: &Path, readers: Option<u32>) -> Result<(), SummaryError> {
        let path = state_directory.join(FILE);
        let new = state_directory.join("summary.new");
        let write = || {
            let mut json = serde_json::to_vec_pretty(self)?;
            json.push(b'\n');
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
            // Who is no member of it keeps the file to itself.
            if readers.is_some_and(|group| fchown(&file, None, Some(group)).is_ok()) {
                // Whatever the umask is.
                file.set_permissions(Permissions::from_mode(0o640))?;
            }
            file.write_all(&json)?;
            file.sync_data()?;
            fs::rename(&new, &path)
        };
        write().map_err(|source| {
            let _ = fs::remove_file(&new);
            SummaryError::Io { action: "write", path: path.clone(), source }
        })
    }
}

/// What may be found of a domain's records, from the worst.
const FOUND: [&str; 4] = ["alarmed", "failing", "silent", "sound"];

fn found(known: &Due) -> &'static str {
    match known {
        Due { alarms: 1.., .. } => FOUND[0],
        Due { failures: 1.., .. } => FOUND[1],
        Due { silences, .. } if *silences != Silences::default() => FOUND[2],
        _ => FOUND[3],
    }
}

/// The domains whose waits end next.
fn next(index: &DueIndex) -> Vec<NextStep> {
    let mut waiting: Vec<(Timestamp, &DomainName)> =
        index.domains().filter_map(|(domain, known)| Some((known.at?, domain))).collect();
    if waiting.len() > NAMED {
        waiting.select_nth_unstable(NAMED);
        waiting.truncate(NAMED);
    }
    waiting.sort_unstable();
    waiting.into_iter().map(|(at, domain)| NextStep { domain: domain.clone(), at }).collect()
}

/// Domains that are alarmed or failing.
fn troubled(index: &DueIndex) -> Vec<Troubled> {
    let mut troubled: Vec<(u32, u32, &DomainName)> = index
        .domains()
        .filter(|(_, known)| known.alarms > 0 || known.failures > 0)
        .map(|(domain, known)| (known.alarms, known.failures, domain))
        .collect();
    troubled.sort_unstable_by(|one, other| (other.0, other.1, one.2).cmp(&(one.0, one.1, other.2)));
    troubled.truncate(NAMED);
    let named =
        |(alarms, failures, domain): (u32, u32, &DomainName)| Troubled { domain: domain.clone(), failures, alarms };
    troubled.into_iter().map(named).collect()
}

impl KeyCounts {
    /// Those of one domain.
    pub fn of(manifest: &DomainManifest) -> Self {
        let mut counts = Self::default();
        for binding in manifest.bindings() {
            let state = binding.state.name();
            for (count, _) in counts.0.iter_mut().zip(STATES).filter(|(_, of)| *of == state) {
                *count = count.saturating_add(1);
            }
        }
        counts
    }
}

impl From<Halt> for Halted {
    fn from(Halt { failed, finished, left }: Halt) -> Self {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Self { failed: number(failed), finished: number(finished), left: number(left) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Witnessed;
    use crate::rotation::Due;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn it_tells_of_the_run_and_of_the_whole_store_and_is_read_as_it_was_written() {
        let scratch = tempfile::tempdir().unwrap();
        let now = Witnessed { wall: at(0), boot_id: "boot".into(), boot_time: std::time::Duration::ZERO };
        let mut index = DueIndex::read(&scratch.path().join("due.jsonl"), &now);
        for (name, failures, alarms, due) in [("a.example", 0, 0, None), ("b.example", 3, 1, Some(at(50)))] {
            let keys = KeyCounts([0, 1, 0, 2, 0, 0, 0]);
            let due = Due {
                stamp: 0,
                at: due,
                patrol: at(90),
                failures,
                audited: None,
                silences: Silences::default(),
                keys,
                alarms,
            };
            index.set(DomainName::parse(name).unwrap(), due);
        }
        assert_eq!(RunSummary::read(scratch.path()).unwrap(), None);
        let counted = Counted { domains: 2, due: 1, failed: 1, ..Counted::default() };
        let halt = Halt { failed: 1, finished: 1, left: 0 };
        let summary = RunSummary::new(at(0), at(7), counted, Some(halt), &index);
        assert_eq!((summary.failing, summary.alarmed, summary.next_due), (1, 1, Some(at(50))));
        let (published, active, ready) = (summary.keys["published"], summary.keys["active"], summary.keys["ready"]);
        assert_eq!((published, active, ready), (2, 4, 0));
        assert_eq!((summary.domains_with["active"], summary.next_transition), (2, Some(at(50))));
        assert_eq!((summary.records["alarmed"], summary.records["sound"]), (1, 1));
        assert_eq!(summary.next.iter().map(|next| next.domain.as_str()).collect::<Vec<_>>(), ["b.example"]);
        assert_eq!((summary.troubled.len(), summary.troubled[0].failures), (1, 3));
        let own = rustix::process::getegid().as_raw();
        summary.write(scratch.path(), Some(own)).unwrap();
        assert_eq!(RunSummary::read(scratch.path()).unwrap(), Some(summary));
        fs::write(scratch.path().join(FILE), "{}").unwrap();
        assert!(matches!(RunSummary::read(scratch.path()), Err(SummaryError::Malformed { .. })));
    }
}
