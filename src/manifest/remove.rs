//! Removing keys by the operator: what stands against it, and what is left.

use jiff::Timestamp;

use super::activate::RetirementWaits;
use super::bind::whole_seconds;
use super::v1::{Binding, DomainManifest, End, PrivateKeyPlace, State, StateName, Status, Tombstone};
use crate::names::{DomainName, Selector};

/// What a removal comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The manifest as it is to be: the bindings are tombstones.
    pub manifest: DomainManifest,
    /// The bindings that go.
    pub removed: Vec<Binding>,
    /// What stands against it. An operator may go on all the same.
    pub reluctance: Vec<Reluctance>,
}

/// Why a key should stay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reluctance {
    /// The domain is enabled and would have no usable key left.
    #[error("{domain} would have no key left to sign with, and its mail would go unsigned")]
    LastKey {
        /// The domain.
        domain: DomainName,
    },
    /// It signs.
    #[error(
        "selector {selector} of {domain} is active: it signs; let another sign first with: waxseal activate {domain}"
    )]
    Active {
        /// The domain.
        domain: DomainName,
        /// The selector.
        selector: Selector,
    },
    /// Mail signed with it is under way.
    #[error("selector {selector} of {domain} is retiring: mail signed with it may be under way until {until:.0}")]
    Retiring {
        /// The domain.
        domain: DomainName,
        /// The selector.
        selector: Selector,
        /// Until when.
        until: Timestamp,
    },
}

/// Why keys cannot be removed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// No binding has this selector.
    #[error("{domain} has no key with the selector {selector}; `waxseal show {domain}` lists those it has")]
    NoSuchSelector {
        /// The domain.
        domain: DomainName,
        /// The selector.
        selector: Selector,
    },
    /// There is nothing to remove.
    #[error("{domain} has no keys")]
    NoKeys {
        /// The domain.
        domain: DomainName,
    },
}

impl DomainManifest {
    /// Removes the bindings of these selectors, or all if there are none. Their selectors become tombstones.
    ///
    /// Invariant I1, that the last usable key of an enabled domain is never removed, is kept by whoever heeds
    /// [`Removal::reluctance`].
    pub fn remove(&self, selectors: &[Selector], now: Timestamp) -> Result<Removal, RemoveError> {
        for selector in selectors {
            if self.binding(selector).is_none() {
                return Err(RemoveError::NoSuchSelector { domain: self.domain.clone(), selector: selector.clone() });
            }
        }
        let goes = |binding: &Binding| selectors.is_empty() || selectors.contains(&binding.selector);
        let (removed, kept): (Vec<_>, Vec<_>) = self.bindings.iter().cloned().partition(goes);
        if removed.is_empty() {
            return Err(RemoveError::NoKeys { domain: self.domain.clone() });
        }
        let mut reluctance: Vec<_> = removed.iter().filter_map(|binding| self.reluctance(binding, now)).collect();
        let is_enabled = self.status == Status::Enabled;
        if is_enabled && removed.iter().any(Binding::is_usable) && !kept.iter().any(Binding::is_usable) {
            reluctance.insert(0, Reluctance::LastKey { domain: self.domain.clone() });
        }
        let removed_at = whole_seconds(now);
        let mut manifest = self.clone();
        manifest.bindings = kept;
        for binding in &removed {
            manifest.bury(Tombstone {
                selector: binding.selector.clone(),
                key_id: binding.key_id(),
                removed: removed_at,
                end: Some(End::Removed {
                    mail_until: mail_until(binding, removed_at),
                    largest_ttl: binding.record_ttl.max(binding.state.largest_ttl().unwrap_or(0)),
                }),
            });
        }
        Ok(Removal { manifest, removed, reluctance })
    }

    fn reluctance(&self, binding: &Binding, now: Timestamp) -> Option<Reluctance> {
        let (domain, selector) = (self.domain.clone(), binding.selector.clone());
        match &binding.state {
            State::Active(_) if self.status == Status::Enabled && binding.compromised.is_none() => {
                Some(Reluctance::Active { domain, selector })
            }
            State::Retiring(retiring) if retiring.not_withdrawn_before > now => {
                Some(Reluctance::Retiring { domain, selector, until: retiring.not_withdrawn_before })
            }
            _ => None,
        }
    }
}

