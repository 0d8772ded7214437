//! Reading what the daemons wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::file::{DaemonFile, LARGEST, Status, VERSION, is_evidence};
use crate::dkim::key::KeyId;
use crate::names::DomainName;

/// Why nothing is known: wait longer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// No daemon has written there.
    #[error("there is no evidence of signatures in {}; see [daemon] state in the daemon's configuration", path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// A file or the directory cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is far larger than any that a daemon writes.
    #[error("{} is larger than {LARGEST} octets; it is no evidence of signatures", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A file is broken.
    #[error("{} is no evidence of signatures", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A newer waxseal wrote a file.
    #[error("{} has version {version}; this waxseal reads version 1", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
}

/// What all daemons of one directory wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    daemons: Vec<DaemonFile>,
}

impl Evidence {
    /// When the key was last used, at the latest. A key that no daemon lists may have been used until the daemons began
    /// to write.
    pub fn last_use(&self, key: KeyId) -> Timestamp {
        let of_one = |daemon: &DaemonFile| daemon.last_used.get(&key).copied().unwrap_or(daemon.not_listed);
        self.daemons.iter().map(of_one).max().unwrap_or(Timestamp::MIN)
    }

    /// The same for all keys that some daemon lists.
    pub fn last_uses(&self) -> BTreeMap<KeyId, Timestamp> {
        let keys: BTreeSet<KeyId> = self.daemons.iter().flat_map(|daemon| daemon.last_used.keys().copied()).collect();
        keys.into_iter().map(|key| (key, self.last_use(key))).collect()
    }

    /// The oldest revision of a domain that some running daemon may sign with, after all were asked; none while one has
    /// not answered, and if none runs. A daemon that was killed counts as running: what it was is in [`Evidence::daemons`].
    pub fn acknowledged(&self, domain: &DomainName) -> Option<u64> {
        let running = self.daemons.iter().filter(|daemon| daemon.status == Status::Running);
        let revisions: Option<Vec<u64>> = running.map(|daemon| daemon.acknowledged.get(domain).copied()).collect();
        revisions?.into_iter().min()
    }

    /// Each daemon's file, by name: who has not answered, and since when it is silent.
    pub fn daemons(&self) -> &[DaemonFile] {
        &self.daemons
    }
}

/// Reads the files of all daemons. Blocks.
///
/// # Errors
/// If there is none, or one of them cannot be read: then nothing is known of that daemon's signatures, and rotation is to
/// wait as if each key had been used just now.
pub fn read(directory: &Path) -> Result<Evidence, EvidenceError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => EvidenceError::Missing { path: directory.to_owned() },
        _ => EvidenceError::Io { path: directory.to_owned(), source },
    };
    let mut daemons = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_str().is_some_and(is_evidence) {
            daemons.push(read_file(&entry.path())?);
        }
    }
    if daemons.is_empty() {
        return Err(EvidenceError::Missing { path: directory.to_owned() });
    }
    daemons.sort_by(|one, other| one.daemon.cmp(&other.daemon));
    Ok(Evidence { daemons })
}

/// One daemon's file.
pub(super) fn read_file(path: &Path) -> Result<DaemonFile, EvidenceError> {
    let failed = |source| EvidenceError::Io { path: path.to_owned(), source };
    if !fs::symlink_metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    }
    let mut octets = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut octets)).map_err(failed)?;
    if read as u64 > LARGEST {
        return Err(EvidenceError::TooLarge { path: path.to_owned() });
    }
    parse(&octets, path)
}

fn parse(octets: &[u8], path: &Path) -> Result<DaemonFile, EvidenceError> {
    #[derive(serde::Deserialize)]
    struct Version {
        version: u64,
    }
    let broken = |source| EvidenceError::Broken { path: path.to_owned(), source };
    let Version { version } = serde_json::from_slice(octets).map_err(broken)?;
    if version != u64::from(VERSION) {
        return Err(EvidenceError::Version { path: path.to_owned(), version });
    }
    serde_json::from_slice(octets).map_err(broken)
}
