//! What an observation comes to for one binding.

use std::collections::BTreeMap;

use crate::names::Selector;
use crate::observation::{Observation, Recursive, Server, Txt};

use super::silence::Silences;
use super::waits::Witnessed;

/// What was seen of a domain's records, each as of its own time. A selector that is missing was not looked at.
#[derive(Debug, Clone, Default)]
pub struct Observations {
    /// The newest look at each selector's record.
    pub seen: BTreeMap<Selector, Observed>,
    /// Since when servers are silent, for looks before these too.
    pub silences: Silences,
}

/// One look at one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// What every server said, and the validating resolver if it was asked.
    pub observation: Observation,
    /// What the outside resolvers said; empty if none is configured or they were not asked.
    pub outside: Vec<Recursive>,
    /// When.
    pub at: Witnessed,
}

/// What an observation comes to for one binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// What stands there.
    pub seen: Seen,
    /// The largest TTL, in seconds, of records and CNAMEs on the way; 0 if there were none.
    pub largest_ttl: u32,
    /// The largest time, in seconds, for which resolvers remember that there is no record (RFC 2308 §5).
    pub negative_ttl: u32,
    /// Servers whose silence was passed over.
    pub excuses: Vec<Excuse>,
    /// Whether resolvers say the same as the servers.
    pub resolvers: Resolvers,
    /// The forms in which our record stands: what may be replaced or deleted, by value.
    pub standing: Vec<Txt>,
    /// When it was seen.
    pub at: Witnessed,
}

/// What stands at a record's name, on all servers that are asked together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Every asked server has a record equivalent to ours.
    Everywhere,
    /// Every asked server says that there is none.
    Nowhere,
    /// Every asked server has it with an empty p=.
    Revoked,
    /// Some have ours, some none or an empty one: on its way in or out.
    Partly,
    /// Somebody else's value stands there, or leads elsewhere.
    Foreign {
        /// What, and where, for people.
        evidence: String,
    },
    /// Servers that are not excused did not answer, or who is to be asked is not known.
    Unknown {
        /// Why, for people.
        reason: String,
    },
}

/// A server whose silence was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excuse {
    /// The server.
    pub server: Server,
    /// For how many seconds it has been silent.
    pub silent_for: u64,
}

/// What resolvers say, beside the servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolvers {
    /// They were not asked.
    NotAsked,
    /// All have a record equivalent to ours; none found DNSSEC wrong.
    Agree,
    /// At least one says otherwise or nothing.
    Differ {
        /// Which and what, for people.
        evidence: String,
    },
}
