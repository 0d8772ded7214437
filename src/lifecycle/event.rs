//! What can happen to a binding.

use std::fmt;

use super::sighting::{Seen, Sighting};
use crate::manifest::{EnteredBy, HeldReason, Meanwhile};
use crate::names::Selector;

/// What can happen to a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The publisher took the record.
    PublishAcknowledged,
    /// The operator says that the record is published.
    SaidPublished,
    /// The publisher, or what was seen, says that another value stands there.
    Contradicted {
        /// What it means.
        reason: HeldReason,
        /// What was seen, for people.
        evidence: String,
    },
    /// A round: every server was looked at.
    Looked(Box<Sighting>),
    /// Its turn came.
    Activated {
        /// Who says so.
        by: EnteredBy,
        /// What signed before.
        previous: Option<Selector>,
    },
    /// Another signs in its place, or the domain leaves, or it is no longer wanted.
    Retired {
        /// Who says so.
        by: EnteredBy,
        /// What signs in its place.
        successor: Option<Selector>,
    },
    /// Its record is about to be revoked or deleted: it can never sign again.
    WithdrawalBegun,
    /// The publisher took the record with an empty p=.
    RevocationAcknowledged,
    /// The publisher says that the record is gone.
    DeletionAcknowledged,
    /// Nothing can hold its record any longer.
    Forgotten,
    /// The operator says that others may have the private key.
    Compromised {
        /// Whether it signs on until another can.
        meanwhile: Meanwhile,
    },
}

impl Event {
    /// Which event it is; a look is named by what was seen.
    pub fn name(&self) -> EventName {
        match self {
            Self::PublishAcknowledged => EventName::PublishAcknowledged,
            Self::SaidPublished => EventName::SaidPublished,
            Self::Contradicted { .. } => EventName::Contradicted,
            Self::Looked(sighting) => match &sighting.seen {
                Seen::Everywhere => EventName::SeenEverywhere,
                Seen::Nowhere => EventName::SeenNowhere,
                Seen::Revoked => EventName::SeenRevoked,
                Seen::Partly => EventName::SeenPartly,
                Seen::Foreign { .. } => EventName::SeenForeign,
                Seen::Unknown { .. } => EventName::SeenUnknown,
            },
            Self::Activated { .. } => EventName::Activated,
            Self::Retired { .. } => EventName::Retired,
            Self::WithdrawalBegun => EventName::WithdrawalBegun,
            Self::RevocationAcknowledged => EventName::RevocationAcknowledged,
            Self::DeletionAcknowledged => EventName::DeletionAcknowledged,
            Self::Forgotten => EventName::Forgotten,
            Self::Compromised { .. } => EventName::Compromised,
        }
    }
}

/// Events without their facts: the columns of the table in docs/lifecycle.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "documented at Event and Seen")]
pub enum EventName {
    PublishAcknowledged,
    SaidPublished,
    Contradicted,
    SeenEverywhere,
    SeenNowhere,
    SeenRevoked,
    SeenPartly,
    SeenForeign,
    SeenUnknown,
    Activated,
    Retired,
    WithdrawalBegun,
    RevocationAcknowledged,
    DeletionAcknowledged,
    Forgotten,
    Compromised,
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
