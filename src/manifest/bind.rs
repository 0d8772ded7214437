//! Binding a key: one that was just generated, or one that another signer used.

use jiff::Timestamp;

use super::v1::{Binding, DomainManifest, EnteredBy, Generated, Origin, PrivateKeyPlace, Published, State, Status};
use crate::dkim::key::PublicKey;
use crate::names::{DomainName, Selector};

/// The longest name that DNS carries, in octets without the final dot (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 253;

/// Why a key cannot be bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The selector has, or had, a key.
    #[error("selector {selector} of {domain} has had a key; a selector never gets a second one: choose another")]
    SelectorUsed {
        /// The domain.
        domain: DomainName,
        /// The selector.
        selector: Selector,
    },
    /// The fixed slot has a key, or something of the last one is left.
    #[error(
        "the slot {selector} of {domain} cannot have another key yet{}: wait, or add a slot and its CNAME",
        until.map(|until| format!(", not before {until:.0}")).unwrap_or_default()
    )]
    SlotTaken {
        /// The domain.
        domain: DomainName,
        /// The slot.
        selector: Selector,
        /// Until when, if that is known.
        until: Option<Timestamp>,
    },
    /// The record's name would not fit into DNS.
    #[error("{record} is {length} octets long; DNS carries names of {LONGEST_NAME}: choose a shorter selector")]
    NameTooLong {
        /// The record's name.
        record: String,
        /// Its length in octets.
        length: usize,
    },
    /// The domain is leaving or gone.
    #[error("{domain} is {}; it gets no new keys", status_word(*.status))]
    NotEnabled {
        /// The domain.
        domain: DomainName,
        /// What it is instead of enabled.
        status: Status,
    },
}

impl DomainManifest {
    /// Binds a generated key to a selector that was never used. The binding begins in Generated: nothing signs with it
    /// and nothing is in DNS.
    ///
    /// `record_ttl` is in seconds; `private_key` tells the store where to keep the private part.
    pub fn bind_generated(
        &self,
        selector: Selector,
        public_key: PublicKey,
        private_key: PrivateKeyPlace,
        record_ttl: u32,
        now: Timestamp,
    ) -> Result<Self, BindError> {
        let since = whole_seconds(now);
        let state = State::Generated(Generated { since, by: EnteredBy::Operator, largest_ttl: None });
        self.bind(selector, public_key, private_key, record_ttl, since, (state, Origin::Generated))
    }

    /// Binds a key that another signer used under this selector. The binding begins in Published, for its record is in
    /// DNS: it may be activated at once.
    pub fn bind_imported(
        &self,
        selector: Selector,
        public_key: PublicKey,
        private_key: PrivateKeyPlace,
        record_ttl: u32,
        now: Timestamp,
    ) -> Result<Self, BindError> {
        let since = whole_seconds(now);
        let state = State::Published(Published {
            since,
            by: EnteredBy::Import,
            acknowledged: None,
            rounds_seen: 0,
            first_seen: None,
            first_seen_after: None,
            confirmed_after: None,
            largest_ttl: None,
        });
        self.bind(selector, public_key, private_key, record_ttl, since, (state, Origin::Imported))
    }

    fn bind(
        &self,
        selector: Selector,
        public_key: PublicKey,
        private_key: PrivateKeyPlace,
        record_ttl: u32,
        created: Timestamp,
        state_and_origin: (State, Origin),
    ) -> Result<Self, BindError> {
        if self.has_used(&selector) && self.status == Status::Enabled {
            return Err(BindError::SelectorUsed { domain: self.domain.clone(), selector });
        }
        self.push(selector, public_key, private_key, record_ttl, created, state_and_origin)
    }

