//! What must hold after every commit: the invariants I1 to I6.

use std::time::Duration;

use waxseal::dkim::Algorithm;
use waxseal::dkim::key::KeyId;
use waxseal::manifest::{Binding, DomainManifest, EnteredBy, Origin, PrivateKeyPlace, State, StateName, Status};
use waxseal::names::Selector;

use super::guard::Guard;
use super::keys::Bound;
use super::time::{HOUR, MINUTE};
use super::world::{Event, World};

/// Who commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    /// The machine, by the waits alone.
    Machine,
    /// An operator, who may do more.
    Operator,
}

/// Wall clocks are right to within this, where a wait could not be counted otherwise.
const TOLERATED: Duration = Duration::from_secs(5 * 60);

impl World {
    /// Writes a manifest if nobody was faster, and checks what it says.
    pub(crate) fn commit(
        &mut self,
        manifest: DomainManifest,
        new_key: Option<KeyId>,
        actor: Actor,
    ) -> Option<DomainManifest> {
        let before = self.store.manifest();
        let signing =
            |manifest: &DomainManifest| manifest.signing().map(|binding| binding.key_id()).collect::<Vec<_>>();
        let often = if self.guard == Some(Guard::Staleness) { 500 } else { 20 };
        if signing(&before) != signing(&manifest) && self.random.happens(often) {
            self.cut_a_daemon_off_as_keys_change();
        }
        let after = match self.guard {
            Some(Guard::Revision) => self.store.commit_anyway(manifest, new_key),
            Some(Guard::KeyFirst) if actor == Actor::Machine && self.random.happens(125) => {
                self.store.commit(manifest, None)?
            }
            _ => self.store.commit(manifest, new_key)?,
        };
        self.check(&before, &after, actor);
        Some(after)
    }

    fn check(&mut self, before: &DomainManifest, after: &DomainManifest, actor: Actor) {
        self.tell(|_| format!("{actor:?} commits {}", states(after)));
        self.check_selectors(before, after, actor);
        let usable = |manifest: &DomainManifest| manifest.signing().any(|binding| self.store.holds(binding.key_id()));
        if actor == Actor::Machine && usable(before) && !usable(after) {
            self.violate("(I1) the last key that could sign is removed");
        }
        for binding in after.bindings() {
            let was = before.binding(&binding.selector);
            self.check_private_key(binding);
            let is_emergency = is_hasty(before, binding.algorithm());
            if binding.state.name() == StateName::Active && !was.is_some_and(is_active) {
                self.check_activation(was, binding, actor);
                if is_emergency {
                    self.hurried.insert(binding.selector.clone());
                }
            }
            let is_ready = |binding: &Binding| binding.state.name() == StateName::Ready;
            if is_ready(binding) && !was.is_some_and(is_ready) && !is_emergency {
                self.check_ready(&binding.selector);
            }
        }
        if after.revision().is_multiple_of(64) {
            let read = after.to_json().ok().and_then(|json| DomainManifest::parse(json.as_bytes()).ok());
            if read.as_ref() != Some(after) {
                self.violate("a manifest is written that does not read back");
            }
        }
        let signing = |manifest: &DomainManifest| -> Vec<Selector> {
            manifest.signing().map(|binding| binding.selector.clone()).collect()
        };
        self.signs_since = self
            .signs_since
            .filter(|_| !signing(after).is_empty())
            .or((!signing(after).is_empty()).then_some(self.now));
        for binding in
            before.signing().filter(|binding| !after.signing().any(|signs| signs.selector == binding.selector))
        {
            self.ceased.insert(binding.selector.clone(), self.now);
        }
        if signing(before) != signing(after) {
            // Mail is signed just now, and by daemons that have not noticed.
            for within in [Duration::from_secs(2), 10 * MINUTE, HOUR] {
                let (daemon, later) = (self.random.below(8) as usize, self.random.between(Duration::ZERO, within));
                self.after(later, Event::Extra(daemon));
            }
        }
    }

