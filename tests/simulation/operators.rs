//! Operators: what people do to the keys, whatever the machine is at.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use waxseal::dkim::key::PublicKey;
use waxseal::dkim::{Algorithm, KeyRecord};
use waxseal::lifecycle::{compromise, leave};
use waxseal::manifest::{
    Binding, Choice, DomainManifest, Meanwhile, PrivateKeyPlace, RetirementWaits, SelectorTemplate, StateName,
};
use waxseal::names::Selector;

use super::checks::Actor;
use super::keys;
use super::time::DAY;
use super::world::{Declared, Event, World};
use super::zone::{Author, Record};

impl World {
    /// A domain begins with keys that its operator generated, or that another signer had signed with for long.
    pub(crate) fn give_first_keys(&mut self) {
        let (has_both, is_imported) = (self.random.happens(600), self.random.happens(300));
        for algorithm in [Algorithm::RsaSha256, Algorithm::Ed25519Sha256].into_iter().take(1 + usize::from(has_both)) {
            let ttl = *self.random.pick(&[300, 3600, 86_400]);
            if is_imported { self.import(algorithm, ttl) } else { self.generate(algorithm, ttl) }
        }
    }

    fn generate(&mut self, algorithm: Algorithm, ttl: u32) {
        let key = self.new_key(algorithm);
        let (id, manifest, wall) = (key.id(), self.store.manifest(), self.clock.wall(self.now));
        let selector = free_selector(&manifest, wall, algorithm);
        let manifest = manifest.bind_generated(selector, key, PrivateKeyPlace::Own, ttl, wall).unwrap();
        self.commit(manifest, Some(id), Actor::Operator).unwrap();
    }

    fn import(&mut self, algorithm: Algorithm, ttl: u32) {
        let key = self.new_key(algorithm);
        let (id, manifest, wall) = (key.id(), self.store.manifest(), self.clock.wall(self.now));
        let selector = Selector::parse(&format!("imported{}", algorithm.letter())).unwrap();
        let (name, text) = (selector.record_name(&self.domain), KeyRecord::of(&key).to_string().into());
        self.zone.change(&name, vec![Record { text, ttl }], Author::Publisher, self.now);
        self.zone.confirm(&name);
        let manifest = manifest.bind_imported(selector.clone(), key, PrivateKeyPlace::Own, ttl, wall).unwrap();
        self.commit(manifest, Some(id), Actor::Operator).unwrap();
        self.activate(selector);
    }

    fn new_key(&mut self, algorithm: Algorithm) -> PublicKey {
        self.next_key += 1;
        keys::key(algorithm, self.next_key)
    }

    /// An operator does something; the next time comes later.
    pub(crate) fn operate(&mut self) {
        let next = self.random.up_to(40 * DAY) + DAY;
        self.after(next, Event::Operate);
        self.tally.operations += 1;
        match self.random.below(4) {
            0 => self.activate_one(),
            1 => self.remove_one(),
            _ => self.compromise_one(),
        }
    }

    /// Any key that may sign does so now.
    fn activate_one(&mut self) {
        let manifest = self.store.manifest();
        let may = |state| !matches!(state, StateName::Active | StateName::Revoked | StateName::Withdrawn);
        let candidates: Vec<Selector> = manifest
            .bindings()
            .iter()
            .filter(|binding| may(binding.state.name()))
            .map(|binding| binding.selector.clone())
            .collect();
        if candidates.is_empty() {
            return;
        }
        let selector = self.random.pick(&candidates).clone();
        self.activate(selector);
    }

    fn activate(&mut self, selector: Selector) {
        let mail_life = SignedDuration::from_secs(self.schedule.mail_seconds().cast_signed());
        let waits = RetirementWaits { max_staleness: self.schedule.max_staleness, mail_life };
        let wall = self.clock.wall(self.now);
        if let Ok(activation) = self.store.manifest().activate(Choice::Selectors(&[selector]), waits, wall) {
            self.commit(activation.manifest, None, Actor::Operator);
        }
    }

    /// A key that nobody would miss is removed.
    fn remove_one(&mut self) {
        let manifest = self.store.manifest();
        if manifest.bindings().is_empty() {
            return;
        }
        let selector = self.random.pick(manifest.bindings()).selector.clone();
        let Ok(removal) = manifest.remove(&[selector], self.clock.wall(self.now)) else { return };
        if removal.reluctance.is_empty() && self.commit(removal.manifest, None, Actor::Operator).is_some() {
            for binding in &removal.removed {
                self.store.destroy(binding.key_id());
            }
        }
    }

    /// The domain leaves: nothing signs any more, and what was published is to be taken out.
    pub(crate) fn offboard(&mut self) {
        self.tally.operations += 1;
        let manifest = leave(&self.store.manifest());
        self.commit(manifest, None, Actor::Operator);
    }

    /// Others may have a key.
    fn compromise_one(&mut self) {
        let manifest = self.store.manifest();
        let could_sign = |binding: &&Binding| {
            binding.compromised.is_none() && matches!(binding.state.name(), StateName::Active | StateName::Retiring)
        };
        let candidates: Vec<&Binding> = manifest.bindings().iter().filter(could_sign).collect();
        if candidates.is_empty() {
            return;
        }
        let selector = self.random.pick(&candidates).selector.clone();
        let meanwhile = *self.random.pick(&[Meanwhile::Stop, Meanwhile::Sign]);
        let (evidence, now) = (self.evidence(), self.witnessed());
        match compromise(&manifest, &selector, meanwhile, &evidence, &now, &self.schedule) {
            Ok(emergency) => {
                let wall = now.wall;
                let span =
                    |until: jiff::Timestamp| Duration::from_secs(until.duration_since(wall).as_secs().max(0) as u64);
                let is_active = manifest.signing().any(|binding| binding.selector == selector);
                let mail_until = emergency.mail_until.filter(|_| is_active).map(|until| self.now + span(until));
                self.commit(emergency.manifest, None, Actor::Operator);
                self.compromised.insert(selector, Declared { at: self.now, mail_until });
                self.start_later(0, Duration::from_secs(1));
            }
            Err(error) => self.violate(&format!("{selector} cannot be declared compromised: {error}")),
        }
    }
}

/// The selector that a key made at this time would get.
pub(crate) fn free_selector(manifest: &DomainManifest, wall: Timestamp, algorithm: Algorithm) -> Selector {
    let date = TimeZone::UTC.to_datetime(wall).date();
    manifest.free_selectors(&SelectorTemplate::default(), date, algorithm, || None).next().unwrap()
}
