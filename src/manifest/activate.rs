//! Activation by the operator: which keys sign from now on.

use jiff::{SignedDuration, Timestamp};

use super::bind::{status_word, whole_seconds};
use super::v1::{Active, Binding, DomainManifest, EnteredBy, PrivateKeyPlace, Retiring, State, StateName, Status};
use crate::dkim::key::Algorithm;
use crate::names::{DomainName, Selector};

/// Which bindings are to be Active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice<'a> {
    /// Of each algorithm the newest that is not on its way out.
    Newest,
    /// These, at most one of an algorithm. Algorithms not named stay as they are.
    Selectors(&'a [Selector]),
}

/// How long a key stays published after it signed last, beside its record's TTL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetirementWaits {
    /// How long a daemon that cannot reach the key store may go on with what it knows.
    pub max_staleness: SignedDuration,
    /// How long signed mail may be under way: a sender's queue (RFC 5321 §4.5.4.1 asks for 4 to 5 days), and more.
    pub mail_life: SignedDuration,
}

impl Default for RetirementWaits {
    fn default() -> Self {
        Self { max_staleness: SignedDuration::from_hours(1), mail_life: SignedDuration::from_hours(14 * 24) }
    }
}

/// What an activation comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// The manifest as it is to be.
    pub manifest: DomainManifest,
    /// Selectors that begin to sign; empty if all that were chosen sign already.
    pub activated: Vec<Selector>,
    /// Selectors that cease to sign.
    pub retired: Vec<Selector>,
}

/// Why keys cannot be activated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ActivateError {
    /// The domain is leaving or gone.
    #[error("{domain} is {}; its keys cannot be activated", status_word(*.status))]
    NotEnabled {
        /// The domain.
        domain: DomainName,
        /// What it is instead of enabled.
        status: Status,
    },
    /// No binding has this selector.
    #[error("{domain} has no key with the selector {selector}; `waxseal show {domain}` lists those it has")]
    NoSuchSelector {
        /// The domain.
        domain: DomainName,
        /// The selector.
        selector: Selector,
    },
    /// No binding is left that could be.
    #[error("{domain} has no key that could be activated; generate one first")]
    NothingToActivate {
        /// The domain.
        domain: DomainName,
    },
    /// From its state there is no way back.
    #[error("selector {selector} of {domain} is {state}; it cannot sign again: generate another key")]
    State {
        /// The domain.
        domain: DomainName,
        /// The selector.
        selector: Selector,
        /// Its state.
        state: StateName,
    },
    /// Others may have the key.
    #[error("selector {selector} of {domain} is known to be compromised; it cannot sign: generate another key")]
    Compromised {
        /// The domain.
        domain: DomainName,
        /// The selector.
        selector: Selector,
    },
    /// There is nothing to sign with.
    #[error("the private key of selector {selector} of {domain} is not here; it cannot sign")]
    NoPrivateKey {
        /// The domain.
        domain: DomainName,
        /// The selector.
        selector: Selector,
    },
    /// A domain signs with one key of an algorithm at a time.
    #[error("selectors {first} and {second} of {domain} are both {algorithm}; one key of an algorithm signs at a time")]
    TwoOfOneAlgorithm {
        /// The domain.
        domain: DomainName,
        /// The algorithm.
        algorithm: Algorithm,
        /// The one named first.
        first: Selector,
        /// The other one.
        second: Selector,
    },
}

impl StateName {
    /// Whether an operator may make a key of this state Active, whatever the waits: the one place that says so; the
    /// life cycle asks here.
    ///
    /// Deviates: skips the waits before Ready on purpose (the operator was told what that risks), and brings a Retiring
    /// key back, which is still published and kept for that, unless its withdrawal has begun.
    pub fn operator_may_activate(self) -> bool {
        matches!(self, Self::Generated | Self::Published | Self::Ready | Self::Retiring)
    }
}

impl DomainManifest {
    /// Makes the chosen keys Active and those of the same algorithms that were Active Retiring. What signs already
    /// stays as it is.
    pub fn activate(
        &self,
        choice: Choice<'_>,
        waits: RetirementWaits,
        now: Timestamp,
    ) -> Result<Activation, ActivateError> {
        let domain = || self.domain.clone();
        if self.status != Status::Enabled {
            return Err(ActivateError::NotEnabled { domain: domain(), status: self.status });
        }
        let chosen = match choice {
            Choice::Newest => self.newest(),
            Choice::Selectors(selectors) => selectors
                .iter()
                .map(|selector| {
                    let unknown = || ActivateError::NoSuchSelector { domain: domain(), selector: selector.clone() };
                    self.binding(selector).ok_or_else(unknown)
                })
                .collect::<Result<Vec<_>, _>>()?,
        };
        if chosen.is_empty() {
            return Err(ActivateError::NothingToActivate { domain: domain() });
        }
        for (index, binding) in chosen.iter().enumerate() {
            self.may_sign(binding)?;
            let algorithm = binding.algorithm();
            let same = |other: &&&Binding| other.algorithm() == algorithm && other.selector != binding.selector;
            if let Some(other) = chosen[..index].iter().find(same) {
                let (first, second) = (other.selector.clone(), binding.selector.clone());
                return Err(ActivateError::TwoOfOneAlgorithm { domain: domain(), algorithm, first, second });
            }
        }
        let chosen: Vec<(Algorithm, Selector)> =
            chosen.iter().map(|binding| (binding.algorithm(), binding.selector.clone())).collect();
        Ok(self.clone().exchange(&chosen, waits, whole_seconds(now)))
    }

