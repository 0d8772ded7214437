//! Fixed slots: the few selectors of a domain that has a CNAME for each, written once by whoever runs its zone.

use jiff::Timestamp;

use super::bind::{BindError, whole_seconds};
use super::v1::{DomainManifest, End, EnteredBy, Generated, Origin, PrivateKeyPlace, State, Tombstone};
use crate::dkim::key::{Algorithm, PublicKey};
use crate::names::{DomainName, Selector};

/// The selectors that a domain has CNAMEs for.
///
/// They are the one exception to "a selector never gets a second key": there are no others. docs/lifecycle.md says
/// what has to be over before one is used again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slots {
    rsa: Vec<Slot>,
    ed25519: Vec<Slot>,
}

/// One selector of a domain, and where its CNAME leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// The selector.
    pub selector: Selector,
    /// The name at which its key's record stands.
    pub target: DomainName,
}

impl Slots {
    /// Slots for RSA keys and slots for Ed25519 keys.
    pub fn new(rsa: Vec<Slot>, ed25519: Vec<Slot>) -> Self {
        Self { rsa, ed25519 }
    }

    /// Those for keys of one algorithm, in the order in which they are used first.
    pub fn of(&self, algorithm: Algorithm) -> &[Slot] {
        match algorithm {
            Algorithm::RsaSha256 => &self.rsa,
            Algorithm::Ed25519Sha256 => &self.ed25519,
        }
    }

    /// All of them, those for RSA first.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.rsa.iter().chain(&self.ed25519)
    }

    /// Where the record of a selector's key stands; none if the selector is no slot.
    pub fn target(&self, selector: &Selector) -> Option<&DomainName> {
        self.iter().find(|slot| slot.selector == *selector).map(|slot| &slot.target)
    }
}

/// Whether a selector may get a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vacancy {
    /// It never had one.
    Unused,
    /// The last one is over, since then.
    Free { since: Timestamp },
    /// Not before then; none: not known.
    Taken { until: Option<Timestamp> },
}

impl Tombstone {
    /// From when on the selector may have another key, if it is a fixed slot: none if that is not known.
    pub fn rests_until(&self) -> Option<Timestamp> {
        match self.end? {
            End::Forgotten => Some(self.removed),
            End::Removed { mail_until, .. } => Some(mail_until),
        }
    }

    /// Whether nothing of its key is left that could be mistaken for another's, as of `now`.
    fn is_over(&self, now: Timestamp) -> bool {
        match self.end {
            // Waited for in time that was seen to pass, so the clock does not count.
            Some(End::Forgotten) => true,
            Some(End::Removed { mail_until, .. }) => mail_until <= now,
            None => false,
        }
    }
}

impl DomainManifest {
    /// The slot for the next key of an algorithm: one that never had any, else the one whose key has been over for
    /// the longest time. None if all are taken.
    pub fn free_slot<'s>(&self, slots: &'s Slots, algorithm: Algorithm, now: Timestamp) -> Option<&'s Slot> {
        let free = slots.of(algorithm).iter().filter_map(|slot| match self.vacancy(&slot.selector, now) {
            Vacancy::Unused => Some((None, slot)),
            Vacancy::Free { since } => Some((Some(since), slot)),
            Vacancy::Taken { .. } => None,
        });
        free.min_by_key(|(since, _)| *since).map(|(_, slot)| slot)
    }

    /// Whether a fixed slot with this selector may get a key.
    pub fn is_vacant(&self, selector: &Selector, now: Timestamp) -> bool {
        !matches!(self.vacancy(selector, now), Vacancy::Taken { .. })
    }

    fn vacancy(&self, selector: &Selector, now: Timestamp) -> Vacancy {
        if self.binding(selector).is_some() {
            return Vacancy::Taken { until: None };
        }
        match self.tombstone(selector) {
            None => Vacancy::Unused,
            Some(stone) if stone.is_over(now) => Vacancy::Free { since: stone.removed },
            Some(stone) => Vacancy::Taken { until: stone.rests_until() },
        }
    }

    /// What is left of the last key that a selector had.
    pub fn tombstone(&self, selector: &Selector) -> Option<&Tombstone> {
        self.tombstones.iter().find(|stone| stone.selector == *selector)
    }

    /// Binds a generated key to a fixed slot, as [`DomainManifest::bind_generated`] does to a selector that was never
    /// used. The tombstone of the slot's last key stays beside it.
    ///
    /// # Errors
    /// [`BindError::SlotTaken`] while the slot has a key, or anything of its last key is left.
    pub fn bind_slot(
        &self,
        slot: &Slot,
        public_key: PublicKey,
        record_ttl: u32,
        now: Timestamp,
    ) -> Result<Self, BindError> {
        let selector = slot.selector.clone();
        if let Vacancy::Taken { until } = self.vacancy(&selector, now) {
            return Err(BindError::SlotTaken { domain: self.domain.clone(), selector, until });
        }
        let largest_ttl = self.tombstone(&selector).and_then(|stone| match stone.end {
            Some(End::Removed { largest_ttl, .. }) => Some(largest_ttl),
            Some(End::Forgotten) | None => None,
        });
        let since = whole_seconds(now);
        let state = State::Generated(Generated { since, by: EnteredBy::Operator, largest_ttl });
        self.push(selector, public_key, PrivateKeyPlace::Own, record_ttl, since, (state, Origin::Generated))
    }

    /// Puts up a tombstone, in place of one of an earlier key of the same selector.
    pub(super) fn bury(&mut self, stone: Tombstone) {
        bury(&mut self.tombstones, stone);
    }
}

