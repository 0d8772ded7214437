//! The plan over all keys of a domain.

use jiff::{SignedDuration, Timestamp};

use super::change::{Domain, is_usable};
use super::event::Event;
use super::plan::{Action, Alarm, Automation, Change, Depth, Evidence, Plan, Threat, Wait, WaitReason};
use super::schedule::{Schedule, Standby};
use super::sighting::{Observations, Resolvers, Seen, Sighting};
use super::step::{Refused, Step, cached_for, has_signed, is_ahead, remaining, step};
use super::waits::{Witnessed, seconds};
use crate::dkim::Algorithm;
use crate::manifest::{Active, Binding, DomainManifest, EnteredBy, Published, Retiring, State, StateName, Status};
use crate::names::Selector;

/// A look is good for so long, or for the time between two rounds where that is shorter.
const FRESH: u64 = 60;

/// Waits are written down this often: well within the day that counts across a reboot.
const COUNT_AFTER: u64 = 12 * 60 * 60;

/// A change of DNS that the publisher took, but nobody sees, is tried again after this.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// When to look again at what others are to do: servers, people, resolvers.
const POLL: SignedDuration = SignedDuration::from_mins(10);

/// Next keys are made this long before `settle` and their turn, where there is no standby.
const LEAD: SignedDuration = SignedDuration::from_hours(48);

/// What is to be done about a domain's keys. An action that cannot be carried out may be passed over: those behind it do
/// not rest on it. After any that was, plan again.
pub fn plan(
    manifest: &DomainManifest,
    observations: &Observations,
    evidence: &Evidence,
    now: &Witnessed,
    schedule: &Schedule,
    automation: Automation,
) -> Plan {
    let domain = Domain { manifest, evidence, now, schedule, hasty: &schedule.shortened() };
    let mut planner = Planner { domain, observations, automation, plan: Plan::default() };
    if manifest.status() != Status::Gone {
        planner.domain();
    }
    planner.plan
}