    /// I5: a selector has one key for ever.
    fn check_selectors(&mut self, before: &DomainManifest, after: &DomainManifest, actor: Actor) {
        for binding in after.bindings() {
            match self.bound.get(&binding.selector) {
                Some(bound) if bound.id == binding.key_id() => {}
                Some(_) => self.violate(&format!("(I5) selector {} gets another key", binding.selector)),
                None => {
                    let bound = Bound::new(binding.public_key.clone(), binding.selector.record_name(&self.domain));
                    self.after(MINUTE, Event::Probe(bound.name.clone()));
                    self.bound.insert(binding.selector.clone(), bound);
                }
            }
            if before.tombstones().iter().any(|stone| stone.selector == binding.selector) {
                self.violate(&format!("(I5) selector {} is used again", binding.selector));
            }
        }
        for binding in before.bindings() {
            if after.binding(&binding.selector).is_some() {
                continue;
            }
            if !after.tombstones().iter().any(|stone| stone.selector == binding.selector) {
                self.violate(&format!("(I5) selector {} is forgotten", binding.selector));
            }
            let name = binding.selector.record_name(&self.domain);
            let bound = self.bound.get(&binding.selector);
            let is_ours = |text: &str| bound.is_some_and(|bound| bound.is_ours(text));
            let is_there = self.zone.stands_for(&name, self.now) > MINUTE
                && self.zone.at_primary(&name).iter().any(|record| is_ours(&record.text));
            if actor == Actor::Machine && is_there {
                if self.zone.has_lied(&name) || !self.zone.is_shown(&name, self.now, is_ours) {
                    self.tally.left_behind += 1;
                } else {
                    self.violate(&format!("the record of {} is left behind", binding.selector));
                }
            }
        }
    }

    /// I4: the private key is there until nothing can be signed with it again.
    fn check_private_key(&mut self, binding: &Binding) {
        let is_needed = match &binding.state {
            State::Revoked(_) | State::Withdrawn(_) => false,
            State::Retiring(state) => state.withdrawal_begun.is_none(),
            _ => true,
        };
        if is_needed && binding.private_key != PrivateKeyPlace::None && !self.store.holds(binding.key_id()) {
            self.violate(&format!("(I4) {} has no private key", binding.selector));
        }
        if is_needed && binding.private_key == PrivateKeyPlace::None {
            self.violate(&format!("(I4) the private key of {} was given away", binding.selector));
        }
    }

    /// I4, before a private key is destroyed.
    pub(crate) fn check_destroyed(&mut self, selector: &Selector, key: KeyId) {
        let manifest = self.store.manifest();
        let is_needed = manifest
            .bindings()
            .iter()
            .any(|binding| binding.key_id() == key && binding.private_key != PrivateKeyPlace::None);
        if is_needed {
            self.violate(&format!("(I4) the private key of {selector} is destroyed while the manifest has it"));
        }
    }

    /// I2: what is Ready was seen in three rounds over five minutes on every server, and has settled since.
    fn check_ready(&mut self, selector: &Selector) {
        let Some(bound) = self.bound.get(selector).cloned() else { return };
        if let Some((server, why)) = self.zone.not_settled(&bound.name, self.now, self.settle) {
            self.tell(|world| format!("{} {:?} {:?}", bound.name, world.zone.servers, world.silences));
            self.violate(&format!("(I2) {selector} is Ready, but {why} on {server}"));
        }
    }

