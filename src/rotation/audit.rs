//! The audit log's lines.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dkim::key::KeyId;
use crate::names::{DomainName, Selector};

/// One line: a transition of a key, or a change of DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Whose key.
    pub domain: DomainName,
    /// The revision of the manifest that has it: with `selector` and `what` it names the line.
    pub revision: u64,
    /// The key's selector.
    pub selector: Selector,
    /// The key.
    pub key_id: KeyId,
    /// What happened.
    pub what: What,
    /// The state, or the record, before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The state, or the record, after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Entry {
    /// What names the line, unique within the log: `domain revision selector what`.
    pub fn line_id(&self) -> String {
        format!("{} {} {} {}", self.domain, self.revision, self.selector, self.what)
    }
}

/// What an audit line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The key went from one state to another.
    Transition,
    /// Its record was published.
    Published,
    /// Its record was replaced by one with an empty p=.
    Revoked,
    /// Its record was deleted.
    Deleted,
    /// Changes of its record were blocked, or are no longer.
    Held,
    /// The operator said that others may have it.
    Compromised,
    /// Its private part was destroyed.
    Destroyed,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Transition => "transition",
            Self::Published => "published",
            Self::Revoked => "revoked",
            Self::Deleted => "deleted",
            Self::Held => "held",
            Self::Compromised => "compromised",
            Self::Destroyed => "destroyed",
        })
    }
}
