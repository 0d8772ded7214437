//! What the last run over all that is due came to, for whoever watches: a file that is replaced whole.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::crew::Halt;
use super::due::DueIndex;
use crate::manifest::{DomainManifest, StateName};

/// The file's name in the state directory.
const FILE: &str = "summary.json";

const VERSION: u32 = 1;

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
    /// Keys of the whole store by state, as they were when each domain was last looked at.
    pub keys: BTreeMap<String, u64>,
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
            keys: BTreeMap::new(),
        };
        let mut keys = [0_u64; STATES.len()];
        for known in index.all() {
            summary.failing += u64::from(known.failures > 0);
            summary.alarmed += u64::from(known.alarms > 0);
            summary.next_due = Some(summary.next_due.map_or(known.next(), |next| next.min(known.next())));
            for (sum, count) in keys.iter_mut().zip(known.keys.0) {
                *sum += u64::from(count);
            }
        }
        summary.keys = STATES.iter().map(StateName::to_string).zip(keys).collect();
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

    /// Replaces that of the run before, whole.
    ///
    /// # Errors
    /// If it cannot be written; the old one stays.
    pub fn write(&self, state_directory: &Path) -> Result<(), SummaryError> {
        let path = state_directory.join(FILE);
        let new = state_directory.join("summary.new");
        let write = || {
            let mut json = serde_json::to_vec_pretty(self)?;
            json.push(b'\n');
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
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
    use crate::lifecycle::{Silences, Witnessed};
    use crate::names::DomainName;
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
        summary.write(scratch.path()).unwrap();
        assert_eq!(RunSummary::read(scratch.path()).unwrap(), Some(summary));
        fs::write(scratch.path().join(FILE), "{}").unwrap();
        assert!(matches!(RunSummary::read(scratch.path()), Err(SummaryError::Malformed { .. })));
    }
}
