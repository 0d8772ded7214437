//! The file of one daemon, version 1: JSON.
//!
//! ```json
//! {
//!   "version": 1,
//!   "daemon": "mx1.example.net",
//!   "status": "running",
//!   "written": "2026-11-23T20:41:00Z",
//!   "not_listed": "2026-11-01T08:00:00Z",
//!   "acknowledged": { "example.com": 7 },
//!   "last_used": { "8f0c… 64 hex digits": "2026-11-23T20:40:58Z" }
//! }
//! ```
//!
//! Points in time are RFC 3339, in UTC, whole seconds, rounded up. A field that is unknown is refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dkim::key::KeyId;
use crate::names::DomainName;

/// What one daemon wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DaemonFile {
    /// The version of this format: 1.
    pub version: u32,
    /// The host's name; with a number where it has several daemons.
    pub daemon: String,
    /// Whether the daemon was to go on after it wrote this.
    pub status: Status,
    /// When it wrote this.
    pub written: Timestamp,
    /// A key that is not listed was used at this time at the latest.
    pub not_listed: Timestamp,
    /// The revisions of the domains that it was last asked to read anew.
    pub acknowledged: BTreeMap<DomainName, u64>,
    /// The last signature with each key.
    pub last_used: BTreeMap<KeyId, Timestamp>,
}

/// Whether a daemon goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It does, or it was killed since.
    Running,
    /// It ended in order.
    Stopped,
}

pub(super) const VERSION: u32 = 1;

/// More than a million keys take.
pub(super) const LARGEST: u64 = 256 << 20;

pub(super) fn path(directory: &Path, daemon: &str) -> PathBuf {
    directory.join(format!("evidence.{daemon}.json"))
}

/// Written, and not yet in place. Never read.
pub(super) fn path_of_new(directory: &Path, daemon: &str) -> PathBuf {
    directory.join(format!(".evidence.{daemon}.json.new"))
}

pub(super) fn path_of_lock(directory: &Path, daemon: &str) -> PathBuf {
    directory.join(format!("evidence.{daemon}.lock"))
}

pub(super) fn is_evidence(name: &str) -> bool {
    name.starts_with("evidence.") && name.ends_with(".json")
}

/// A host's name, as part of a file's name.
pub(super) fn daemon_name(host: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() || "-.".contains(letter) { letter } else { '_' };
    let name: String = host.chars().take(64).map(plain).collect();
    if name.is_empty() { "localhost".into() } else { name }
}
