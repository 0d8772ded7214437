//! What is judged: what we hold, beside what was seen.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};

use crate::dkim::PublicKey;
use crate::manifest::StateName;
use crate::names::{DomainName, Selector};
use crate::observation::{Dmarc, Observation};

/// A domain with the keys that are verified.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The domain.
    pub domain: DomainName,
    /// Its keys.
    pub keys: Vec<KeySubject>,
    /// What its DMARC record says.
    pub dmarc: Dmarc,
    /// Whether mail of its subdomains is signed with its keys (`subdomains = true`).
    pub signs_subdomains: bool,
    /// i= of its signatures, where one is configured.
    pub auid: Option<String>,
}

/// One key record.
#[derive(Debug, Clone)]
pub struct KeySubject {
    /// Its selector.
    pub selector: Selector,
    /// What we hold; none where only DNS is to be looked at.
    pub held: Option<HeldKey>,
    /// What was seen.
    pub observation: Observation,
}

/// A key that we hold, as the manifest has it.
#[derive(Debug, Clone)]
pub struct HeldKey {
    /// Its public part.
    pub public_key: PublicKey,
    /// Where it stands.
    pub state: StateName,
    /// When it was made.
    pub created: Timestamp,
    /// The TTL that its record is meant to have, in seconds.
    pub record_ttl: u32,
    /// Whether it is declared to be shared with other domains.
    pub is_shared: bool,
    /// Other bindings that have the same key.
    pub same_key: Vec<(DomainName, Selector)>,
    /// How its private part is kept.
    pub private_key: PrivateKeyAccess,
}

/// Who can read a private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrivateKeyAccess {
    /// Only those who should.
    Safe,
    /// There is none here, as in CI.
    NotHere,
    /// Others can.
    Exposed {
        /// Its file.
        path: PathBuf,
        /// What is wrong, and the command that sets it right.
        detail: String,
    },
}

/// What is wanted beyond the standards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// Keys older than this are to be replaced.
    pub key_age: SignedDuration,
    /// Whether zones must be signed.
    pub dnssec: Dnssec,
    /// Whether a key is to stand by.
    pub standby: Standby,
}

/// Whether an unsigned zone is a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dnssec {
    /// It is: a warning.
    Wanted,
    /// It is worth knowing.
    Optional,
}

/// Whether a domain without a Ready key is worth a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standby {
    /// It is.
    Wanted,
    /// It is not.
    Optional,
}

impl Default for Wishes {
    /// Half a year, as the rotation schedule; DNSSEC optional; a standby wanted.
    fn default() -> Self {
        Self { key_age: SignedDuration::from_hours(180 * 24), dnssec: Dnssec::Optional, standby: Standby::Wanted }
    }
}
