//! How many messages ended in which way, and how long they took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::Histogram;
use super::traffic::Traffic;
use crate::dkim::Algorithm;
use crate::dkim::comparison::{Difference, Kind};
use crate::policy::{Action, Decision, Reason, Warning, Warnings};

/// All actions, in the order of their documentation.
pub const ACTIONS: [Action; 4] = [Action::Sign, Action::Pass, Action::Defer, Action::Refuse];

/// All algorithms, in the order of their documentation.
pub const ALGORITHMS: [Algorithm; 2] = [Algorithm::RsaSha256, Algorithm::Ed25519Sha256];

/// Counts decisions since the start; shared by all connections.
#[derive(Debug, Default)]
pub struct Tally {
    decisions: [[AtomicU64; Reason::ALL.len()]; ACTIONS.len()],
    warnings: [AtomicU64; Warning::ALL.len()],
    stale_keys: AtomicU64,
    ignored_connections: AtomicU64,
    compared: AtomicU64,
    compared_same: AtomicU64,
    differences: [AtomicU64; Kind::ALL.len()],
    replaced: AtomicU64,
    signatures: [AtomicU64; ALGORITHMS.len()],
    signature_failures: [AtomicU64; ALGORITHMS.len()],
    reloads: [AtomicU64; 2],
    /// How long MTAs waited for our answers, by message.
    pub answers: Histogram,
    /// Connections, and what goes over them.
    pub traffic: Traffic,
}

/// What became of a configuration that was to replace the running one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// It runs.
    Done,
    /// It was refused, and the old one runs.
    Refused,
}

/// Decisions at one time, or between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decisions([[u64; Reason::ALL.len()]; ACTIONS.len()]);

