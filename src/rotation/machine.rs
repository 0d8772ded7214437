//! One domain, one effect at a time.

use std::collections::VecDeque;

use super::audit::{Entry, What, entries, entries_of};
use super::effect::{Effect, Hook, Outcome, Refusal, RefusalKind};
use super::naming::Naming;
use crate::dkim::PublicKey;
use crate::lifecycle::{
    Action, Automation, Change, Depth, Event, Evidence, Hand, Observations, Plan, Schedule, Sighting, Silences, Wait,
    WaitReason, Witnessed, apply, bind, bind_slot, plan, violations,
};
use crate::manifest::{BindError, Binding, DomainManifest, HeldReason, PrivateKeyPlace, StateName, Status};
use crate::names::Selector;
use crate::observation::Txt;
use crate::record_format::PublishedRecord;

/// What a machine begins with.
#[derive(Debug, Clone)]
pub struct Start {
    /// The manifest as the store has it.
    pub manifest: DomainManifest,
    /// How long each state lasts.
    pub schedule: Schedule,
    /// How much is done without the operator.
    pub automation: Automation,
    /// When keys were last used.
    pub evidence: Evidence,
    /// Since when servers are silent.
    pub silences: Silences,
    /// Which look is taken at records that nothing is due for.
    pub patrol: Patrol,
    /// What selectors of keys look like that are made, but in fixed slots.
    pub naming: Naming,
    /// The TTL, in seconds, of the records of keys that are made.
    pub record_ttl: u32,
    /// The last revision whose audit lines are known to be written; none: not known.
    pub audited: Option<u64>,
}

/// Whether records are looked at that nothing is due for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Patrol {
    /// Only what is due.
    OnlyDue,
    /// Also those of Active and Ready keys.
    AllInUse,
}

/// What the machine says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
pub enum Next {
    /// Do this and tell what came of it.
    Effect(Effect),
    /// Nothing more can be done now.
    Done(Box<Summary>),
}

/// How a run over a domain ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The plan that is left: what is waited for, and what is wrong. Actions in it were tried and refused.
    pub plan: Plan,
    /// Effects that were refused, in words.
    pub refusals: Vec<Refusal>,
    /// Somebody else wrote meanwhile: a new machine, from the store's manifest, goes on.
    pub overtaken: bool,
}

/// No run does more: a run that does is going in circles, and the next one goes on.
const MOST_EFFECTS: u32 = 1000;

/// One domain, one effect at a time.
#[derive(Debug, Clone)]
pub struct Machine {
    start: Start,
    manifest: DomainManifest,
    observations: Observations,
    /// What is asked for and not answered yet.
    asked: Option<Asked>,
    /// What follows from a commit: audit lines, destruction, hooks.
    following: VecDeque<Effect>,
    /// Actions that were tried in this run; none is tried twice.
    tried: Vec<Action>,
    refusals: Vec<Refusal>,
    /// What was put off.
    postponed: Vec<Wait>,
    effects: u32,
    overtaken: bool,
    /// The plan that found that the wall clock was set: nothing else is done in this run.
    paused: Option<Plan>,
}

/// What an outcome is an answer to.
#[derive(Debug, Clone)]
enum Asked {
    /// A look at these, for these actions.
    Observe,
    /// A key.
    Generate,
    /// A manifest.
    Commit,
    /// A hook, and the effect that it comes before.
    Before { then: Box<Effect>, selector: Selector },
    /// A change of DNS, and what it is to the binding.
    Dns { what: What, selector: Selector },
    /// Daemons, for this revision.
    Daemons { revision: u64 },
    /// What nothing rests on.
    Following,
}

impl Machine {
    /// Begins from what the store has; what a machine before it left undone is found out.
    pub fn new(start: Start) -> Self {
        let manifest = start.manifest.clone();
        let mut following = VecDeque::new();
        if start.audited.is_none_or(|audited| audited < manifest.revision()) && manifest.revision() > 0 {
            following.push_back(Effect::Audit { entries: entries_of(&manifest) });
        }
        let observations = Observations { silences: start.silences.clone(), ..Observations::default() };
        let mut machine = Self {
            start,
            manifest,
            observations,
            asked: None,
            following,
            tried: Vec::new(),
            refusals: Vec::new(),
            postponed: Vec::new(),
            effects: 0,
            overtaken: false,
            paused: None,
        };
        machine.patrol();
        machine
    }

