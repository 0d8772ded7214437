//! The runner: performs the machine's effects one by one, is killed in between, and does not always hear what came of
//! them.

use std::time::Duration;

use waxseal::lifecycle::{Automation, Evidence, Witnessed};
use waxseal::rotation::{Effect, Machine, Naming, Next, Outcome, Patrol, Refusal, RefusalKind, Start, Summary};

use super::guard::Guard;
use super::keys;
use super::tally::Cut;
use super::time::{DAY, MINUTE, Moment};
use super::world::{Event, SOON, World};

/// One of two that may run at once.
#[derive(Debug, Default)]
pub(crate) struct Runner {
    machine: Option<Machine>,
    /// What is to be done next, and what the clocks were when that began.
    effect: Option<(Effect, Witnessed)>,
    /// Tells what was ordered for this run from what was for one before.
    turn: u64,
    effects: u32,
    /// Runs in a row that changed nothing.
    idle: u32,
    patrolled: Option<Moment>,
}

/// No run has as many effects to do.
const ENDLESS: u32 = 300;

/// Of a thousand effects, so many are cut off before they are done, so many after, and of so many the answer is lost.
const CUTS: u64 = 12;

impl World {
    /// Has a runner start later, in place of what it is doing or was to do.
    pub(crate) fn start_later(&mut self, runner: usize, after: Duration) {
        let state = &mut self.runners[runner];
        (state.machine, state.effect) = (None, None);
        state.turn += 1;
        let turn = state.turn;
        self.after(after, Event::Run(runner, turn));
    }

    /// Begins a run from what the store has.
    pub(crate) fn begin_run(&mut self, runner: usize, turn: u64) {
        if self.runners[runner].turn != turn {
            return;
        }
        if runner == 0 && self.random.happens(40) {
            let after = self.random.up_to(MINUTE);
            self.start_later(1, after);
        }
        self.tally.runs += 1;
        let patrolled = self.runners[runner].patrolled;
        let patrol = if patrolled.is_none_or(|last| self.now - last >= DAY) {
            self.runners[runner].patrolled = Some(self.now);
            self.tidy();
            Patrol::AllInUse
        } else {
            Patrol::OnlyDue
        };
        let evidence = self.evidence();
        let start = Start {
            manifest: self.store.manifest(),
            schedule: self.schedule.clone(),
            automation: Automation::Full,
            evidence,
            silences: self.silences.clone(),
            patrol,
            record_ttl: self.record_ttl,
            naming: Naming::default(),
            audited: self.audited,
        };
        self.runners[runner].machine = Some(Machine::new(start));
        self.runners[runner].effects = 0;
        self.advance(runner, Outcome::Begin);
    }

    pub(crate) fn evidence(&mut self) -> Evidence {
        let mut evidence = Evidence::default();
        if self.guard == Some(Guard::Evidence) || !self.writes_evidence {
            return evidence;
        }
        let wall = self.clock.wall(self.now);
        for daemon in &mut self.daemons {
            for (key, at) in daemon.evidence(self.now, wall) {
                let last = evidence.last_used.entry(*key).or_insert(*at);
                *last = (*last).max(*at);
            }
        }
        evidence
    }

    /// Has the machine say what is next, and order it.
    fn advance(&mut self, runner: usize, outcome: Outcome) {
        let witnessed = self.witnessed();
        let Some(machine) = &mut self.runners[runner].machine else { return };
        let next = machine.next(outcome, &witnessed);
        match next {
            Next::Effect(effect) => {
                let takes = match &effect {
                    Effect::Observe { .. } => self.random.up_to(Duration::from_secs(20)),
                    Effect::AwaitDaemons { seconds, .. } => self.random.up_to(Duration::from_secs(*seconds)),
                    Effect::Publish { .. } | Effect::Revoke { .. } | Effect::Delete { .. } => {
                        self.random.up_to(Duration::from_secs(5))
                    }
                    _ => Duration::ZERO,
                };
                let state = &mut self.runners[runner];
                state.effects += 1;
                if state.effects > ENDLESS {
                    self.tally.violate(format!("{}: a run does not end: {effect:?}", self.now.0));
                    self.start_later(runner, DAY);
                    return;
                }
                state.effect = Some((effect, witnessed));
                let turn = state.turn;
                self.after(takes, Event::Perform(runner, turn));
            }
            Next::Done(summary) => self.end_run(runner, &summary),
        }
    }

    fn end_run(&mut self, runner: usize, summary: &Summary) {
        let state = &mut self.runners[runner];
        // All of its lines were appended before it was done.
        let written = state.machine.as_ref().map(|machine| machine.manifest().revision());
        self.audited = self.audited.max(written);
        (state.machine, state.effect) = (None, None);
        if runner != 0 {
            return;
        }
        // Where nothing moves, it is tried less and less often.
        let backoff = MINUTE * 4_u32.pow(state.idle.min(4));
        state.idle += 1;
        let after = if summary.overtaken || !summary.refusals.is_empty() || self.random.happens(20) {
            self.random.up_to(SOON) + MINUTE
        } else {
            let wall = self.clock.wall(self.now);
            let due = summary.plan.waits.iter().filter_map(|wait| wait.until).min();
            let seconds = due.map_or(DAY.as_secs() as i64, |due| due.duration_since(wall).as_secs());
            let lateness = self.random.up_to(10 * MINUTE);
            Duration::from_secs(seconds.clamp(60, DAY.as_secs() as i64) as u64) + lateness
        };
        self.start_later(0, after.max(backoff));
    }

