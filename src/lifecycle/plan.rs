//! What is to be done about a domain's keys, given what was seen.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::event::Event;
use crate::dkim::Algorithm;
use crate::dkim::key::KeyId;
use crate::names::Selector;

/// When each key was last used to sign, as far as daemons wrote it down. Only ever lengthens a wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The newest signature with each key.
    pub last_used: BTreeMap<KeyId, Timestamp>,
    /// Daemons that sign from this store said that they have this revision of the manifest, or a newer one: all of
    /// them. None: nobody asked them, or not all answered.
    pub acknowledged_revision: Option<u64>,
}

/// How much is done without the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Automation {
    /// A publisher can write the domain's records, and the domain is enrolled: everything.
    Full,
    /// The operator writes the records: everything else, waiting for what the operator does to be seen.
    ByHand,
    /// Imported and not enrolled, or not looked after: reminders only.
    Reminders,
}

/// What is to be done, what is waited for, and what is wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is to be done now, in this order: at most one thing for each key. Each is safe by itself.
    pub actions: Vec<Action>,
    /// What keys wait for.
    pub waits: Vec<Wait>,
    /// What threatens that the domain's mail is signed and verified. Nothing else is loud.
    pub alarms: Vec<Alarm>,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Look at the record: nothing more is known to do without. The plan is made again afterwards.
    Observe {
        /// Whose record.
        selector: Selector,
        /// Whom to ask.
        depth: Depth,
    },
    /// Make a key and bind it.
    Generate {
        /// Of which algorithm.
        algorithm: Algorithm,
    },
    /// Publish the record; then [`Event::PublishAcknowledged`].
    Publish {
        /// Whose record.
        selector: Selector,
    },
    /// Replace the record by one with an empty p=; then [`Event::RevocationAcknowledged`].
    Revoke {
        /// Whose record.
        selector: Selector,
    },
    /// Delete the record by its value; then [`Event::DeletionAcknowledged`].
    Delete {
        /// Whose record.
        selector: Selector,
    },
    /// Wait until all daemons have the manifest as it is; see [`super::Schedule::acknowledge_within`].
    AwaitDaemons {
        /// Whose key they must have ceased to use.
        selector: Selector,
    },
    /// Change the manifest only.
    Change(Change),
}

/// Whom to ask for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Depth {
    /// Every authoritative server, and no resolver.
    Servers,
    /// Then also the validating resolver and the outside resolvers.
    Resolvers,
}

/// A change of the manifest that [`super::apply`] makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Something happened to one binding.
    Step {
        /// Which.
        selector: Selector,
        /// What.
        event: Event,
    },
    /// These keys, one of an algorithm, sign from now on; those that did retire.
    Activate {
        /// Their selectors, that of the RSA key first.
        selectors: Vec<Selector>,
    },
    /// Waits are counted on, so that a reboot does not cost them.
    Count,
}

/// What a key waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Which key; none: the domain.
    pub selector: Option<Selector>,
    /// What for.
    pub reason: WaitReason,
    /// When to look again, by the wall clock; none: when something else happens.
    pub until: Option<Timestamp>,
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitReason {
    /// The operator is to publish the record.
    PublishByHand,
    /// The record is to be seen on every server.
    Propagation {
        /// What is seen instead.
        seen: String,
    },
    /// More rounds, and more time between them.
    Rounds {
        /// Rounds so far.
        seen: u32,
    },
    /// Whatever resolvers remember is to expire, and `settle` to pass.
    Settle,
    /// Resolvers are to agree with the servers.
    Resolvers {
        /// What they say.
        evidence: String,
    },
    /// Its turn to sign: the key before it is young enough.
    Turn,
    /// A successor is to become Ready.
    Successor,
    /// Mail signed with it is under way.
    Mail,
    /// Daemons are to cease to use it.
    Daemons,
    /// The operator is to revoke or delete the record.
    WithdrawByHand,
    /// The empty p= is to be seen on every server.
    Revocation,
    /// The empty p= stays for a while.
    RevokedFor,
    /// The record is to vanish from every server.
    Deletion,
    /// The record is to expire from caches.
    Caches,
    /// Changes of its record are blocked.
    Held {
        /// Why.
        reason: crate::manifest::HeldReason,
        /// What was seen.
        evidence: String,
    },
    /// The wall clock was set.
    Clock {
        /// By how much.
        trouble: super::waits::ClockTrouble,
    },
    /// The operator is to rotate: the key is older than `key_age`.
    Reminder,
    /// The next key is to have a fixed slot.
    Slot {
        /// The next key's algorithm.
        algorithm: Algorithm,
        /// How many slots there are for it.
        slots: usize,
    },
}

/// What threatens that the domain's mail is signed and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// Which key; none: the domain.
    pub selector: Option<Selector>,
    /// What.
    pub threat: Threat,
    /// When it hurts everywhere, by the wall clock: until then caches may still have what is missing. None: it may hurt
    /// everywhere already.
    pub until: Option<Timestamp>,
}

/// What threatens the domain's mail.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Threat {
    /// The record of a key that signs is not on every server as it should be.
    ActiveRecord {
        /// What is seen.
        seen: String,
    },
    /// An enabled domain that signed has no key to sign with.
    NothingSigns,
    /// A key that others may have still signs, for want of another.
    CompromisedSigns,
    /// A key is compromised, and its record could not be revoked yet.
    CompromisedPublished,
}