    /// Takes what came of the last effect ([`Outcome::Begin`] at first) and says what is next.
    pub fn next(&mut self, outcome: Outcome, now: &Witnessed) -> Next {
        let answered = self.asked.take();
        let effect = answered.and_then(|asked| self.take(asked, outcome, now)).or_else(|| self.following());
        let mut plan = match effect.map_or_else(|| self.planned(now), Ok) {
            Ok(effect) if self.effects < MOST_EFFECTS => {
                self.effects += 1;
                return Next::Effect(effect);
            }
            Ok(_) => self.plan(now),
            Err(plan) => plan,
        };
        plan.waits.extend(self.postponed.iter().cloned());
        Next::Done(Box::new(Summary { plan, refusals: self.refusals.clone(), overtaken: self.overtaken }))
    }

    /// Since when servers are silent, as of the last look.
    pub fn silences(&self) -> &Silences {
        &self.observations.silences
    }

    /// The manifest as of the last commit.
    pub fn manifest(&self) -> &DomainManifest {
        &self.manifest
    }

    fn plan(&self, now: &Witnessed) -> Plan {
        let Start { evidence, schedule, automation, .. } = &self.start;
        plan(&self.manifest, &self.observations, evidence, now, schedule, *automation)
    }

    /// Takes an outcome in; gives what must follow at once.
    fn take(&mut self, asked: Asked, outcome: Outcome, now: &Witnessed) -> Option<Effect> {
        match (asked, outcome) {
            (_, Outcome::Overtaken) => {
                self.overtaken = true;
                None
            }
            (Asked::Observe, Outcome::Observed(seen)) => {
                for (selector, observed) in seen {
                    // A silence began at the end of the first look that met it, at the latest.
                    self.observations.silences.note(&observed.observation, now);
                    self.observations.seen.insert(selector, observed);
                }
                None
            }
            (Asked::Generate, Outcome::Generated(key)) => {
                let key_id = key.id();
                match self.bound(key, now)? {
                    Ok(next) => self.commit(next, Some(key_id), now),
                    Err(error) => self.refuse(RefusalKind::Failed, error.to_string()),
                }
            }
            (Asked::Commit, Outcome::Committed(written)) => {
                self.committed(*written);
                None
            }
            (Asked::Before { then, selector }, Outcome::Done) => {
                let what = match &*then {
                    Effect::Revoke { .. } => What::Revoked,
                    Effect::Delete { .. } => What::Deleted,
                    _ => What::Published,
                };
                self.asked = Some(Asked::Dns { what, selector });
                Some(*then)
            }
            (Asked::Dns { what, selector }, Outcome::Done) => {
                self.observations.seen.remove(&selector);
                // What was tried before may be tried on what is there now.
                self.tried.retain(|action| !matches!(action, Action::Observe { selector: of, .. } if *of == selector));
                let event = match what {
                    What::Revoked => Event::RevocationAcknowledged,
                    What::Deleted => Event::DeletionAcknowledged,
                    _ => Event::PublishAcknowledged,
                };
                self.step_or_audit(selector, event, what, now)
            }
            (Asked::Dns { selector, .. }, Outcome::Refused(refusal)) => {
                self.refusals.push(refusal.clone());
                self.observations.seen.remove(&selector);
                if refusal.kind != RefusalKind::Conflict {
                    return None;
                }
                let state = self.manifest.binding(&selector).map(|binding| binding.state.name());
                let reason = match state {
                    Some(StateName::Generated | StateName::Published) => HeldReason::Conflict,
                    _ => HeldReason::Drift,
                };
                let event = Event::Contradicted { reason, evidence: refusal.detail };
                self.change(Change::Step { selector, event }, now)
            }
            (Asked::Daemons { revision }, Outcome::Acknowledged) => {
                self.start.evidence.acknowledged_revision = Some(revision);
                None
            }
            (_, Outcome::Refused(refusal)) => {
                self.refusals.push(refusal);
                None
            }
            (_, Outcome::Postponed { selector, until }) => {
                let selector = Some(selector);
                self.postponed.push(Wait { selector, reason: WaitReason::Caches, until: Some(until) });
                None
            }
            _ => None,
        }
    }