/// Puts up a tombstone, in place of one of an earlier key of the same selector.
pub(crate) fn bury(tombstones: &mut Vec<Tombstone>, stone: Tombstone) {
    tombstones.retain(|other| other.selector != stone.selector);
    tombstones.push(stone);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn slots() -> Slots {
        let slot = |name: &str| Slot {
            selector: Selector::parse(name).unwrap(),
            target: DomainName::parse(&format!("{name}.example.com._dkim.example.net")).unwrap(),
        };
        Slots::new(vec![], ["e1", "e2", "e3"].map(slot).into())
    }

    fn key(octet: u8) -> PublicKey {
        PublicKey::from_octets(Algorithm::Ed25519Sha256, &[octet; 32]).unwrap()
    }

    fn stone(selector: &str, removed: i64, end: Option<End>) -> Tombstone {
        Tombstone { selector: Selector::parse(selector).unwrap(), key_id: key(99).id(), removed: at(removed), end }
    }

    fn buried(stones: impl IntoIterator<Item = Tombstone>) -> DomainManifest {
        let mut manifest = DomainManifest::new(DomainName::parse("example.com").unwrap());
        for stone in stones {
            manifest.bury(stone);
        }
        manifest
    }

    fn free(manifest: &DomainManifest, now: i64) -> Option<String> {
        let slots = slots();
        let slot = manifest.free_slot(&slots, Algorithm::Ed25519Sha256, at(now))?;
        Some(slot.selector.as_str().to_owned())
    }

    #[test]
    fn slots_are_used_in_their_order_and_each_once_before_any_is_used_again() {
        let mut manifest = buried([]);
        let slots = slots();
        for expected in ["e1", "e2", "e3"] {
            assert_eq!(free(&manifest, 5).as_deref(), Some(expected));
            let slot = manifest.free_slot(&slots, Algorithm::Ed25519Sha256, at(5)).unwrap();
            manifest = manifest.bind_slot(slot, key(1), 3600, at(5)).unwrap();
        }
        assert_eq!(free(&manifest, 5), None);
        assert_eq!(manifest.free_slot(&slots, Algorithm::RsaSha256, at(5)), None, "there are none for RSA");
        let again = manifest.bind_slot(&slots.of(Algorithm::Ed25519Sha256)[0], key(2), 3600, at(5));
        assert!(matches!(again, Err(BindError::SlotTaken { until: None, .. })), "{again:?}");
    }

    #[test]
    fn of_slots_that_were_used_the_one_that_is_over_the_longest_comes_first() {
        let over = Some(End::Forgotten);
        let manifest = buried([stone("e1", 30, over), stone("e2", 10, over), stone("e3", 20, over)]);
        assert_eq!(free(&manifest, 40).as_deref(), Some("e2"));
        assert_eq!(free(&manifest, 5).as_deref(), Some("e2"), "a clock set back takes nothing away");
        assert_eq!(free(&buried([stone("e1", 1, over)]), 40).as_deref(), Some("e2"), "one never used before all");
    }

    #[test]
    fn a_slot_whose_key_an_operator_removed_rests_until_its_mail_has_arrived() {
        let removed = Some(End::Removed { mail_until: at(1000), largest_ttl: 7200 });
        let over = Some(End::Forgotten);
        let mut manifest = buried([stone("e1", 30, removed)]);
        for name in ["e2", "e3"] {
            let slots = slots();
            let slot = slots.iter().find(|slot| slot.selector.as_str() == name).unwrap();
            manifest = manifest.bind_slot(slot, key(1), 3600, at(31)).unwrap();
        }
        assert_eq!(free(&manifest, 999), None);
        assert_eq!(free(&manifest, 1000).as_deref(), Some("e1"));
        let slots = slots();
        let slot = manifest.free_slot(&slots, Algorithm::Ed25519Sha256, at(1000)).unwrap();
        let early = manifest.bind_slot(slot, key(2), 3600, at(999));
        assert!(
            matches!(early, Err(BindError::SlotTaken { until: Some(until), .. }) if until == at(1000)),
            "{early:?}"
        );
        let bound = manifest.bind_slot(slot, key(2), 3600, at(1000)).unwrap();
        let binding = bound.binding(&slot.selector).unwrap();
        assert_eq!(binding.state.largest_ttl(), Some(7200), "what caches may hold is waited for later");
        assert_eq!(free(&buried(["e1", "e2", "e3"].map(|name| stone(name, 1, None))), i64::from(u32::MAX)), None);
        assert!(buried([stone("e1", 5, over)]).has_used(&slot.selector), "for all but slots it is used up");
    }

    #[test]
    fn a_slot_has_one_tombstone_however_often_it_was_used_and_a_key_beside_it() {
        let mut manifest = buried([stone("e1", 10, Some(End::Forgotten)), stone("e1", 20, Some(End::Forgotten))]);
        assert_eq!(manifest.tombstones().len(), 1);
        manifest = manifest.bind_slot(&slots().of(Algorithm::Ed25519Sha256)[0], key(1), 3600, at(30)).unwrap();
        let json = manifest.clone().with_next_revision().to_json().unwrap();
        assert_eq!(DomainManifest::parse(json.as_bytes()).unwrap().bindings(), manifest.bindings());
        let selector = manifest.bindings()[0].selector.clone();
        let removal = manifest.remove(std::slice::from_ref(&selector), at(40)).unwrap();
        let json = removal.manifest.with_next_revision().to_json().unwrap();
        let again = DomainManifest::parse(json.as_bytes()).unwrap();
        assert_eq!(again.tombstone(&selector).unwrap().key_id, key(1).id());
    }
}
