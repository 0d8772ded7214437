//! How many messages ended in which way.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::policy::{Action, Decision, DifferenceKind, Reason, Warning, Warnings};

/// Counts decisions since the start; shared by all connections.
#[derive(Debug, Default)]
pub struct Tally {
    actions: [AtomicU64; 4],
    reasons: [AtomicU64; Reason::ALL.len()],
    warnings: [AtomicU64; Warning::ALL.len()],
    stale_keys: AtomicU64,
    ignored_connections: AtomicU64,
    compared: AtomicU64,
    compared_same: AtomicU64,
    differences: [AtomicU64; DifferenceKind::ALL.len()],
    replaced: AtomicU64,
}

impl Tally {
    /// Counts one message.
    pub fn count(&self, decision: Decision) {
        self.actions[decision.action as usize].fetch_add(1, Ordering::Relaxed);
        self.reasons[decision.reason as usize].fetch_add(1, Ordering::Relaxed);
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
    pub fn count_comparison(&self, kinds: &[DifferenceKind]) {
        self.compared.fetch_add(1, Ordering::Relaxed);
        if kinds.is_empty() {
            self.compared_same.fetch_add(1, Ordering::Relaxed);
        }
        for kind in DifferenceKind::ALL.into_iter().filter(|kind| kinds.contains(kind)) {
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
    pub fn of_difference(&self, kind: DifferenceKind) -> u64 {
        self.differences[kind as usize].load(Ordering::Relaxed)
    }

    /// Signatures of another signer that were taken away.
    pub fn replaced(&self) -> u64 {
        self.replaced.load(Ordering::Relaxed)
    }

    /// Messages that ended with this action.
    pub fn of_action(&self, action: Action) -> u64 {
        self.actions[action as usize].load(Ordering::Relaxed)
    }

    /// Messages that ended for this reason.
    pub fn of_reason(&self, reason: Reason) -> u64 {
        self.reasons[reason as usize].load(Ordering::Relaxed)
    }

    /// Messages with this warning.
    pub fn of_warning(&self, warning: Warning) -> u64 {
        self.warnings[warning as usize].load(Ordering::Relaxed)
    }

    /// Messages judged by keys that the store did not confirm.
    pub fn stale_keys(&self) -> u64 {
        self.stale_keys.load(Ordering::Relaxed)
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
    fn a_comparison_counts_each_kind_once() {
        let tally = Tally::default();
        tally.count_comparison(&[]);
        tally.count_comparison(&[DifferenceKind::Selector, DifferenceKind::Selector, DifferenceKind::Key]);
        assert_eq!((tally.compared(), tally.compared_same()), (2, 1));
        let found = DifferenceKind::ALL.into_iter().filter(|kind| tally.of_difference(*kind) == 1);
        assert_eq!(found.collect::<Vec<_>>(), [DifferenceKind::Selector, DifferenceKind::Key]);
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
}