    /// Of each algorithm the newest binding that signs or could begin to.
    fn newest(&self) -> Vec<&Binding> {
        let mut newest: Vec<&Binding> = Vec::new();
        for binding in &self.bindings {
            if binding.state.name() == StateName::Retiring || self.may_sign(binding).is_err() {
                continue;
            }
            match newest.iter_mut().find(|other| other.algorithm() == binding.algorithm()) {
                // Of two made in one second the later in the list is the newer.
                Some(other) if binding.created >= other.created => *other = binding,
                Some(_) => {}
                None => newest.push(binding),
            }
        }
        newest
    }

    fn may_sign(&self, binding: &Binding) -> Result<(), ActivateError> {
        let (domain, selector) = (self.domain.clone(), binding.selector.clone());
        let state = binding.state.name();
        if (state != StateName::Active && !state.operator_may_activate()) || binding.state.is_being_withdrawn() {
            Err(ActivateError::State { domain, selector, state })
        } else if binding.compromised.is_some() {
            Err(ActivateError::Compromised { domain, selector })
        } else if binding.private_key == PrivateKeyPlace::None {
            Err(ActivateError::NoPrivateKey { domain, selector })
        } else {
            Ok(())
        }
    }

    fn exchange(mut self, chosen: &[(Algorithm, Selector)], waits: RetirementWaits, now: Timestamp) -> Activation {
        let (mut activated, mut retired) = (Vec::new(), Vec::new());
        let previous: Vec<(Algorithm, Selector)> = self
            .bindings
            .iter()
            .filter(|binding| binding.state.name() == StateName::Active)
            .map(|binding| (binding.algorithm(), binding.selector.clone()))
            .collect();
        for binding in &mut self.bindings {
            let algorithm = binding.algorithm();
            let of_algorithm = |(other, _): &&(Algorithm, Selector)| *other == algorithm;
            let Some((_, successor)) = chosen.iter().find(of_algorithm) else { continue };
            let signs = binding.state.name() == StateName::Active;
            if binding.selector == *successor && !signs {
                let largest_ttl = binding.state.largest_ttl();
                let previous = previous.iter().find(of_algorithm).map(|(_, selector)| selector.clone());
                binding.state = State::Active(Active { since: now, by: EnteredBy::Operator, previous, largest_ttl });
                binding.witness = None;
                activated.push(binding.selector.clone());
            } else if binding.selector != *successor && signs {
                binding.state = State::Retiring(Retiring {
                    since: now,
                    by: EnteredBy::Operator,
                    successor: Some(successor.clone()),
                    not_withdrawn_before: waits.end(now, binding),
                    last_used: None,
                    largest_ttl: binding.state.largest_ttl(),
                    withdrawal_begun: None,
                    acknowledged: None,
                });
                binding.witness = None;
                retired.push(binding.selector.clone());
            }
        }
        Activation { manifest: self, activated, retired }
    }
}

