//! How long signatures take and wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::histogram::Histogram;

/// Counts since the start; shared by all signing threads.
#[derive(Debug, Default)]
pub struct SigningMeter {
    /// How long messages waited for a thread, for a place in the queue included.
    pub waited: Histogram,
    /// How long all signatures of one message took.
    pub signing: Histogram,
    given_up: AtomicU64,
}

/// How busy the signing threads are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SigningLoad {
    /// Messages in the queue, those that are being signed included.
    pub queued: u64,
    /// Messages that the queue holds.
    pub places: u64,
}

impl SigningMeter {
    /// Takes note of a message that waited, and was then signed.
    pub fn record(&self, waited: Duration, signing: Duration) {
        self.waited.record(waited);
        self.signing.record(signing);
    }

    /// Counts a message that nobody waited for any more when its turn came.
    pub fn count_given_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }

    /// Messages that nobody waited for any more when their turn came.
    pub fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }
}
