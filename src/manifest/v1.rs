//! The manifest's format, version 1: JSON, with its fields in the order given here.
//!
//! ```json
//! {
//!   "version": 1,
//!   "revision": 2,
//!   "domain": "example.com",
//!   "status": "enabled",
//!   "bindings": [
//!     {
//!       "selector": "20261123e",
//!       "state": { "active": { "since": "2026-11-23T16:37:31Z", "by": "operator" } },
//!       "key_id": "8f0c… 64 hex digits",
//!       "algorithm": "ed25519-sha256",
//!       "bits": 256,
//!       "public_key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
//!       "private_key": "own",
//!       "origin": "generated",
//!       "created": "2026-11-23T16:30:02Z",
//!       "record_ttl": 3600
//!     }
//!   ],
//!   "tombstones": []
//! }
//! ```
//!
//! Points in time are RFC 3339, in UTC, whole seconds; spans and TTLs are seconds. A field that is unknown is refused,
//! lest an older waxseal drop what a newer one wrote; a field that says nothing is left out.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::dkim::key::{Algorithm, KeyId, PublicKey};
use crate::names::{DomainName, Selector};

/// Everything about the keys of one domain. Valid by construction; see [`DomainManifest::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainManifest {
    pub(super) revision: u64,
    pub(super) domain: DomainName,
    pub(super) status: Status,
    pub(super) bindings: Vec<Binding>,
    pub(super) tombstones: Vec<Tombstone>,
}

impl DomainManifest {
    /// A domain that has no keys yet and was never written.
    pub fn new(domain: DomainName) -> Self {
        Self { revision: 0, domain, status: Status::Enabled, bindings: Vec::new(), tombstones: Vec::new() }
    }

    /// `revision`: how often this manifest was written; 0 when it never was. A store raises it by one with each
    /// commit, and commits only onto the revision that the change was made from.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The same manifest as the commit that follows writes it: for whoever implements a store.
    pub fn with_next_revision(mut self) -> Self {
        self.revision = self.revision.saturating_add(1);
        self
    }

    /// `domain`: whose keys these are; d= of the signatures (RFC 6376 §3.5).
    pub fn domain(&self) -> &DomainName {
        &self.domain
    }

    /// `status`: whether the domain is signed for at all.
    pub fn status(&self) -> Status {
        self.status
    }

    /// `bindings`: the keys under their selectors, oldest first.
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// The binding of one selector.
    pub fn binding(&self, selector: &Selector) -> Option<&Binding> {
        self.bindings.iter().find(|binding| binding.selector == *selector)
    }

    /// `tombstones`: selectors that were used once and never may be again, but for fixed slots.
    pub fn tombstones(&self) -> &[Tombstone] {
        &self.tombstones
    }

    /// Whether a selector has, or ever had, a key.
    pub fn has_used(&self, selector: &Selector) -> bool {
        self.binding(selector).is_some() || self.tombstones.iter().any(|stone| stone.selector == *selector)
    }

    /// The bindings whose keys sign now: Active, of an enabled domain, and not stopped by a compromise.
    pub fn signing(&self) -> impl Iterator<Item = &Binding> {
        self.bindings.iter().filter(|binding| {
            self.status == Status::Enabled && !binding.is_stopped() && binding.state.name() == StateName::Active
        })
    }

    /// What the domain has to sign with, as far as the manifest can tell.
    pub fn presence(&self) -> Presence {
        match self.signing().next() {
            Some(_) => Presence::Active,
            None => Presence::NoActiveKey,
        }
    }
}

/// What a domain has to sign with. Whether its private keys can be read is another matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// The store has no manifest of this domain.
    NoSuchDomain,
    /// It has one, but no key of it is to sign: none was ever activated, or the domain is leaving or gone.
    NoActiveKey,
    /// At least one key is to sign.
    Active,
}

/// Whether a domain is signed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Signed for, and its keys looked after.
    Enabled,
    /// Off-boarding: no longer signed for; its keys retire, are revoked, withdrawn and destroyed.
    Leaving,
    /// Not delegated to us any more: nothing is signed, published or checked, and nothing is said about it.
    Gone,
}

/// A key under a selector of the domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// `selector`: s= of the signatures (RFC 6376 §3.1), in A-labels.
    pub selector: Selector,
    /// `state`: where the binding stands, with the facts and deadlines of that state.
    pub state: State,
    /// `held`: changes of its DNS record are blocked, and why. An Active key goes on signing.
    pub held: Option<Held>,
    /// `compromised`: the operator said that others may have the private key. It signs no more, unless told to sign on
    /// until another can.
    pub compromised: Option<Compromised>,
    /// `witness`: how much of the present state's wait has been seen to pass.
    pub witness: Option<Witness>,
    /// `key_id`, `algorithm`, `bits` and `public_key` (what p= says, RFC 6376 §3.6.1): the key.
    pub public_key: PublicKey,
    /// `private_key`: where the private part is.
    pub private_key: PrivateKeyPlace,
    /// `origin`: where the key came from.
    pub origin: Origin,
    /// `created`: when the binding was made.
    pub created: Timestamp,
    /// `record_ttl`: the TTL, in seconds, that the published record is meant to have.
    pub record_ttl: u32,
}

