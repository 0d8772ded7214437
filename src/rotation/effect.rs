//! What the machine asks for, and what it is told.

use jiff::Timestamp;

use crate::dkim::Algorithm;
use crate::dkim::key::{KeyId, PublicKey};
use crate::lifecycle::{Depth, Observed};
use crate::manifest::{DomainManifest, PrivateKeyPlace};
use crate::names::Selector;
use crate::observation::Txt;
use crate::record_format::PublishedRecord;

use super::audit::Entry;

/// One thing to do. Each can be done twice without harm, and left undone: a new machine finds out what is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Look at these records. Answered by [`Outcome::Observed`].
    Observe {
        /// Whose records.
        selectors: Vec<Selector>,
        /// Whom to ask.
        depth: Depth,
    },
    /// Make a key and keep its private part in memory for the [`Effect::Commit`] that follows. Answered by
    /// [`Outcome::Generated`].
    Generate {
        /// Of which algorithm.
        algorithm: Algorithm,
    },
    /// Write the manifest, if the store still has its revision. Answered by [`Outcome::Committed`] or
    /// [`Outcome::Overtaken`].
    Commit {
        /// As it is to be; it carries the revision that it was made from.
        manifest: Box<DomainManifest>,
        /// The generated key that it binds anew.
        new_key: Option<KeyId>,
    },
    /// Publish a record; another's stays. Answered by [`Outcome::Done`] or [`Outcome::Refused`].
    Publish {
        /// The record.
        record: PublishedRecord,
    },
    /// Replace a record that has one of these values. Answered by [`Outcome::Done`] or [`Outcome::Refused`].
    Revoke {
        /// What stands there as we write it.
        old: PublishedRecord,
        /// Other forms in which it was seen.
        standing: Vec<Txt>,
        /// With an empty p=.
        new: PublishedRecord,
    },
    /// Delete a record that has one of these values. Answered by [`Outcome::Done`] or [`Outcome::Refused`].
    Delete {
        /// What stands there as we write it: with the key, or with an empty p=.
        records: Vec<PublishedRecord>,
        /// Other forms in which it was seen.
        standing: Vec<Txt>,
    },
    /// Run a hook. Answered by [`Outcome::Done`] or [`Outcome::Refused`].
    Hook {
        /// Which.
        hook: Hook,
        /// For which keys.
        selectors: Vec<Selector>,
    },
    /// Wait until all daemons have this revision, at most `seconds`. Answered by [`Outcome::Acknowledged`] or
    /// [`Outcome::Refused`].
    AwaitDaemons {
        /// The revision of the manifest.
        revision: u64,
        /// How long to wait.
        seconds: u64,
    },
    /// Append these lines to the audit log, unless they are there. Answered by [`Outcome::Done`].
    Audit {
        /// The lines.
        entries: Vec<Entry>,
    },
    /// See to it that the private key is gone; one that is shared, if no other binding of any domain has it. Answered
    /// by [`Outcome::Done`].
    Destroy {
        /// The key's selector.
        selector: Selector,
        /// The key.
        key_id: KeyId,
        /// Where it was.
        place: PrivateKeyPlace,
    },
}

impl Effect {
    /// Whether it changes what the DNS says.
    pub fn changes_dns(&self) -> bool {
        matches!(self, Self::Publish { .. } | Self::Revoke { .. } | Self::Delete { .. })
    }
}

/// What came of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was asked for yet: the machine begins.
    Begin,
    /// It is done.
    Done,
    /// What was seen. Selectors that are missing could not be looked at.
    Observed(Vec<(Selector, Observed)>),
    /// The public part of the key that was made.
    Generated(PublicKey),
    /// The manifest as it was written.
    Committed(Box<DomainManifest>),
    /// Somebody else wrote meanwhile; nothing was written.
    Overtaken,
    /// All daemons have the revision.
    Acknowledged,
    /// It is to be done later: caches may hold what it rests on.
    Postponed {
        /// Whose key.
        selector: Selector,
        /// Until when.
        until: Timestamp,
    },
    /// It was not done, or nobody knows.
    Refused(Refusal),
}

/// Why an effect was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it means.
    pub kind: RefusalKind,
    /// In words, for people.
    pub detail: String,
}

/// What a refusal means for what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// Another's record stands there: the key is held.
    Conflict,
    /// Not all daemons said that they have ceased to use a key; they are waited for, and then it goes on without them.
    Unheard,
    /// Anything else: tried again by a later run.
    Failed,
}

/// A program of the operator's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hook {
    /// Before a record is published. Failing, it blocks that.
    PrePublish,
    /// After a key became Ready.
    PostReady,
    /// After a key became Active.
    PostActivate,
    /// Before a record is revoked or deleted. Failing, it blocks that.
    PreWithdraw,
}
