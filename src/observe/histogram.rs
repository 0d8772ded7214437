//! How long things took: counts in buckets of fixed bounds, kept by any number of threads without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets but the last, which has none, in microseconds: from an Ed25519 signature to the longest that
/// an MTA waits.
pub const BOUNDS: [u64; 18] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

const BUCKETS: usize = BOUNDS.len() + 1;

/// Durations counted since the start.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    /// Microseconds.
    sum: AtomicU64,
}

/// What a histogram held at one time, or what came to it between two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Buckets {
    counts: [u64; BUCKETS],
    /// Microseconds.
    sum: u64,
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS.partition_point(|bound| *bound < micros);
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// What it holds now.
    pub fn buckets(&self) -> Buckets {
        let counts = std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed));
        Buckets { counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

impl Buckets {
    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together, in seconds.
    pub fn sum(&self) -> f64 {
        Duration::from_micros(self.sum).as_secs_f64()
    }

    /// Upper bounds in seconds, and how many durations lie between each and the one before; the last bound is infinite.
    pub fn bounded(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = BOUNDS.iter().map(|bound| Duration::from_micros(*bound).as_secs_f64()).chain([f64::MAX]);
        bounds.zip(self.counts)
    }

    /// What came since an earlier time.
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = std::array::from_fn(|at| self.counts[at].saturating_sub(earlier.counts[at]));
        Self { counts, sum: self.sum.saturating_sub(earlier.sum) }
    }

    /// The duration that a share of them, from 0 to 1, did not exceed: as exact as the buckets are. None if there are none.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let rank = (self.count() as f64 * share).ceil().max(1.0);
        let mut below = 0_u64;
        for (at, count) in self.counts.into_iter().enumerate() {
            if count > 0 && (below + count) as f64 >= rank {
                let lower = if at == 0 { 0 } else { BOUNDS[at - 1] };
                let upper = BOUNDS.get(at).copied().unwrap_or(lower);
                let within = (rank - below as f64) / count as f64;
                return Some(Duration::from_micros(lower + ((upper - lower) as f64 * within) as u64));
            }
            below += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_falls_below_its_bound_and_the_longest_below_none() {
        let histogram = Histogram::default();
        for micros in [0, 50, 51, 40_000_000] {
            histogram.record(Duration::from_micros(micros));
        }
        let bounded: Vec<(f64, u64)> = histogram.buckets().bounded().filter(|(_, count)| *count > 0).collect();
        assert_eq!(bounded, [(0.00005, 2), (0.0001, 1), (f64::MAX, 1)]);
        assert!((histogram.buckets().sum() - 40.000_101).abs() < 1e-9);
    }

    #[test]
    fn quantiles_lie_within_the_bucket_that_holds_them() {
        let histogram = Histogram::default();
        assert_eq!(histogram.buckets().quantile(0.5), None);
        for _ in 0..99 {
            histogram.record(Duration::from_micros(300));
        }
        let before = histogram.buckets();
        histogram.record(Duration::from_secs(60));
        let now = histogram.buckets();
        let half = now.quantile(0.5).unwrap();
        assert!((250..=500).contains(&half.as_micros()), "{half:?}");
        assert_eq!(now.quantile(1.0), Some(Duration::from_secs(30)));
        assert_eq!(now.since(&before).count(), 1);
    }
}