    /// I2: what begins to sign was Ready, and was seen on every server lately.
    fn check_activation(&mut self, was: Option<&Binding>, is: &Binding, actor: Actor) {
        let selector = &is.selector;
        if was.is_none_or(|was| !matches!(was.state.name(), StateName::Ready | StateName::Retiring)) {
            match actor {
                Actor::Operator if is.origin == Origin::Imported => {}
                Actor::Operator => drop(self.hurried.insert(selector.clone())),
                Actor::Machine => self.violate(&format!("(I2) {selector} signs and was never Ready")),
            }
        }
        let State::Active(state) = &is.state else { return };
        if state.by != EnteredBy::Waits {
            return;
        }
        self.tally.rotations += u64::from(state.previous.is_some());
        let Some(bound) = self.bound.get(selector).cloned() else { return };
        let silent = self.zone.not_seen(&bound.name, self.now, HOUR, |text| bound.is_published_by(text));
        if let Some(server) = silent {
            self.tell(|world| format!("{:?} {:?}", world.zone.servers, world.silences));
            self.violate(&format!("{selector} signs, but was not seen on {server} for an hour"));
        }
    }

    /// I3: nothing is withdrawn while mail signed with it is under way.
    pub(crate) fn check_withdrawal(&mut self, selector: &Selector) {
        if self.compromised.contains_key(selector) {
            let ceased = self.ceased.get(selector).copied();
            let is_early =
                ceased.is_some_and(|ceased| self.now + Duration::from_secs(1) < ceased + self.acknowledge_within);
            if is_early && !self.acknowledged.contains(selector) {
                self.violate(&format!("(I3) {selector} is revoked before daemons had their time to cease using it"));
            }
            return;
        }
        let life = self.mail_life;
        if let Some(signed) = self.last_signed.get(selector)
            && self.now + TOLERATED < *signed + life
        {
            let (signed, life) = (signed.0, life.as_secs());
            self.violate(&format!("(I3) {selector} is withdrawn; it signed at {signed}, and mail lives {life} s"));
        }
        let manifest = self.store.manifest();
        if manifest.signing().any(|binding| binding.selector == *selector) {
            self.violate(&format!("(I3) {selector} is withdrawn and signs"));
        }
    }

    /// A message was let through unsigned.
    pub(crate) fn check_unsigned(&mut self) {
        let manifest = self.store.manifest();
        let since = self.signs_since.filter(|since| self.now - *since > 2 * HOUR);
        if manifest.status() == Status::Enabled && since.is_some() {
            self.violate("(I1) mail of a domain that has keys goes unsigned");
        }
    }

    pub(crate) fn violate(&mut self, what: &str) {
        self.tally.violate(format!("{}: {what}", self.now.0));
    }
}

fn is_active(binding: &Binding) -> bool {
    binding.state.name() == StateName::Active
}

fn states(manifest: &DomainManifest) -> String {
    let state = |binding: &Binding| {
        let waited = binding.witness.as_ref().map_or(0, |witness| witness.waited);
        let held = if binding.held.is_some() { " held" } else { "" };
        let compromised = if binding.compromised.is_some() { " compromised" } else { "" };
        let rounds = match &binding.state {
            State::Published(state) => format!(" {} rounds, confirmed {:?}", state.rounds_seen, state.confirmed_after),
            _ => String::new(),
        };
        format!("{} {} +{waited}{rounds}{held}{compromised}", binding.selector, binding.state.name())
    };
    manifest.bindings().iter().map(state).collect::<Vec<_>>().join(", ")
}

/// Whether checks are shortened: nothing sound signs, because of a compromise; for RSA also while only Ed25519 does.
fn is_hasty(manifest: &DomainManifest, algorithm: Algorithm) -> bool {
    let is_sound = |binding: &&Binding| binding.compromised.is_none();
    let sound = || manifest.signing().filter(is_sound).map(Binding::algorithm);
    let compromised = || manifest.bindings().iter().filter(|binding| !is_sound(binding)).map(Binding::algorithm);
    let lacks_rsa = sound().all(|algorithm| algorithm != Algorithm::RsaSha256);
    (sound().count() == 0 && compromised().count() > 0)
        || (algorithm == Algorithm::RsaSha256 && lacks_rsa && compromised().any(|one| one == Algorithm::RsaSha256))
}