    /// Adds a binding, whatever its selector had before.
    pub(super) fn push(
        &self,
        selector: Selector,
        public_key: PublicKey,
        private_key: PrivateKeyPlace,
        record_ttl: u32,
        created: Timestamp,
        (state, origin): (State, Origin),
    ) -> Result<Self, BindError> {
        if self.status != Status::Enabled {
            return Err(BindError::NotEnabled { domain: self.domain.clone(), status: self.status });
        }
        let record = selector.record_name(&self.domain);
        if record.len() > LONGEST_NAME {
            return Err(BindError::NameTooLong { length: record.len(), record });
        }
        let mut next = self.clone();
        next.bindings.push(Binding {
            selector,
            state,
            held: None,
            compromised: None,
            witness: None,
            public_key,
            private_key,
            origin,
            created,
            record_ttl,
        });
        Ok(next)
    }
}

/// The point in time without its fraction of a second, as manifests hold it.
pub(super) fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

pub(super) fn status_word(status: Status) -> &'static str {
    match status {
        Status::Enabled => "enabled",
        Status::Leaving => "leaving",
        Status::Gone => "gone",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::key::Algorithm;
    use crate::manifest::{Presence, StateName};

    fn key(octet: u8) -> PublicKey {
        PublicKey::from_octets(Algorithm::Ed25519Sha256, &[octet; 32]).unwrap()
    }

    fn selector(name: &str) -> Selector {
        Selector::parse(name).unwrap()
    }

    fn empty() -> DomainManifest {
        DomainManifest::new(DomainName::parse("example.com").unwrap())
    }

    #[test]
    fn a_bound_key_is_generated_and_does_not_sign() {
        let now = "2026-11-23T16:37:31.999Z".parse().unwrap();
        let manifest = empty().bind_generated(selector("a"), key(1), PrivateKeyPlace::Own, 3600, now).unwrap();
        let binding = &manifest.bindings()[0];
        assert_eq!(binding.state.name(), StateName::Generated);
        assert_eq!(binding.created.to_string(), "2026-11-23T16:37:31Z");
        assert_eq!(manifest.presence(), Presence::NoActiveKey);
        assert_eq!(manifest.revision(), 0);
    }

    #[test]
    fn a_selector_never_gets_a_second_key() {
        let bind = |manifest: &DomainManifest| {
            manifest.bind_generated(selector("a"), key(1), PrivateKeyPlace::Own, 3600, Timestamp::UNIX_EPOCH)
        };
        let bound = bind(&empty()).unwrap();
        assert!(matches!(bind(&bound), Err(BindError::SelectorUsed { .. })));
        let mut buried = empty();
        buried.tombstones.push(crate::manifest::Tombstone {
            selector: selector("a"),
            key_id: key(2).id(),
            removed: Timestamp::UNIX_EPOCH,
            end: None,
        });
        assert!(matches!(bind(&buried), Err(BindError::SelectorUsed { .. })));
    }

    #[test]
    fn a_record_name_that_dns_cannot_carry_is_refused() {
        let long = selector(&["a".repeat(60), "b".repeat(60), "c".repeat(60), "d".repeat(55)].join("."));
        let error = empty().bind_generated(long, key(1), PrivateKeyPlace::Own, 3600, Timestamp::UNIX_EPOCH);
        assert!(matches!(error, Err(BindError::NameTooLong { length: 261, .. })), "{error:?}");
    }

    #[test]
    fn an_imported_key_is_published_and_can_be_activated() {
        let imported =
            empty().bind_imported(selector("mail"), key(1), PrivateKeyPlace::Own, 3600, Timestamp::UNIX_EPOCH).unwrap();
        let binding = &imported.bindings()[0];
        assert_eq!((binding.state.name(), binding.origin), (StateName::Published, Origin::Imported));
        let activated = imported.activate(crate::manifest::Choice::Newest, Default::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(activated.unwrap().manifest.presence(), Presence::Active);
        let again = imported.bind_imported(selector("mail"), key(2), PrivateKeyPlace::Own, 3600, Timestamp::UNIX_EPOCH);
        assert!(matches!(again, Err(BindError::SelectorUsed { .. })));
    }
}
