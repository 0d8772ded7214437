//! One domain, one effect at a time.

use crate::lifecycle::{Automation, Evidence, Plan, Schedule, Silences, Witnessed};
use crate::manifest::DomainManifest;

use super::effect::{Effect, Outcome};

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
    pub refusals: Vec<super::effect::Refusal>,
    /// Somebody else wrote meanwhile: a new machine, from the store's manifest, goes on.
    pub overtaken: bool,
}

/// One domain, one effect at a time.
#[derive(Debug, Clone)]
pub struct Machine {
    start: Start,
}

impl Machine {
    /// Begins from what the store has; what a machine before it left undone is found out.
    pub fn new(start: Start) -> Self {
        Self { start }
    }

    /// Takes what came of the last effect ([`Outcome::Begin`] at first) and says what is next.
    pub fn next(&mut self, outcome: Outcome, now: &Witnessed) -> Next {
        let _ = (outcome, now);
        Next::Done(Box::new(Summary { plan: Plan::default(), refusals: Vec::new(), overtaken: false }))
    }

    /// Since when servers are silent, as of the last look.
    pub fn silences(&self) -> &Silences {
        &self.start.silences
    }
}