    /// The manifest with a key that was made: in a slot that is free, or under a selector of its own.
    fn bound(&self, key: PublicKey, now: &Witnessed) -> Option<Result<DomainManifest, BindError>> {
        let Start { schedule, naming, record_ttl, .. } = &self.start;
        if let Some(slots) = &schedule.slots {
            let slot = self.manifest.free_slot(slots, key.algorithm(), now.wall)?;
            return Some(bind_slot(&self.manifest, slot, key, *record_ttl, now));
        }
        let date = jiff::tz::Offset::UTC.to_datetime(now.wall).date();
        let selector = naming.selector(&self.manifest, date, key.algorithm())?;
        Some(bind(&self.manifest, selector, key, *record_ttl, now))
    }

    /// The next of what follows from commits.
    fn following(&mut self) -> Option<Effect> {
        let effect = self.following.pop_front()?;
        self.asked = Some(if matches!(effect, Effect::Observe { .. }) { Asked::Observe } else { Asked::Following });
        Some(effect)
    }

    /// The effect of the first action of the plan that was not tried yet; the plan if there is none.
    fn planned(&mut self, now: &Witnessed) -> Result<Effect, Plan> {
        if let Some(plan) = self.paused.take() {
            return Err(plan);
        }
        let plan = self.plan(now);
        if self.overtaken {
            return Err(plan);
        }
        if plan.waits.iter().any(|wait| matches!(wait.reason, WaitReason::Clock { .. })) {
            // Waits are counted on from the clock as it is; the next run goes on.
            self.paused = Some(plan.clone());
        }
        for action in &plan.actions {
            if self.tried.contains(action) {
                continue;
            }
            let effect = match action {
                Action::Observe { depth, .. } => {
                    let selectors = self.alike(&plan.actions, *depth);
                    self.asked = Some(Asked::Observe);
                    Some(Effect::Observe { selectors, depth: *depth })
                }
                Action::Generate { algorithm } => {
                    self.tried.push(action.clone());
                    self.asked = Some(Asked::Generate);
                    Some(Effect::Generate { algorithm: *algorithm })
                }
                Action::Publish { selector } | Action::Revoke { selector } | Action::Delete { selector } => {
                    self.tried.push(action.clone());
                    self.dns(action, selector)
                }
                Action::AwaitDaemons { .. } => {
                    self.tried.push(action.clone());
                    let revision = self.manifest.revision();
                    self.asked = Some(Asked::Daemons { revision });
                    let seconds = u64::try_from(self.start.schedule.acknowledge_within.as_secs()).unwrap_or(0);
                    Some(Effect::AwaitDaemons { revision, seconds })
                }
                Action::Change(change) => {
                    self.tried.push(action.clone());
                    self.change(change.clone(), now)
                }
            };
            if let Some(effect) = effect {
                return Ok(effect);
            }
        }
        Err(plan)
    }

    /// All records that are to be looked at with the same depth, in one effect.
    fn alike(&mut self, actions: &[Action], depth: Depth) -> Vec<Selector> {
        let mut selectors = Vec::new();
        for action in actions {
            if let Action::Observe { selector, depth: of } = action
                && *of == depth
                && !self.tried.contains(action)
            {
                self.tried.push(action.clone());
                selectors.push(selector.clone());
            }
        }
        selectors
    }

    /// A change of DNS, after the hook that may forbid it.
    fn dns(&mut self, action: &Action, selector: &Selector) -> Option<Effect> {
        let binding = self.manifest.binding(selector)?;
        let standing = self.standing(binding);
        let record = PublishedRecord::with_key(self.manifest.domain(), binding);
        let revoked = PublishedRecord::revoked(self.manifest.domain(), binding);
        let (hook, then) = match action {
            Action::Revoke { .. } => (Hook::PreWithdraw, Effect::Revoke { old: record, standing, new: revoked }),
            Action::Delete { .. } => (Hook::PreWithdraw, Effect::Delete { records: vec![record, revoked], standing }),
            _ => (Hook::PrePublish, Effect::Publish { record }),
        };
        self.asked = Some(Asked::Before { then: Box::new(then), selector: selector.clone() });
        Some(Effect::Hook { hook, selectors: vec![selector.clone()] })
    }

