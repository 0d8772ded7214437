//! All that the daemon knows of itself at one moment: what metrics and the status page are made of.

use std::sync::Arc;

use jiff::Timestamp;

use super::histogram::Buckets;
use super::log::LogCounts;
use super::process::Process;
use super::rotation_summary::RotationSummary;
use super::tally::{ALGORITHMS, Decisions, Reload, Tally};
use super::traffic::TrafficCounts;
use crate::keystore::CacheStatistics;
use crate::policy::Warning;

/// All that the daemon knows of itself at one moment. Counts are since the start.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When it was taken.
    pub at: Timestamp,
    /// When the daemon started.
    pub started: Timestamp,
    /// What the machine is called.
    pub host: String,
    /// Whether the daemon is well.
    pub health: Health,
    /// Messages by what was decided.
    pub decisions: Decisions,
    /// Messages signed although something is wrong with them, in the order of [`Warning::ALL`].
    pub warnings: [u64; Warning::ALL.len()],
    /// Messages judged by keys that the store did not confirm.
    pub stale_keys: u64,
    /// Signatures, in the order of [`ALGORITHMS`].
    pub signatures: [u64; ALGORITHMS.len()],
    /// Signatures that could not be made, in the order of [`ALGORITHMS`].
    pub signature_failures: [u64; ALGORITHMS.len()],
    /// How long MTAs waited for our answers, by message.
    pub answers: Buckets,
    /// How long messages waited for a signing thread.
    pub waited: Buckets,
    /// How long all signatures of a message took.
    pub signing: Buckets,
    /// Messages that nobody waited for any more when their turn to be signed came.
    pub given_up: u64,
    /// What is bounded, and how near its limit it is.
    pub usage: Vec<Usage>,
    /// Connections, and what goes over them.
    pub traffic: TrafficCounts,
    /// What the key cache did.
    pub cache: CacheStatistics,
    /// Octets that the key cache may take.
    pub cache_allowed: u64,
    /// Lines of the log.
    pub log: LogCounts,
    /// Configurations read again that run now, and that were refused.
    pub reloads: [u64; 2],
    /// What the last rotation came to, if it is known.
    pub rotation: Option<Arc<RotationSummary>>,
    /// What the process takes of the machine.
    pub process: Process,
}

/// Something bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// What, as metrics name it.
    pub resource: &'static str,
    /// How much of it is in use.
    pub in_use: u64,
    /// How much may be; none: no limit.
    pub limit: Option<u64>,
}

/// Whether the daemon is well, and takes mail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Health {
    /// It is stopping: messages in progress are finished, and no new ones begun.
    pub is_draining: bool,
    /// For so many seconds the threads that talk to MTAs have not come round; 0 if they do.
    pub loop_stuck_s: u64,
    /// For so many seconds messages have waited for a signature, and none was made; 0 if that is not so.
    pub signing_stuck_s: u64,
}

impl Health {
    /// What keeps it from being alive and making progress, in words.
    pub fn ills(self) -> Vec<String> {
        let mut ills = Vec::new();
        if self.loop_stuck_s > 0 {
            ills.push(format!("the threads that talk to MTAs have made no progress for {} s", self.loop_stuck_s));
        }
        if self.signing_stuck_s > 0 {
            ills.push(format!("messages wait for signatures, and none was made for {} s", self.signing_stuck_s));
        }
        ills
    }

    /// What keeps it from taking mail, in words.
    pub fn obstacles(self) -> Vec<String> {
        let draining = self.is_draining.then(|| "draining: finishing messages in progress".to_owned());
        draining.into_iter().chain(self.ills()).collect()
    }
}

impl Usage {
    /// The share of the limit that is in use, from 0; none if there is no limit.
    pub fn share(&self) -> Option<f64> {
        self.limit.filter(|limit| *limit > 0).map(|limit| self.in_use as f64 / limit as f64)
    }
}

/// Counts that are read together: what a [`Tally`] holds.
#[derive(Debug, Clone, Copy)]
pub struct TallyCounts {
    /// As in [`Snapshot`].
    pub decisions: Decisions,
    /// As in [`Snapshot`].
    pub answers: Buckets,
}

impl TallyCounts {
    /// What it holds now.
    pub fn of(tally: &Tally) -> Self {
        Self { decisions: tally.decisions(), answers: tally.answers.buckets() }
    }
}

/// Configurations read again, in the order of [`Snapshot::reloads`].
pub const RELOADS: [(Reload, &str); 2] = [(Reload::Done, "done"), (Reload::Refused, "refused")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_keeps_mail_away_and_is_no_illness() {
        let draining = Health { is_draining: true, ..Health::default() };
        assert!(draining.ills().is_empty());
        assert_eq!(draining.obstacles().len(), 1);
        let stuck = Health { loop_stuck_s: 12, signing_stuck_s: 40, ..Health::default() };
        assert_eq!(stuck.ills(), stuck.obstacles());
        assert!(stuck.ills()[1].contains("40 s"));
        assert!(Health::default().obstacles().is_empty());
    }
}