    /// Performs the effect that is ordered, if nothing cuts it off, and tells the machine what came of it, if nothing
    /// keeps that back.
    pub(crate) fn perform(&mut self, runner: usize, turn: u64) {
        if self.runners[runner].turn != turn {
            return;
        }
        let Some((effect, began)) = self.runners[runner].effect.take() else { return };
        let name = name_of(&effect);
        if self.random.happens(CUTS) {
            return self.cut(runner, name, Cut::Before);
        }
        self.tally.effects += 1;
        if !matches!(effect, Effect::Commit { .. }) {
            self.tell(|_| format!("runner {runner}: {effect:?}").chars().take(200).collect());
        }
        let outcome = self.have_done(effect, &began);
        if self.random.happens(CUTS) {
            return self.cut(runner, name, Cut::After);
        }
        if self.random.happens(CUTS) {
            self.tell(|_| format!("runner {runner} hears no answer"));
            self.tally.crash(name, Cut::AnswerLost);
            self.advance(runner, refused(RefusalKind::Failed, "the answer was lost"));
            return;
        }
        self.advance(runner, outcome);
    }

    fn cut(&mut self, runner: usize, effect: &'static str, cut: Cut) {
        self.tell(|_| format!("runner {runner} is killed"));
        self.tally.crash(effect, cut);
        let after = self.random.up_to(SOON);
        if runner == 0 {
            self.start_later(0, after);
        } else {
            self.runners[runner].machine = None;
        }
    }

    fn have_done(&mut self, effect: Effect, began: &Witnessed) -> Outcome {
        match effect {
            Effect::Observe { selectors, depth } => {
                let seen = selectors.into_iter().map(|selector| {
                    let observed = self.look(&selector, depth, began);
                    (selector, observed)
                });
                let seen: Vec<_> = seen.collect();
                let now = self.witnessed();
                for (_, observed) in &seen {
                    self.silences.note(&observed.observation, &now);
                }
                Outcome::Observed(seen)
            }
            Effect::Generate { algorithm } => {
                self.next_key += 1;
                let key = keys::key(algorithm, self.next_key);
                self.generated.insert(key.id(), key.clone());
                Outcome::Generated(key)
            }
            Effect::Commit { manifest, new_key } => {
                if let Some(key) = new_key
                    && !self.generated.contains_key(&key)
                {
                    self.tally.violate(format!("{}: a key is bound that nobody generated", self.now.0));
                }
                match self.commit(*manifest, new_key, super::checks::Actor::Machine) {
                    Some(written) => {
                        self.runners[0].idle = 0;
                        Outcome::Committed(Box::new(written))
                    }
                    None => {
                        self.tally.overtaken += 1;
                        Outcome::Overtaken
                    }
                }
            }
            Effect::Publish { record } => self.publish(&record),
            Effect::Revoke { old, standing, new } => self.revoke(&old, &standing, &new),
            Effect::Delete { records, standing } => self.delete(&records, &standing),
            Effect::Hook { .. } if self.random.happens(20) => refused(RefusalKind::Failed, "the hook failed"),
            Effect::Hook { .. } => Outcome::Done,
            Effect::AwaitDaemons { .. } => {
                if self.daemons.iter().all(|daemon| daemon.acknowledges(self.now)) {
                    self.acknowledged.extend(self.compromised.keys().cloned());
                    Outcome::Acknowledged
                } else {
                    refused(RefusalKind::Failed, "not all daemons answered")
                }
            }
            Effect::Audit { entries } => {
                self.audited = entries.iter().map(|entry| entry.revision).max().max(self.audited);
                Outcome::Done
            }
            Effect::Destroy { key_id, selector, .. } => {
                self.check_destroyed(&selector, key_id);
                self.store.destroy(key_id);
                Outcome::Done
            }
        }
    }
}

fn name_of(effect: &Effect) -> &'static str {
    match effect {
        Effect::Observe { .. } => "Observe",
        Effect::Generate { .. } => "Generate",
        Effect::Commit { .. } => "Commit",
        Effect::Publish { .. } => "Publish",
        Effect::Revoke { .. } => "Revoke",
        Effect::Delete { .. } => "Delete",
        Effect::Hook { .. } => "Hook",
        Effect::AwaitDaemons { .. } => "AwaitDaemons",
        Effect::Audit { .. } => "Audit",
        Effect::Destroy { .. } => "Destroy",
    }
}

/// An effect was not done, or nobody knows.
pub(crate) fn refused(kind: RefusalKind, detail: &str) -> Outcome {
    Outcome::Refused(Refusal { kind, detail: detail.to_owned() })
}