impl Binding {
    /// The key's id.
    pub fn key_id(&self) -> KeyId {
        self.public_key.id()
    }

    /// a= of its signatures.
    pub fn algorithm(&self) -> Algorithm {
        self.public_key.algorithm()
    }

    /// Whether it must not sign, because others may have the key.
    pub fn is_stopped(&self) -> bool {
        self.compromised.as_ref().is_some_and(|compromised| compromised.meanwhile == Meanwhile::Stop)
    }
}

/// Where a binding stands. Each state carries when it was entered (`since`), who entered it (`by`), and what is known
/// or waited for there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Key and manifest are on stable storage; nothing is in DNS.
    Generated(Generated),
    /// The record was accepted by whatever publishes it; not every server need have it yet.
    Published(Published),
    /// Every server has it, and whatever was cached before has expired.
    Ready(Ready),
    /// It signs.
    Active(Active),
    /// Published still, for mail under way; signs no more. The private key is kept.
    Retiring(Retiring),
    /// Published with an empty p= (RFC 6376 §3.6.1); the private key is destroyed.
    Revoked(Revoked),
    /// Its record is deleted.
    Withdrawn(Withdrawn),
}

impl State {
    /// Which of the states it is.
    pub fn name(&self) -> StateName {
        match self {
            Self::Generated(_) => StateName::Generated,
            Self::Published(_) => StateName::Published,
            Self::Ready(_) => StateName::Ready,
            Self::Active(_) => StateName::Active,
            Self::Retiring(_) => StateName::Retiring,
            Self::Revoked(_) => StateName::Revoked,
            Self::Withdrawn(_) => StateName::Withdrawn,
        }
    }

    /// Whether its record is being revoked or deleted, or is gone: it can never sign again.
    pub fn is_being_withdrawn(&self) -> bool {
        match self {
            Self::Retiring(state) => state.withdrawal_begun.is_some(),
            Self::Revoked(_) | Self::Withdrawn(_) => true,
            Self::Generated(_) | Self::Published(_) | Self::Ready(_) | Self::Active(_) => false,
        }
    }

    /// When it was entered.
    pub fn since(&self) -> Timestamp {
        match self {
            Self::Generated(state) => state.since,
            Self::Published(state) => state.since,
            Self::Ready(state) => state.since,
            Self::Active(state) => state.since,
            Self::Retiring(state) => state.since,
            Self::Revoked(state) => state.since,
            Self::Withdrawn(state) => state.since,
        }
    }

    /// The largest TTL, in seconds, that was seen on the way to the record, where the state keeps it.
    pub fn largest_ttl(&self) -> Option<u32> {
        match self {
            Self::Published(state) => state.largest_ttl,
            Self::Ready(state) => Some(state.largest_ttl),
            Self::Active(state) => state.largest_ttl,
            Self::Retiring(state) => state.largest_ttl,
            Self::Revoked(state) => state.largest_ttl,
            Self::Generated(state) => state.largest_ttl,
            Self::Withdrawn(_) => None,
        }
    }
}

/// The states without their facts, in the order of a key's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "documented at State")]
pub enum StateName {
    Generated,
    Published,
    Ready,
    Active,
    Retiring,
    Revoked,
    Withdrawn,
}

impl StateName {
    /// The state as manifests and reports write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generated => "generated",
            Self::Published => "published",
            Self::Ready => "ready",
            Self::Active => "active",
            Self::Retiring => "retiring",
            Self::Revoked => "revoked",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl std::fmt::Display for StateName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who or what moved a binding into its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnteredBy {
    /// The conditions of the state before were met and its waits had passed.
    Waits,
    /// An operator said so, whatever the conditions.
    Operator,
    /// It came so from another signer.
    Import,
}

/// Facts of [`State::Generated`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generated {
    /// When it was entered.
    pub since: Timestamp,
    /// By whom.
    pub by: EnteredBy,
    /// The TTL, in seconds, of another key's record that caches may still hold under this selector: that of the last key
    /// of a fixed slot, which an operator removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_ttl: Option<u32>,
}

/// Facts of [`State::Published`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// When it was entered.
    pub since: Timestamp,
    /// By whom.
    pub by: EnteredBy,
    /// When the publisher acknowledged the record; absent where an operator published it by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Timestamp>,
    /// How many rounds in a row have found it on every server that is asked.
    #[serde(default)]
    pub rounds_seen: u32,
    /// When the first of these rounds was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    /// Seconds of this state that were witnessed when the first of these rounds was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen_after: Option<u64>,
    /// Seconds of this state that were witnessed when there had been rounds enough; from then on it settles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_after: Option<u64>,
    /// The largest TTL, in seconds, seen so far on the way to the record, CNAMEs and negative answers included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_ttl: Option<u32>,
}

