//! What a domain's keys are: one document a domain, the same on disk, in a database and in a public export.
//!
//! A **key** is immutable material, known by the SHA-256 of its public part. A **binding** is a key under a selector of
//! a domain, with its state. A selector never gets a second key, unless it is a fixed slot ([`Slots`]): a binding that
//! has run its course leaves a tombstone.
//!
//! ```text
//! Generated ──▶ Published ──▶ Ready ──▶ Active ──▶ Retiring ──▶ Revoked ──▶ Withdrawn ──▶ (tombstone)
//!     │             │                     ▲ ▲          │
//!     └─────────────┴── operator ─────────┘ └─operator─┘          beside every state: held, compromised
//! ```
//!
//! [`v1`] is the format, field by field. [`DomainManifest::parse`] accepts only what makes sense: a manifest that
//! exists is valid. Changes are functions from one manifest to the next; a store writes the result if nobody was
//! faster (the revision tells).
//!
//! A **public manifest** ([`PublicManifest`]) holds the public parts of many domains in one file, for git and CI.
//!
//! Deliberately absent: files, time and randomness. Stores do the first, callers give the others.

mod activate;
mod bind;
mod parse;
mod public;
mod publish;
mod remove;
mod selectors;
mod slots;
pub mod v1;

pub use activate::{ActivateError, Activation, Choice, RetirementWaits};
pub use bind::BindError;
pub use parse::{Contradiction, ManifestError};
pub use public::{PublicDomain, PublicKeys, PublicManifest, PublicManifestError, PublicManifestWriter};
pub use publish::Acknowledgement;
pub use remove::{Reluctance, Removal, RemoveError};
pub use selectors::{SelectorTemplate, SelectorTemplateError};
pub(crate) use slots::bury;
pub use slots::{Slot, Slots};
pub use v1::{
    Active, Binding, Compromised, DomainManifest, End, EnteredBy, Generated, Held, HeldReason, Meanwhile, Origin,
    Presence, PrivateKeyPlace, Published, Ready, Retiring, Revoked, State, StateName, Status, Tombstone, Withdrawn,
    Witness,
};
