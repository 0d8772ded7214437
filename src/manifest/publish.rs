//! Noting that records were published.

use jiff::Timestamp;

use super::bind::whole_seconds;
use super::v1::{DomainManifest, EnteredBy, Published, State, StateName};
use crate::names::Selector;

/// Who says that a record was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledgement {
    /// What publishes it took it.
    Publisher,
    /// An operator, who published it by hand.
    Operator,
}

impl DomainManifest {
    /// Makes these keys Published that are Generated, at an operator's command. All others stay as they are, whatever
    /// their state; unchanged, the manifest is the one it was.
    #[must_use]
    pub fn publish(&self, selectors: &[(Selector, Acknowledgement)], now: Timestamp) -> Self {
        let since = whole_seconds(now);
        let mut next = self.clone();
        for binding in &mut next.bindings {
            let named = selectors.iter().find(|(selector, _)| *selector == binding.selector);
            let Some((_, acknowledgement)) = named.filter(|_| binding.state.name() == StateName::Generated) else {
                continue;
            };
            binding.witness = None;
            binding.state = State::Published(Published {
                since,
                by: EnteredBy::Operator,
                acknowledged: (*acknowledgement == Acknowledgement::Publisher).then_some(since),
                rounds_seen: 0,
                first_seen: None,
                first_seen_after: None,
                confirmed_after: None,
                largest_ttl: binding.state.largest_ttl(),
            });
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::key::{Algorithm, PublicKey};
    use crate::manifest::PrivateKeyPlace;
    use crate::names::DomainName;

    #[test]
    fn only_generated_keys_become_published() {
        let now = "2026-11-23T16:37:31.999Z".parse().unwrap();
        let key = |octet| PublicKey::from_octets(Algorithm::Ed25519Sha256, &[octet; 32]).unwrap();
        let selector = |name: &str| Selector::parse(name).unwrap();
        let manifest = DomainManifest::new(DomainName::parse("example.com").unwrap())
            .bind_generated(selector("a"), key(1), PrivateKeyPlace::Own, 3600, now)
            .and_then(|manifest| manifest.bind_generated(selector("b"), key(2), PrivateKeyPlace::Own, 3600, now))
            .and_then(|manifest| manifest.bind_imported(selector("c"), key(3), PrivateKeyPlace::Own, 3600, now))
            .unwrap();
        let (by_us, by_hand) = (Acknowledgement::Publisher, Acknowledgement::Operator);
        let next = manifest.publish(&[(selector("a"), by_us), (selector("c"), by_us)], now);
        let State::Published(published) = &next.bindings()[0].state else { panic!("it was published") };
        assert_eq!(published.acknowledged.unwrap().to_string(), "2026-11-23T16:37:31Z");
        assert_eq!(next.bindings()[1..], manifest.bindings()[1..]);
        assert_eq!(next.publish(&[(selector("a"), by_hand)], now), next);
        let next = next.publish(&[(selector("b"), by_hand)], now);
        assert!(matches!(&next.bindings()[1].state, State::Published(Published { acknowledged: None, .. })));
    }
}
