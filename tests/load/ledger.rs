//! What was signed, and what verifiers made of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use crate::support::{Outcome, Signature};

/// A signed message, kept until its key is withdrawn.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) octets: Arc<Vec<u8>>,
    pub(crate) signed_at: Instant,
}

/// All messages of one run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Mutex<Entries>,
    is_over: AtomicBool,
}

#[derive(Debug, Default)]
struct Entries {
    figures: Figures,
    /// By selector of their signatures, those that are still to be verified again.
    kept: BTreeMap<String, Vec<Kept>>,
    /// Selectors of RSA keys that signed.
    rsa: BTreeSet<String>,
    failures: Vec<String>,
}

/// What a run comes to.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) messages: u64,
    /// Signatures verified at once.
    pub(crate) at_once: u64,
    /// Signatures verified again just before their key's withdrawal.
    pub(crate) before_withdrawal: u64,
    /// Signatures verified again at the end, their keys not being withdrawn yet.
    pub(crate) at_the_end: u64,
    /// Answers of the resolver that there is no record, to somebody who asked too early.
    pub(crate) absent: u64,
    /// The longest that a message took to be signed, in milliseconds.
    pub(crate) slowest: u128,
}

/// When signatures are verified again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    BeforeWithdrawal,
    AtTheEnd,
}

impl Ledger {
    /// Takes in a signed message and what a verifier said of it at once.
    pub(crate) fn signed(&self, octets: Vec<u8>, signed_at: Instant, signatures: &[Signature]) {
        let kept = Kept { octets: Arc::new(octets), signed_at };
        let mut algorithms: Vec<&str> = signatures.iter().map(|signature| signature.algorithm.as_str()).collect();
        algorithms.sort_unstable();
        let mut entries = self.entries();
        let number = entries.figures.messages;
        entries.figures.messages += 1;
        if algorithms != ["ed25519-sha256", "rsa-sha256"] {
            entries.failures.push(format!("message {number} is signed with {algorithms:?}"));
        }
        for signature in signatures {
            entries.figures.at_once += 1;
            if signature.outcome != Outcome::Pass {
                entries.failures.push(format!("message {number}, at once: {signature:?}"));
            }
            if signature.algorithm == "rsa-sha256" {
                entries.rsa.insert(signature.selector.clone());
            }
            entries.kept.entry(signature.selector.clone()).or_default().push(kept.clone());
        }
    }

    /// How long the slowest message took.
    pub(crate) fn took(&self, milliseconds: u128) {
        let slowest = &mut self.entries().figures.slowest;
        *slowest = (*slowest).max(milliseconds);
    }

    /// The resolver was asked too early.
    pub(crate) fn asked_early(&self) {
        self.entries().figures.absent += 1;
    }

    /// Takes note of something that must not be.
    pub(crate) fn failed(&self, what: String) {
        self.entries().failures.push(what);
    }

    /// The messages that a key signed, and that were not verified again yet.
    pub(crate) fn take(&self, selector: &str) -> Vec<Kept> {
        self.entries().kept.remove(selector).unwrap_or_default()
    }

    /// The keys whose messages were not verified again yet.
    pub(crate) fn selectors(&self) -> Vec<String> {
        self.entries().kept.keys().cloned().collect()
    }

    /// A signature was verified again, and passed.
    pub(crate) fn verified(&self, when: Again) {
        let figures = &mut self.entries().figures;
        match when {
            Again::BeforeWithdrawal => figures.before_withdrawal += 1,
            Again::AtTheEnd => figures.at_the_end += 1,
        }
    }

    /// How often a key took over from another.
    pub(crate) fn rotations(&self) -> usize {
        self.entries().rsa.len().saturating_sub(1)
    }

    pub(crate) fn messages(&self) -> u64 {
        self.entries().figures.messages
    }

    pub(crate) fn figures(&self) -> Figures {
        self.entries().figures
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.entries().failures.clone()
    }

    /// Nothing more is signed.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, at_once, before_withdrawal, at_the_end, absent, slowest } = self;
        write!(
            f,
            "{messages} messages, the slowest in {slowest} ms; signatures verified: {at_once} at once, \
             {before_withdrawal} before withdrawal, {at_the_end} at the end; {absent} answers that there is no record"
        )
    }
}