impl Tally {
    /// Counts one message.
    pub fn count(&self, decision: Decision) {
        self.decisions[decision.action as usize][decision.reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what is wrong with one message that was signed all the same.
    pub fn count_warnings(&self, warnings: Warnings) {
        for warning in warnings.iter() {
            self.warnings[warning as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a message judged by keys that the store did not confirm.
    pub fn count_stale_keys(&self) {
        self.stale_keys.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection of a client whose mail is not looked at.
    pub fn count_ignored_connection(&self) {
        self.ignored_connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a message whose signatures were held against those of another signer; each kind once.
    pub fn count_comparison(&self, differences: &[Difference]) {
        self.compared.fetch_add(1, Ordering::Relaxed);
        if differences.is_empty() {
            self.compared_same.fetch_add(1, Ordering::Relaxed);
        }
        for kind in Kind::ALL.into_iter().filter(|kind| differences.iter().any(|found| found.kind() == *kind)) {
            self.differences[kind as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts signatures of another signer that were taken away from one message.
    pub fn count_replaced(&self, signatures: usize) {
        self.replaced.fetch_add(signatures as u64, Ordering::Relaxed);
    }

    /// Connections of clients whose mail is not looked at.
    pub fn ignored_connections(&self) -> u64 {
        self.ignored_connections.load(Ordering::Relaxed)
    }

    /// Messages whose signatures were held against those of another signer.
    pub fn compared(&self) -> u64 {
        self.compared.load(Ordering::Relaxed)
    }

    /// Those of them without a difference.
    pub fn compared_same(&self) -> u64 {
        self.compared_same.load(Ordering::Relaxed)
    }

    /// Those of them with a difference of this kind.
    pub fn of_difference(&self, kind: Kind) -> u64 {
        self.differences[kind as usize].load(Ordering::Relaxed)
    }

    /// Signatures of another signer that were taken away.
    pub fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Relaxed)
    }

    /// Counts a signature.
    pub fn count_signature(&self, algorithm: Algorithm) {
        self.signatures[algorithm as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a signature that could not be made.
    pub fn count_signature_failure(&self, algorithm: Algorithm) {
        self.signature_failures[algorithm as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a message's answers, for which the MTA waited this long together.
    pub fn count_answer(&self, waited: Duration) {
        self.answers.record(waited);
    }

    /// Counts a configuration that was to replace the running one.
    pub fn count_reload(&self, reload: Reload) {
        self.reloads[reload as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Decisions so far.
    pub fn decisions(&self) -> Decisions {
        let value = |action: usize, reason: usize| self.decisions[action][reason].load(Ordering::Relaxed);
        Decisions(std::array::from_fn(|action| std::array::from_fn(|reason| value(action, reason))))
    }

    /// Messages that ended with this action.
    pub fn of_action(&self, action: Action) -> u64 {
        self.decisions().of_action(action)
    }

    /// Messages that ended for this reason.
    pub fn of_reason(&self, reason: Reason) -> u64 {
        self.decisions().of_reason(reason)
    }

    /// Messages with this warning.
    pub fn of_warning(&self, warning: Warning) -> u64 {
        self.warnings[warning as usize].load(Ordering::Relaxed)
    }

    /// Messages judged by keys that the store did not confirm.
    pub fn stale_keys(&self) -> u64 {
        self.stale_keys.load(Ordering::Relaxed)
    }

    /// Signatures with this algorithm.
    pub fn signatures(&self, algorithm: Algorithm) -> u64 {
        self.signatures[algorithm as usize].load(Ordering::Relaxed)
    }

    /// Signatures with this algorithm that could not be made.
    pub fn signature_failures(&self, algorithm: Algorithm) -> u64 {
        self.signature_failures[algorithm as usize].load(Ordering::Relaxed)
    }

    /// Configurations that were to replace the running one, and came to this.
    pub fn reloads(&self, reload: Reload) -> u64 {
        self.reloads[reload as usize].load(Ordering::Relaxed)
    }
}

impl Decisions {
    /// Messages that ended with this action for this reason.
    pub fn of(&self, action: Action, reason: Reason) -> u64 {
        self.0[action as usize][reason as usize]
    }

    /// Messages that ended with this action.
    pub fn of_action(&self, action: Action) -> u64 {
        self.0[action as usize].iter().sum()
    }

    /// Messages that ended for this reason.
    pub fn of_reason(&self, reason: Reason) -> u64 {
        self.0.iter().map(|reasons| reasons[reason as usize]).sum()
    }

    /// All messages.
    pub fn total(&self) -> u64 {
        self.0.iter().flatten().sum()
    }

    /// What came since an earlier time.
    pub fn since(&self, earlier: &Self) -> Self {
        let between = |action: usize, reason: usize| self.0[action][reason].saturating_sub(earlier.0[action][reason]);
        Self(std::array::from_fn(|action| std::array::from_fn(|reason| between(action, reason))))
    }
}

impl Default for Decisions {
    fn default() -> Self {
        Self([[0; Reason::ALL.len()]; ACTIONS.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter() {
        let tally = Tally::default();
        for reason in Reason::ALL {
            tally.count(Decision { action: Action::Pass, reason });
        }
        assert!(Reason::ALL.iter().all(|&reason| tally.of_reason(reason) == 1));
        assert_eq!(tally.of_action(Action::Pass), Reason::ALL.len() as u64);
        assert_eq!(tally.of_action(Action::Sign), 0);
    }

    #[test]
    fn every_warning_has_its_own_counter() {
        let tally = Tally::default();
        let mut warnings = Warnings::default();
        warnings.add(Warning::EightBit);
        tally.count_warnings(warnings);
        let counts: Vec<u64> = Warning::ALL.iter().map(|&warning| tally.of_warning(warning)).collect();
        assert_eq!(counts, [0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn every_algorithm_has_its_own_counters() {
        let tally = Tally::default();
        tally.count_signature(Algorithm::Ed25519Sha256);
        tally.count_signature_failure(Algorithm::RsaSha256);
        assert_eq!(ALGORITHMS.map(|algorithm| tally.signatures(algorithm)), [0, 1]);
        assert_eq!(ALGORITHMS.map(|algorithm| tally.signature_failures(algorithm)), [1, 0]);
    }

    #[test]
    fn actions_are_told_apart_for_one_reason_and_by_time() {
        let tally = Tally::default();
        let decision = |action| Decision { action, reason: Reason::KeysUnusable };
        tally.count(decision(Action::Defer));
        let before = tally.decisions();
        tally.count(decision(Action::Pass));
        let between = tally.decisions().since(&before);
        assert_eq!((between.of(Action::Defer, Reason::KeysUnusable), between.total()), (0, 1));
        assert_eq!(tally.of_reason(Reason::KeysUnusable), 2);
    }
}