/// Until when mail signed with a key may be under way that is removed now.
fn mail_until(binding: &Binding, now: Timestamp) -> Timestamp {
    match &binding.state {
        State::Active(_) => RetirementWaits::default().end(now, binding),
        State::Retiring(retiring) => retiring.not_withdrawn_before.max(now),
        _ => now,
    }
}

impl Binding {
    /// Whether it signs, or could come to sign without another key being made.
    pub fn is_usable(&self) -> bool {
        use StateName::{Active, Generated, Published, Ready};
        matches!(self.state.name(), Generated | Published | Ready | Active)
            && self.compromised.is_none()
            && self.private_key != PrivateKeyPlace::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::key::{Algorithm, PublicKey};
    use crate::manifest::Choice;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn selector(name: &str) -> Selector {
        Selector::parse(name).unwrap()
    }

    /// "a" retires, "b" signs.
    fn rotated() -> DomainManifest {
        let mut manifest = DomainManifest::new(DomainName::parse("example.com").unwrap());
        for (index, name) in ["a", "b"].into_iter().enumerate() {
            let key = PublicKey::from_octets(Algorithm::Ed25519Sha256, &[index as u8; 32]).unwrap();
            manifest = manifest.bind_generated(selector(name), key, PrivateKeyPlace::Own, 3600, at(1)).unwrap();
            let waits = RetirementWaits::default();
            manifest = manifest.activate(Choice::Selectors(&[selector(name)]), waits, at(2)).unwrap().manifest;
        }
        manifest
    }

    #[test]
    fn a_removed_key_leaves_a_tombstone_and_its_selector_is_never_free_again() {
        let removal = rotated().remove(&[selector("a")], at(100 * 86400)).unwrap();
        assert_eq!(removal.reluctance, []);
        assert!(removal.manifest.binding(&selector("a")).is_none());
        assert!(removal.manifest.has_used(&selector("a")));
        assert_eq!(removal.manifest.tombstones()[0].key_id, removal.removed[0].key_id());
    }

    #[test]
    fn keys_that_are_needed_are_not_removed_gladly() {
        let domain = || DomainName::parse("example.com").unwrap();
        let remove = |names: &[&str], now| {
            let names: Vec<_> = names.iter().map(|name| selector(name)).collect();
            rotated().remove(&names, now).unwrap().reluctance
        };
        let late = at(100 * 86400);
        assert!(matches!(remove(&["a"], at(3))[..], [Reluctance::Retiring { .. }]));
        assert_eq!(
            remove(&["b"], late),
            [
                Reluctance::LastKey { domain: domain() },
                Reluctance::Active { domain: domain(), selector: selector("b") }
            ]
        );
        assert_eq!(remove(&[], at(3)).len(), 3);
        let mut leaving = rotated();
        leaving.status = Status::Leaving;
        assert_eq!(leaving.remove(&[], late).unwrap().reluctance, []);
    }

    #[test]
    fn a_key_that_never_signed_goes_while_another_signs() {
        let key = PublicKey::from_octets(Algorithm::Ed25519Sha256, &[9; 32]).unwrap();
        let spare = rotated().bind_generated(selector("c"), key, PrivateKeyPlace::Own, 3600, at(5)).unwrap();
        assert_eq!(spare.remove(&[selector("c")], at(6)).unwrap().reluctance, []);
    }

    #[test]
    fn what_is_not_there_is_not_removed() {
        assert!(matches!(rotated().remove(&[selector("x")], at(1)), Err(RemoveError::NoSuchSelector { .. })));
        let empty = DomainManifest::new(DomainName::parse("example.com").unwrap());
        assert!(matches!(empty.remove(&[], at(1)), Err(RemoveError::NoKeys { .. })));
    }
}