impl RetirementWaits {
    /// Until when a key that ceased to sign `from` then must stay published.
    pub(super) fn end(self, from: Timestamp, binding: &Binding) -> Timestamp {
        let seen = match &binding.state {
            State::Active(active) => active.largest_ttl.unwrap_or(0),
            _ => 0,
        };
        let ttl = SignedDuration::from_secs(i64::from(seen.max(binding.record_ttl)));
        let wait = self.max_staleness.saturating_add(self.mail_life).saturating_add(ttl);
        from.saturating_add(wait).unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::key::PublicKey;
    use crate::manifest::{Compromised, Meanwhile, Presence, Revoked};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn selector(name: &str) -> Selector {
        Selector::parse(name).unwrap()
    }

    /// A domain with Ed25519 keys, made one a second.
    fn with_keys(selectors: &[&str]) -> DomainManifest {
        let mut manifest = DomainManifest::new(DomainName::parse("example.com").unwrap());
        for (index, name) in selectors.iter().enumerate() {
            let key = PublicKey::from_octets(Algorithm::Ed25519Sha256, &[index as u8; 32]).unwrap();
            manifest =
                manifest.bind_generated(selector(name), key, PrivateKeyPlace::Own, 3600, at(index as i64)).unwrap();
        }
        manifest
    }

    fn activate(manifest: &DomainManifest, choice: Choice<'_>) -> Result<Activation, ActivateError> {
        manifest.activate(choice, RetirementWaits::default(), at(1000))
    }

    #[test]
    fn the_newest_key_signs_and_the_one_before_retires_with_its_private_key() {
        let first = activate(&with_keys(&["a"]), Choice::Newest).unwrap();
        assert_eq!((first.activated, first.retired), (vec![selector("a")], vec![]));
        assert_eq!(first.manifest.presence(), Presence::Active);

        let key = PublicKey::from_octets(Algorithm::Ed25519Sha256, &[9; 32]).unwrap();
        let two = first.manifest.bind_generated(selector("b"), key, PrivateKeyPlace::Own, 7200, at(900)).unwrap();
        let second = activate(&two, Choice::Newest).unwrap();
        assert_eq!((second.activated, second.retired), (vec![selector("b")], vec![selector("a")]));
        let State::Active(active) = &second.manifest.binding(&selector("b")).unwrap().state else { panic!() };
        assert_eq!((active.by, active.previous.as_ref()), (EnteredBy::Operator, Some(&selector("a"))));
        let old = second.manifest.binding(&selector("a")).unwrap();
        assert_eq!(old.private_key, PrivateKeyPlace::Own);
        let State::Retiring(retiring) = &old.state else { panic!() };
        assert_eq!(retiring.not_withdrawn_before, at(1000 + 3600 + 14 * 86400 + 3600));
    }

    #[test]
    fn activating_what_signs_already_changes_nothing() {
        let once = activate(&with_keys(&["a"]), Choice::Newest).unwrap().manifest;
        let again = activate(&once, Choice::Newest).unwrap();
        assert_eq!(again, Activation { manifest: once, activated: vec![], retired: vec![] });
    }

    #[test]
    fn a_retiring_key_comes_back_only_when_named() {
        let manifest = with_keys(&["a", "b"]);
        let a = activate(&manifest, Choice::Selectors(&[selector("a")])).unwrap().manifest;
        let b = activate(&a, Choice::Newest).unwrap();
        assert_eq!(b.activated, [selector("b")]);
        assert_eq!(activate(&b.manifest, Choice::Newest).unwrap().activated, []);
        let back = activate(&b.manifest, Choice::Selectors(&[selector("a")])).unwrap();
        assert_eq!((back.activated, back.retired), (vec![selector("a")], vec![selector("b")]));
    }

    #[test]
    fn keys_that_must_not_sign_are_not_activated() {
        let named = |manifest: &DomainManifest| activate(manifest, Choice::Selectors(&[selector("a")])).unwrap_err();
        let sound = with_keys(&["a"]);
        let changed = |change: fn(&mut Binding)| {
            let mut manifest = sound.clone();
            change(&mut manifest.bindings[0]);
            assert!(matches!(activate(&manifest, Choice::Newest), Err(ActivateError::NothingToActivate { .. })));
            named(&manifest)
        };
        assert!(matches!(
            changed(|binding| binding.compromised = Some(Compromised { since: at(1), meanwhile: Meanwhile::Stop })),
            ActivateError::Compromised { .. }
        ));
        assert!(matches!(
            changed(|binding| binding.private_key = PrivateKeyPlace::None),
            ActivateError::NoPrivateKey { .. }
        ));
        let revoked = |binding: &mut Binding| {
            binding.state = State::Revoked(Revoked {
                since: at(1),
                by: EnteredBy::Waits,
                not_withdrawn_before: at(2),
                largest_ttl: None,
                acknowledged: None,
            });
        };
        assert!(matches!(changed(revoked), ActivateError::State { state: StateName::Revoked, .. }));
        assert!(matches!(named(&with_keys(&["b"])), ActivateError::NoSuchSelector { .. }));
        let mut leaving = sound.clone();
        leaving.status = Status::Leaving;
        assert!(matches!(named(&leaving), ActivateError::NotEnabled { .. }));
        assert!(matches!(
            activate(&with_keys(&["a", "b"]), Choice::Selectors(&[selector("a"), selector("b")])),
            Err(ActivateError::TwoOfOneAlgorithm { .. })
        ));
    }

    #[test]
    fn the_states_from_which_an_operator_may_activate_are_these() {
        use StateName::*;
        let all = [Generated, Published, Ready, Active, Retiring, Revoked, Withdrawn];
        let legal: Vec<_> = all.into_iter().filter(|state| state.operator_may_activate()).collect();
        assert_eq!(legal, [Generated, Published, Ready, Retiring]);
    }
}