struct Planner<'a> {
    domain: Domain<'a>,
    observations: &'a Observations,
    automation: Automation,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn domain(&mut self) {
        let Domain { manifest, now, .. } = self.domain;
        let trouble = manifest.bindings().iter().find_map(|binding| now.trouble(binding.witness.as_ref()));
        if let Some(trouble) = trouble.filter(|_| self.automation != Automation::Reminders) {
            // Counting begins anew from the clock as it is; CLOCK_BOOTTIME tells what has passed.
            self.act(Action::Change(Change::Count));
            self.wait(None, WaitReason::Clock { trouble }, Some(self.after(POLL)));
            return;
        }
        if manifest.bindings().iter().any(|binding| self.needs_count(binding)) {
            self.act(Action::Change(Change::Count));
        }
        for binding in manifest.bindings() {
            self.binding(binding);
        }
        if manifest.status() == Status::Enabled {
            self.activation();
            self.generation();
        }
        self.signs();
    }

    fn binding(&mut self, binding: &Binding) {
        let sighting = self.sighting(binding);
        if let Some(sighting) = &sighting {
            let event = Event::Looked(Box::new(sighting.clone()));
            if self.automation != Automation::Reminders && self.changes(binding, &event) {
                return self.step(binding, event);
            }
        }
        if let Some(held) = &binding.held {
            let evidence = held.evidence.clone().unwrap_or_default();
            self.wait(Some(binding), WaitReason::Held { reason: held.reason, evidence }, Some(self.after(POLL)));
        }
        let is_wanted = self.domain.manifest.status() == Status::Enabled && binding.compromised.is_none();
        let seen = sighting.as_ref();
        match &binding.state {
            State::Generated(_) | State::Published(_) | State::Ready(_) if !is_wanted => self.retire(binding),
            State::Generated(_) => self.generated(binding, seen),
            State::Published(state) => self.published(binding, state, seen),
            State::Ready(_) => {
                if binding.held.is_some() {
                    self.look(binding, Depth::Servers, seen);
                }
            }
            State::Active(state) => self.active(binding, state, seen),
            State::Retiring(state) => self.retiring(binding, state, seen),
            State::Revoked(_) => self.revoked(binding, seen),
            State::Withdrawn(_) => {
                if !self.waits_on(binding, WaitReason::Caches) {
                    self.withdrawn(binding, seen);
                }
            }
        }
    }

    fn generated(&mut self, binding: &Binding, seen: Option<&Sighting>) {
        if binding.held.is_some() {
            self.look(binding, Depth::Servers, seen);
        } else if self.automation == Automation::Full {
            self.act(Action::Publish { selector: binding.selector.clone() });
        } else {
            if seen.is_none() {
                self.act(Action::Observe { selector: binding.selector.clone(), depth: Depth::Servers });
            }
            self.wait(Some(binding), WaitReason::PublishByHand, Some(self.after(POLL)));
        }
    }

    fn published(&mut self, binding: &Binding, state: &Published, seen: Option<&Sighting>) {
        let Some(seen) = seen else {
            self.act(Action::Observe { selector: binding.selector.clone(), depth: Depth::Servers });
            return self.as_last_seen(binding, state);
        };
        if seen.seen != Seen::Everywhere {
            self.again_if_lost(binding, state, seen);
            let reason = WaitReason::Propagation { seen: seen.describe() };
            return self.wait(Some(binding), reason, Some(self.after(POLL)));
        }
        if state.confirmed_after.is_none() {
            let until = Some(self.after(SignedDuration::from_secs(self.apart(binding).cast_signed())));
            return self.wait(Some(binding), WaitReason::Rounds { seen: state.rounds_seen }, until);
        }
        if self.waits_on(binding, WaitReason::Settle) {
            return;
        }
        let Some(seen) = self.look(binding, Depth::Resolvers, Some(seen)) else { return };
        if let Resolvers::Differ { evidence } = &seen.resolvers {
            let reason = WaitReason::Resolvers { evidence: evidence.clone() };
            self.wait(Some(binding), reason, Some(self.after(POLL)));
        }
    }

    /// What a record waits for by what earlier looks came to.
    fn as_last_seen(&mut self, binding: &Binding, state: &Published) {
        let reason = match (state.rounds_seen, state.confirmed_after) {
            (0, _) => WaitReason::Propagation { seen: "nobody has seen it there yet".into() },
            (seen, None) => WaitReason::Rounds { seen },
            (_, Some(_)) if self.waits_on(binding, WaitReason::Settle) => return,
            (_, Some(_)) => WaitReason::Resolvers { evidence: "they have not been asked yet".into() },
        };
        self.wait(Some(binding), reason, Some(self.after(POLL)));
    }

    /// The publisher took it, and no server has it: the change was lost.
    fn again_if_lost(&mut self, binding: &Binding, state: &Published, seen: &Sighting) {
        let is_gone = seen.seen == Seen::Nowhere;
        let is_old = state.acknowledged.is_none_or(|at| self.is_past(at, AGAIN_AFTER));
        if is_gone && is_old && binding.held.is_none() && self.automation == Automation::Full {
            self.act(Action::Publish { selector: binding.selector.clone() });
        }
    }

    fn active(&mut self, binding: &Binding, state: &Active, seen: Option<&Sighting>) {
        if self.domain.manifest.status() == Status::Leaving || binding.is_stopped() {
            // Its standby, if it has one, takes over in one change with its retirement.
            let leaves = self.domain.manifest.status() == Status::Leaving;
            return if leaves || self.candidate(binding.algorithm()).is_none() {
                self.retire(binding)
            };
        }
        if binding.held.is_some() || self.follows_compromised(state) {
            self.look(binding, Depth::Servers, seen);
        }
        let is_whole = |seen: &Sighting| matches!(seen.seen, Seen::Everywhere | Seen::Unknown { .. });
        if let Some(seen) = seen.filter(|seen| !is_whole(seen)) {
            // Caches that had the record just before this, or before it was found changed, let go of it last.
            let since = binding.held.as_ref().map_or(seen.at.wall, |held| held.since.min(seen.at.wall));
            let ttl = cached_for(binding.record_ttl, state.largest_ttl);
            let until = since.saturating_add(SignedDuration::from_secs(ttl.cast_signed())).ok();
            let threat = Threat::ActiveRecord { seen: seen.describe() };
            self.alarm(Some(binding), threat, until.filter(|until| *until > self.domain.now.wall));
            if seen.seen == Seen::Nowhere && binding.held.is_none() && self.automation == Automation::Full {
                self.act(Action::Publish { selector: binding.selector.clone() });
            }
        }
        if binding.compromised.is_some() {
            self.alarm(Some(binding), Threat::CompromisedSigns, None);
        }
        let due = state.since.saturating_add(self.domain.schedule.key_age).unwrap_or(Timestamp::MAX);
        let reason = match self.automation {
            Automation::Full => WaitReason::Successor,
            Automation::ByHand | Automation::Reminders => WaitReason::Reminder,
        };
        let until = if due > self.domain.now.wall { due } else { self.after(POLL) };
        self.wait(Some(binding), reason, Some(until));
    }

    /// Whether it took the place of a key that others may have and that is not withdrawn yet. Nobody looked just before:
    /// its record is looked at until that is over.
    fn follows_compromised(&self, state: &Active) -> bool {
        let previous = state.previous.as_ref().and_then(|previous| self.domain.manifest.binding(previous));
        previous.is_some_and(|previous| previous.compromised.is_some() && previous.state.name() == StateName::Retiring)
    }

    fn retiring(&mut self, binding: &Binding, state: &Retiring, seen: Option<&Sighting>) {
        if state.withdrawal_begun.is_none() {
            let is_emergency = binding.compromised.is_some();
            let reason = if is_emergency { WaitReason::Daemons } else { WaitReason::Mail };
            if !self.waits_on(binding, reason) {
                return self.step(binding, Event::WithdrawalBegun);
            }
            let selector = binding.selector.clone();
            if is_emergency {
                self.act(Action::AwaitDaemons { selector });
            } else if seen.is_some_and(|seen| seen.seen == Seen::Nowhere)
                && binding.held.is_none()
                && self.automation == Automation::Full
            {
                self.act(Action::Publish { selector });
            }
            return;
        }
        let is_emergency = binding.compromised.is_some();
        if is_emergency {
            self.alarm(Some(binding), Threat::CompromisedPublished, None);
        }
        let skips_revocation = !is_emergency && (!has_signed(state) || seconds(self.domain.schedule.revoked_for) == 0);
        if skips_revocation {
            self.withdraw(binding, state.acknowledged, WaitReason::Deletion, seen);
        } else {
            self.withdraw(binding, state.acknowledged, WaitReason::Revocation, seen);
        }
    }

    fn revoked(&mut self, binding: &Binding, seen: Option<&Sighting>) {
        let State::Revoked(state) = &binding.state else { return };
        let is_back = seen.is_some_and(|seen| seen.seen == Seen::Everywhere);
        if is_back && binding.held.is_none() && self.automation == Automation::Full {
            return self.act(Action::Revoke { selector: binding.selector.clone() });
        }
        if !self.waits_on(binding, WaitReason::RevokedFor) {
            self.withdraw(binding, state.acknowledged, WaitReason::Deletion, seen);
        }
    }

    /// The last look before a key is forgotten: a run that did not know yet, cut short between its look and its publishing
    /// while the operator was faster, may have put the record back.
    fn withdrawn(&mut self, binding: &Binding, seen: Option<&Sighting>) {
        let Some(seen) = self.look(binding, Depth::Servers, seen) else { return };
        match seen.seen {
            Seen::Nowhere | Seen::Foreign { .. } => self.step(binding, Event::Forgotten),
            Seen::Unknown { .. } => self.wait(Some(binding), WaitReason::Deletion, Some(self.after(POLL))),
            Seen::Everywhere | Seen::Partly | Seen::Revoked => {
                self.withdraw(binding, None, WaitReason::Deletion, Some(seen));
            }
        }
    }

    /// Revokes or deletes a record, after a look at what stands there, and waits for it to be seen.
    fn withdraw(
        &mut self,
        binding: &Binding,
        acknowledged: Option<Timestamp>,
        what: WaitReason,
        seen: Option<&Sighting>,
    ) {
        let until = Some(self.after(POLL));
        if self.look(binding, Depth::Servers, seen).is_none() || binding.held.is_some() {
            return;
        }
        if self.automation != Automation::Full {
            return self.wait(Some(binding), WaitReason::WithdrawByHand, until);
        }
        if acknowledged.is_none_or(|at| self.is_past(at, AGAIN_AFTER)) {
            let selector = binding.selector.clone();
            self.act(match what {
                WaitReason::Revocation => Action::Revoke { selector },
                _ => Action::Delete { selector },
            });
        }
        self.wait(Some(binding), what, until);
    }

    fn retire(&mut self, binding: &Binding) {
        self.step(binding, Event::Retired { by: EnteredBy::Waits, successor: None });
    }

    /// Keys whose turn it is, in one change: RSA gates, and Ed25519 comes along or after.
    fn activation(&mut self) {
        if self.automation == Automation::Reminders {
            return;
        }
        let gate = self.gate();
        let mut chosen: Vec<Selector> = Vec::new();
        let mut unseen: Vec<Action> = Vec::new();
        for algorithm in [Algorithm::RsaSha256, Algorithm::Ed25519Sha256] {
            let Some(candidate) = self.candidate(algorithm) else { continue };
            let comes_along = algorithm != gate && !chosen.is_empty();
            if !comes_along && !self.is_turn(algorithm, gate) {
                let until = self.signing(gate).map(|active| self.due(active));
                self.wait(Some(candidate), WaitReason::Turn, until);
                continue;
            }
            let event = Event::Activated { by: EnteredBy::Waits, previous: None };
            match step(candidate, &event, &self.domain.circumstances(candidate)) {
                Ok(_) => chosen.push(candidate.selector.clone()),
                Err(Refused::NotSeenLately) => {
                    let reason = match self.sighting(candidate) {
                        Some(seen) => WaitReason::Propagation { seen: seen.describe() },
                        None => {
                            let selector = candidate.selector.clone();
                            unseen.push(Action::Observe { selector, depth: Depth::Servers });
                            WaitReason::Turn
                        }
                    };
                    self.wait(Some(candidate), reason, Some(self.after(POLL)));
                    // Ed25519 waits for the look at RSA.
                    if algorithm == gate {
                        // Both are looked at together, so that they change together.
                        chosen.clear();
                        self.look_along(gate, &mut unseen);
                        break;
                    }
                }
                Err(_) => {}
            }
        }
        self.plan.actions.extend(unseen);
        if !chosen.is_empty() {
            self.act(Action::Change(Change::Activate { selectors: chosen }));
        }
    }

    /// The other algorithm's candidate, where it was not seen lately either.
    fn look_along(&self, gate: Algorithm, unseen: &mut Vec<Action>) {
        let others = [Algorithm::RsaSha256, Algorithm::Ed25519Sha256].into_iter().filter(|other| *other != gate);
        for candidate in others.filter_map(|other| self.candidate(other)) {
            let event = Event::Activated { by: EnteredBy::Waits, previous: None };
            let is_unseen =
                step(candidate, &event, &self.domain.circumstances(candidate)) == Err(Refused::NotSeenLately);
            if is_unseen && self.sighting(candidate).is_none() {
                unseen.push(Action::Observe { selector: candidate.selector.clone(), depth: Depth::Servers });
            }
        }
    }

    /// The next key of each algorithm that is in use and has none on its way.
    fn generation(&mut self) {
        for algorithm in [Algorithm::RsaSha256, Algorithm::Ed25519Sha256] {
            let of_algorithm = || self.bindings().filter(|binding| binding.algorithm() == algorithm);
            // Where the operator publishes, the operator also makes the keys, but in an emergency.
            let is_emergency =
                || self.signing(algorithm).is_none() && of_algorithm().any(|binding| binding.compromised.is_some());
            if self.automation != Automation::Full && !is_emergency() {
                continue;
            }
            let is_next = |binding: &&Binding| {
                let state = binding.state.name();
                matches!(state, StateName::Generated | StateName::Published | StateName::Ready) && is_usable(binding)
            };
            let is_used =
                |binding: &Binding| binding.state.name() == StateName::Active || binding.compromised.is_some();
            if of_algorithm().any(|binding| is_next(&binding)) || !of_algorithm().any(is_used) {
                continue;
            }
            let lead = self.domain.schedule.settle.saturating_add(LEAD);
            let is_near = |active: &Binding| {
                let due = self.due(active);
                self.domain.now.wall >= due.saturating_sub(lead).unwrap_or(Timestamp::MIN)
            };
            let is_wanted = match self.signing(algorithm) {
                Some(active) => self.domain.schedule.standby == Standby::Always || is_near(active),
                None => true,
            };
            if is_wanted && self.has_selector(algorithm) {
                self.act(Action::Generate { algorithm });
            }
        }
    }

    /// Whether there is a selector for the next key; of fixed slots one has to be free.
    fn has_selector(&mut self, algorithm: Algorithm) -> bool {
        let Domain { manifest, now, schedule, .. } = self.domain;
        let Some(slots) = &schedule.slots else { return true };
        let is_free = manifest.free_slot(slots, algorithm, now.wall).is_some();
        if !is_free {
            let until = self.domain.slot_free_at(slots, algorithm);
            // What was waited for is over when others did their part, perhaps later.
            let until = until.map(|until| until.max(self.after(POLL)));
            self.wait(None, WaitReason::Slot { algorithm, slots: slots.of(algorithm).len() }, until);
        }
        is_free
    }

    /// Whether an enabled domain that has signed has anything to sign with.
    fn signs(&mut self) {
        let manifest = self.domain.manifest;
        let has_signed = |binding: &Binding| match &binding.state {
            State::Active(_) => true,
            State::Retiring(state) => has_signed(state),
            _ => false,
        };
        let is_silent = manifest.signing().next().is_none() && manifest.bindings().iter().any(has_signed);
        if manifest.status() == Status::Enabled && is_silent {
            self.alarm(None, Threat::NothingSigns, None);
        }
    }

    /// Whether the next key of an algorithm is to sign now.
    fn is_turn(&self, algorithm: Algorithm, gate: Algorithm) -> bool {
        match (self.signing(algorithm), self.signing(gate)) {
            (Some(active), _) if algorithm == gate => self.domain.now.wall >= self.due(active),
            (None, _) if algorithm == gate => true,
            (Some(active), Some(leader)) => leader.state.since() > active.state.since(),
            (None, leader) => leader.is_some(),
            (Some(_), None) => false,
        }
    }

    fn due(&self, active: &Binding) -> Timestamp {
        active.state.since().saturating_add(self.domain.schedule.key_age).unwrap_or(Timestamp::MAX)
    }

    /// The algorithm whose keys the others follow: RSA, if the domain has it.
    fn gate(&self) -> Algorithm {
        let has_rsa = self.bindings().any(|binding| {
            binding.algorithm() == Algorithm::RsaSha256
                && matches!(
                    binding.state.name(),
                    StateName::Generated | StateName::Published | StateName::Ready | StateName::Active
                )
        });
        if has_rsa { Algorithm::RsaSha256 } else { Algorithm::Ed25519Sha256 }
    }

    /// The newest key of an algorithm that is Ready.
    fn candidate(&self, algorithm: Algorithm) -> Option<&'a Binding> {
        self.bindings()
            .filter(|binding| binding.algorithm() == algorithm && binding.state.name() == StateName::Ready)
            .filter(|binding| is_usable(binding) && binding.held.is_none())
            .max_by_key(|binding| binding.created)
    }

    /// The sound key of an algorithm that signs.
    fn signing(&self, algorithm: Algorithm) -> Option<&'a Binding> {
        self.bindings().find(|binding| {
            binding.algorithm() == algorithm && binding.state.name() == StateName::Active && is_usable(binding)
        })
    }

    /// A look that is fresh and deep enough; else asks for one.
    fn look<'s>(&mut self, binding: &Binding, depth: Depth, seen: Option<&'s Sighting>) -> Option<&'s Sighting> {
        // Resolvers are asked only where the servers agree.
        let is_deep = |seen: &&Sighting| {
            depth == Depth::Servers || seen.resolvers != Resolvers::NotAsked || seen.seen != Seen::Everywhere
        };
        let enough = seen.filter(is_deep);
        if enough.is_none() {
            self.act(Action::Observe { selector: binding.selector.clone(), depth });
            self.wait(
                Some(binding),
                WaitReason::Propagation { seen: "nobody looked yet".into() },
                Some(self.after(POLL)),
            );
        }
        enough
    }

    /// What a fresh look saw.
    fn sighting(&self, binding: &Binding) -> Option<Sighting> {
        let Domain { now, schedule, .. } = self.domain;
        let observed = self.observations.seen.get(&binding.selector)?;
        let elapsed = now.since(&observed.at);
        let fresh = FRESH.min(self.apart(binding).max(1));
        let is_fresh = elapsed.seconds < fresh && elapsed.trouble.is_none() && observed.at.boot_id == now.boot_id;
        is_fresh.then(|| Sighting::of(binding, observed, &self.observations.silences, schedule))
    }

    /// Seconds between two rounds.
    fn apart(&self, binding: &Binding) -> u64 {
        let schedule = self.domain.schedule_of(binding.algorithm());
        seconds(schedule.rounds_over).div_ceil(u64::from(schedule.rounds.saturating_sub(1).max(1)))
    }

    fn needs_count(&self, binding: &Binding) -> bool {
        let waits = matches!(
            binding.state.name(),
            StateName::Published | StateName::Retiring | StateName::Revoked | StateName::Withdrawn
        );
        let is_stale = match &binding.witness {
            None => true,
            Some(witness) => {
                let now = self.domain.now;
                witness.boot_id != now.boot_id || now.waited(Some(witness)) - witness.waited >= COUNT_AFTER
            }
        };
        let is_ahead = matches!(&binding.state, State::Active(state) if is_ahead(state, self.domain.now));
        (waits && is_stale || is_ahead) && self.automation != Automation::Reminders
    }

    /// Whether its state must last longer; notes until when.
    fn waits_on(&mut self, binding: &Binding, reason: WaitReason) -> bool {
        let left = remaining(binding, &self.domain.circumstances(binding));
        if left > 0 {
            let until = self.after(SignedDuration::from_secs(i64::try_from(left).unwrap_or(i64::MAX)));
            self.wait(Some(binding), reason, Some(until));
        }
        left > 0
    }

    fn changes(&self, binding: &Binding, event: &Event) -> bool {
        matches!(step(binding, event, &self.domain.circumstances(binding)), Ok(Step::Changed(_) | Step::Forgotten(_)))
    }

    fn step(&mut self, binding: &Binding, event: Event) {
        self.act(Action::Change(Change::Step { selector: binding.selector.clone(), event }));
    }

    fn act(&mut self, action: Action) {
        // Whoever only reminds does nothing.
        if self.automation != Automation::Reminders {
            self.plan.actions.push(action);
        }
    }

    fn wait(&mut self, binding: Option<&Binding>, reason: WaitReason, until: Option<Timestamp>) {
        let selector = binding.map(|binding| binding.selector.clone());
        self.plan.waits.push(Wait { selector, reason, until });
    }

    fn alarm(&mut self, binding: Option<&Binding>, threat: Threat, until: Option<Timestamp>) {
        let selector = binding.map(|binding| binding.selector.clone());
        self.plan.alarms.push(Alarm { selector, threat, until });
    }

    fn bindings(&self) -> impl Iterator<Item = &'a Binding> + use<'a> {
        self.domain.manifest.bindings().iter()
    }

    fn after(&self, span: SignedDuration) -> Timestamp {
        self.domain.now.wall.saturating_add(span).unwrap_or(Timestamp::MAX)
    }

    fn is_past(&self, at: Timestamp, span: SignedDuration) -> bool {
        self.domain.now.wall.duration_since(at).abs() >= span
    }
}