/// Facts of [`State::Ready`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ready {
    /// When it was entered.
    pub since: Timestamp,
    /// By whom.
    pub by: EnteredBy,
    /// From when on no resolver can hold anything older than the record.
    pub settled: Timestamp,
    /// The largest TTL, in seconds, seen on the way to the record, CNAMEs included.
    pub largest_ttl: u32,
    /// When it was last seen on every server that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
}

/// Facts of [`State::Active`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Active {
    /// When it was entered.
    pub since: Timestamp,
    /// By whom.
    pub by: EnteredBy,
    /// The selector that signed before with the same algorithm, if any did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Selector>,
    /// The largest TTL, in seconds, seen on the way to the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_ttl: Option<u32>,
}

/// Facts of [`State::Retiring`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retiring {
    /// When it was entered: the commit that made its successor Active, if it has one.
    pub since: Timestamp,
    /// By whom.
    pub by: EnteredBy,
    /// The selector that signs in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Selector>,
    /// Mail signed with it may be under way until then. Evidence of later use only ever moves this on.
    pub not_withdrawn_before: Timestamp,
    /// The newest evidence that it signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
    /// The largest TTL, in seconds, seen on the way to the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_ttl: Option<u32>,
    /// When its record was about to be revoked or deleted. From then on it can never sign again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawal_begun: Option<Timestamp>,
    /// When the publisher acknowledged the record with an empty p=, or the deletion of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Timestamp>,
}

/// Facts of [`State::Revoked`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// When it was entered: the empty p= was seen on every server that is asked.
    pub since: Timestamp,
    /// By whom.
    pub by: EnteredBy,
    /// The empty record stays at least until then.
    pub not_withdrawn_before: Timestamp,
    /// The largest TTL, in seconds, seen on the way to the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_ttl: Option<u32>,
    /// When the publisher acknowledged the deletion of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Timestamp>,
}

/// Facts of [`State::Withdrawn`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Withdrawn {
    /// When it was entered: no server that is asked has the record.
    pub since: Timestamp,
    /// By whom.
    pub by: EnteredBy,
    /// When no resolver can hold the record any longer and the binding becomes a tombstone.
    pub forgotten_after: Timestamp,
}

/// Changes of the DNS record are blocked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// When it was noticed.
    pub since: Timestamp,
    /// Why. Clears itself when its cause does.
    pub reason: HeldReason,
    /// What was seen, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// Why a binding is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeldReason {
    /// A record that is not ours stands at the name where ours is to go.
    Conflict,
    /// Our record was changed by someone else.
    Drift,
}

/// Others may have the private key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compromised {
    /// When the operator said so.
    pub since: Timestamp,
    /// What an Active key does until another can sign in its place.
    #[serde(default, skip_serializing_if = "Meanwhile::is_default")]
    pub meanwhile: Meanwhile,
}

/// What a compromised key does until another can sign in its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Meanwhile {
    /// It signs no more, whatever becomes of the mail.
    #[default]
    Stop,
    /// It signs on: mail is signed, by us and perhaps by others.
    Sign,
}

/// How much of a wait has been seen to pass, so that a clock that was set cannot shorten it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// Seconds of the present state that have been witnessed.
    pub waited: u64,
    /// The wall clock when they were last counted.
    pub at: Timestamp,
    /// The boot in which they were last counted (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// Seconds of CLOCK_BOOTTIME when they were last counted.
    pub boot_time: u64,
}

impl Meanwhile {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Where the private part of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrivateKeyPlace {
    /// With the domain.
    Own,
    /// With the keys that several bindings use.
    Shared,
    /// Nowhere here: it was destroyed, or this manifest was made for the public.
    None,
}

/// Where a key came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Made by waxseal.
    Generated,
    /// Taken over from another signer, under its selector.
    Imported,
}

/// What is left of a binding: its selector never gets another key, unless it is a fixed slot ([`super::Slots`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tombstone {
    /// The selector that was used.
    pub selector: Selector,
    /// The key it had.
    pub key_id: KeyId,
    /// When the binding was removed.
    pub removed: Timestamp,
    /// How, and what may be left of its key; absent where an older waxseal removed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

/// How a key ended, which says when a fixed slot may have another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum End {
    /// Its life ran its course: no mail signed with it is under way, every server was seen without its record, and no cache
    /// can hold it.
    Forgotten,
    /// An operator removed it. Its record may stand in DNS.
    Removed {
        /// Mail signed with it may be under way until then.
        mail_until: Timestamp,
        /// The largest TTL, in seconds, of its record.
        largest_ttl: u32,
    },
}
