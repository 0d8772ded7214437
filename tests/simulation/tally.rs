//! What happened in a world, in numbers, and what should not have.

use std::collections::BTreeMap;
use std::fmt;

/// Counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Keys that took over from another by themselves.
    pub(crate) rotations: u64,
    /// Runs of the machine that were cut off, and answers that were lost.
    pub(crate) crashes: u64,
    /// Faults of servers, publishers, clocks, daemons, and edits by somebody else.
    pub(crate) faults: u64,
    /// What operators did.
    pub(crate) operations: u64,
    /// Runs of the machine.
    pub(crate) runs: u64,
    /// Effects that it had done.
    pub(crate) effects: u64,
    /// Commits that came too late, for somebody else wrote meanwhile.
    pub(crate) overtaken: u64,
    /// Messages signed.
    pub(crate) messages: u64,
    /// Messages that a daemon put off.
    pub(crate) deferred: u64,
    /// Signatures verified at delivery.
    pub(crate) verified: u64,
    /// Signatures that failed because a server broke its word.
    pub(crate) lost_to_servers: u64,
    /// Signatures of compromised keys that failed.
    pub(crate) lost_to_compromise: u64,
    /// Of these, what was signed when its key was revoked already.
    pub(crate) lost_late: u64,
    /// How many were predicted to.
    pub(crate) predicted: u64,
    /// Signatures that failed because an operator activated a key before it was Ready, or in an emergency.
    pub(crate) lost_to_hurry: u64,
    /// Records of keys that were given up because servers said that they were gone.
    pub(crate) left_behind: u64,
    /// How often each effect was cut, and how.
    pub(crate) cuts: BTreeMap<(&'static str, Cut), u64>,
    /// What must never happen, in words, and how often.
    pub(crate) violations: Vec<String>,
    pub(crate) violated: u64,
}

/// Where an effect is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cut {
    /// It is not done.
    Before,
    /// It is done, and the run ends.
    After,
    /// It is done, and the run goes on without knowing.
    AnswerLost,
}

impl Cut {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Before, Self::After, Self::AnswerLost];
}

/// So many violations of one world are told.
const TOLD: usize = 5;

impl Tally {
    /// Something happened that must not.
    pub(crate) fn violate(&mut self, what: String) {
        self.violated += 1;
        if self.violations.len() < TOLD {
            self.violations.push(what);
        }
    }

    /// An effect was cut off.
    pub(crate) fn crash(&mut self, effect: &'static str, cut: Cut) {
        self.crashes += 1;
        *self.cuts.entry((effect, cut)).or_default() += 1;
    }

    /// Whether there are fewer rotations yet, and no violation that would keep it from being a success.
    pub(crate) fn wants_more(&self, rotations: u64) -> bool {
        self.rotations < rotations && self.violated < 20
    }

    /// Adds another world's counts.
    pub(crate) fn add(&mut self, seed: u64, other: &Self) {
        self.rotations += other.rotations;
        self.crashes += other.crashes;
        self.faults += other.faults;
        self.operations += other.operations;
        self.runs += other.runs;
        self.effects += other.effects;
        self.overtaken += other.overtaken;
        self.messages += other.messages;
        self.deferred += other.deferred;
        self.verified += other.verified;
        self.lost_to_servers += other.lost_to_servers;
        self.lost_to_compromise += other.lost_to_compromise;
        self.lost_late += other.lost_late;
        self.predicted += other.predicted;
        for (cut, count) in &other.cuts {
            *self.cuts.entry(*cut).or_default() += count;
        }
        self.lost_to_hurry += other.lost_to_hurry;
        self.left_behind += other.left_behind;
        self.violated += other.violated;
        self.violations.extend(other.violations.iter().map(|what| format!("WAXSEAL_SEED={seed}: at {what}")));
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "rotations {}, crashes {}, faults {}, operations {}, runs {}, effects {}, overtaken {}, messages {} \
             (deferred {}), signatures verified {}, lost to servers {}, to compromise {} (predicted {}, signed after {}), to hurry {}, records \
             left behind unseen {}, violations: {}",
            self.rotations,
            self.crashes,
            self.faults,
            self.operations,
            self.runs,
            self.effects,
            self.overtaken,
            self.messages,
            self.deferred,
            self.verified,
            self.lost_to_servers,
            self.lost_to_compromise,
            self.predicted,
            self.lost_late,
            self.lost_to_hurry,
            self.left_behind,
            self.violated,
        )
    }
}