    /// The forms in which our record was seen, beside the one in which we write it.
    fn standing(&self, binding: &Binding) -> Vec<Txt> {
        self.observations.seen.get(&binding.selector).map_or_else(Vec::new, |observed| {
            Sighting::of(binding, observed, &self.observations.silences, &self.start.schedule).standing
        })
    }

    fn change(&mut self, change: Change, now: &Witnessed) -> Option<Effect> {
        match apply(&self.manifest, &change, &self.start.evidence, now, &self.start.schedule) {
            Ok(next) if next == self.manifest => None,
            Ok(next) => self.commit(next, None, now),
            Err(error) => self.refuse(RefusalKind::Failed, error.to_string()),
        }
    }

    /// A change of DNS that the manifest does not record is audited by itself.
    fn step_or_audit(&mut self, selector: Selector, event: Event, what: What, now: &Witnessed) -> Option<Effect> {
        let committed = self.change(Change::Step { selector: selector.clone(), event }, now);
        if committed.is_none()
            && let Some(binding) = self.manifest.binding(&selector)
        {
            let entry = Entry {
                at: now.wall,
                domain: self.manifest.domain().clone(),
                revision: self.manifest.revision(),
                selector,
                key_id: binding.key_id(),
                what,
                before: None,
                after: Some(PublishedRecord::with_key(self.manifest.domain(), binding).value),
                detail: Some("again".into()),
            };
            self.following.push_back(Effect::Audit { entries: vec![entry] });
        }
        committed
    }

    fn commit(
        &mut self,
        manifest: DomainManifest,
        new_key: Option<crate::dkim::key::KeyId>,
        now: &Witnessed,
    ) -> Option<Effect> {
        let broken = violations(&self.manifest, &manifest, now, Hand::Rotation);
        debug_assert!(broken.is_empty(), "{broken:?}");
        if let Some(violation) = broken.first() {
            return self.refuse(RefusalKind::Failed, violation.to_string());
        }
        self.asked = Some(Asked::Commit);
        Some(Effect::Commit { manifest: Box::new(manifest), new_key })
    }

    fn committed(&mut self, written: DomainManifest) {
        let before = std::mem::replace(&mut self.manifest, written);
        let lines = entries(&before, &self.manifest);
        if !lines.is_empty() {
            self.following.push_back(Effect::Audit { entries: lines });
        }
        let (mut ready, mut active) = (Vec::new(), Vec::new());
        for binding in self.manifest.bindings() {
            let Some(old) = before.binding(&binding.selector) else { continue };
            if old.private_key != PrivateKeyPlace::None && binding.private_key == PrivateKeyPlace::None {
                self.following.push_back(Effect::Destroy {
                    selector: binding.selector.clone(),
                    key_id: binding.key_id(),
                    place: old.private_key,
                });
            }
            match (old.state.name(), binding.state.name()) {
                (from, to) if from == to => {}
                (_, StateName::Ready) => ready.push(binding.selector.clone()),
                (_, StateName::Active) => active.push(binding.selector.clone()),
                _ => {}
            }
        }
        for (hook, selectors) in [(Hook::PostReady, ready), (Hook::PostActivate, active)] {
            if !selectors.is_empty() {
                self.following.push_back(Effect::Hook { hook, selectors });
            }
        }
    }

    fn refuse(&mut self, kind: RefusalKind, detail: String) -> Option<Effect> {
        self.refusals.push(Refusal { kind, detail });
        None
    }

    /// The first look of a patrol, whatever is due.
    fn patrol(&mut self) {
        let is_in_use = |binding: &&Binding| matches!(binding.state.name(), StateName::Ready | StateName::Active);
        if self.start.patrol == Patrol::OnlyDue || self.manifest.status() == Status::Gone {
            return;
        }
        let selectors: Vec<_> =
            self.manifest.bindings().iter().filter(is_in_use).map(|binding| binding.selector.clone()).collect();
        if !selectors.is_empty() {
            self.following.push_back(Effect::Observe { selectors, depth: Depth::Servers });
        }
    }
}
