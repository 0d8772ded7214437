//! What the last run of `waxseal rotate` came to, as it left it for whoever watches: `summary.json` (docs/operating.md). So the
//! daemon knows where the keys of all domains stand without looking through the key store.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

/// The states of keys, in the order of a key's life.
pub const STATES: [&str; 7] = ["generated", "published", "ready", "active", "retiring", "revoked", "withdrawn"];

/// More than any summary has; a longer file is some other file.
const MOST: u64 = 1 << 20;

/// What of the summary is shown. What an older version did not write is empty.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RotationSummary {
    /// When the run was done.
    pub ended: Timestamp,
    /// Domains in the key store.
    pub domains: u64,
    /// Domains that the run was to look at.
    pub due: u64,
    /// Domains for which it changed something.
    pub changed: u64,
    /// Domains for which something was refused or went wrong.
    pub failed: u64,
    /// Whether it ended early.
    pub halted: Option<Halted>,
    /// Domains of the whole store that failed when they were last looked at.
    pub failing: u64,
    /// Domains of the whole store whose mail was at stake when they were last looked at.
    pub alarmed: u64,
    /// When the next domain is due, patrols included.
    pub next_due: Option<Timestamp>,
    /// When the next key may change its state.
    #[serde(default)]
    pub next_transition: Option<Timestamp>,
    /// Keys of the whole store by state.
    pub keys: BTreeMap<String, u64>,
    /// Domains that have a key in each state.
    #[serde(default)]
    pub domains_with: BTreeMap<String, u64>,
    /// Domains whose records were looked at, by what was found.
    #[serde(default)]
    pub records: BTreeMap<String, u64>,
    /// The domains that are due next, the first first.
    #[serde(default)]
    pub next: Vec<Next>,
    /// Some of the domains that fail or whose mail is at stake, the worst first.
    #[serde(default)]
    pub troubled: Vec<Troubled>,
}

/// Why a run ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Halted {
    /// So many domains failed,
    pub failed: u64,
    /// and so many were not begun.
    pub left: u64,
}

/// A domain that is due soon.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Next {
    /// The domain.
    pub domain: String,
    /// When.
    pub at: Timestamp,
}

/// A domain that fails, or whose mail is at stake.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Troubled {
    /// The domain.
    pub domain: String,
    /// Failures in a row.
    pub failures: u32,
    /// What threatens its mail.
    pub alarms: u32,
}

/// Why there is no summary although there is a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotationSummaryError {
    /// The file cannot be read.
    #[error("cannot read {}, the summary of the last rotation", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no summary.
    #[error("{} is no summary of a rotation", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: serde_json::Error,
    },
}

impl RotationSummary {
    /// Reads it from the state directory of rotation; none if nothing was ever rotated. Blocks on the file system.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub fn read(state_directory: &Path) -> Result<Option<Self>, RotationSummaryError> {
        let path = state_directory.join("summary.json");
        let mut json = Vec::new();
        match File::open(&path).and_then(|file| file.take(MOST).read_to_end(&mut json)) {
            Ok(_) => match serde_json::from_slice(&json) {
                Ok(summary) => Ok(Some(summary)),
                Err(source) => Err(RotationSummaryError::Malformed { path, source }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(RotationSummaryError::Read { path, source }),
        }
    }

    /// How many keys are in a state.
    pub fn keys(&self, state: &str) -> u64 {
        self.keys.get(state).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_summary_of_an_older_version_is_read_and_another_file_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        assert!(RotationSummary::read(scratch.path()).unwrap().is_none());
        let json = r#"{"version":1,"begun":"2026-11-24T02:00:00Z","ended":"2026-11-24T02:00:07Z","domains":2,"due":1,
            "patrolled":0,"done":1,"changed":1,"failed":0,"halted":null,"failing":0,"alarmed":0,"next_due":null,
            "keys":{"active":4}}"#;
        fs::write(scratch.path().join("summary.json"), json).unwrap();
        let summary = RotationSummary::read(scratch.path()).unwrap().unwrap();
        assert_eq!((summary.keys("active"), summary.keys("ready"), summary.next.len()), (4, 0, 0));
        fs::write(scratch.path().join("summary.json"), "{}").unwrap();
        assert!(matches!(RotationSummary::read(scratch.path()), Err(RotationSummaryError::Malformed { .. })));
    }
}
