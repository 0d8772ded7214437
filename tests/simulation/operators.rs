//! Operators: what people do to the keys, whatever the machine is at.

use jiff::tz::TimeZone;
use waxseal::dkim::Algorithm;
use waxseal::manifest::{Choice, PrivateKeyPlace, RetirementWaits, StateName};
use waxseal::names::Selector;

use super::checks::Actor;
use super::keys;
use super::time::DAY;
use super::world::{Event, World};

impl World {
    /// A domain begins with keys that its operator generated.
    pub(crate) fn give_first_keys(&mut self) {
        let has_both = self.random.happens(400);
        let algorithms = [Algorithm::RsaSha256, Algorithm::Ed25519Sha256];
        let mut manifest = self.store.manifest();
        for algorithm in algorithms.into_iter().take(1 + usize::from(has_both)) {
            self.next_key += 1;
            let key = keys::key(algorithm, self.next_key);
            let (id, ttl) = (key.id(), *self.random.pick(&[300, 3600, 86_400]));
            let wall = self.clock.wall(self.now);
            let date = TimeZone::UTC.to_datetime(wall).date();
            let selector = manifest.default_selector(date, algorithm).unwrap();
            manifest = manifest.bind_generated(selector, key, PrivateKeyPlace::Own, ttl, wall).unwrap();
            manifest = self.commit(manifest, Some(id), Actor::Operator).unwrap();
        }
    }

    /// An operator does something; the next time comes later.
    pub(crate) fn operate(&mut self) {
        let next = self.random.up_to(40 * DAY) + DAY;
        self.after(next, Event::Operate);
        self.tally.operations += 1;
        if self.random.happens(500) {
            self.activate_one();
        } else {
            self.compromise_one();
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
        let waits = RetirementWaits { max_staleness: self.schedule.max_staleness, mail_life: self.schedule.mail_life };
        let wall = self.clock.wall(self.now);
        if let Ok(activation) = manifest.activate(Choice::Selectors(&[selector]), waits, wall) {
            self.commit(activation.manifest, None, Actor::Operator);
        }
    }

    fn compromise_one(&mut self) {}
}
