//! Latencies, counted in bounded memory.

use std::time::Duration;

/// Buckets for each power of two: values are off by less than 1 in 128.
const PRECISION_BITS: u32 = 7;
const BUCKETS: usize = (64 - PRECISION_BITS as usize + 1) << PRECISION_BITS;

/// How long things took, to less than 1 %.
#[derive(Debug, Clone)]
pub(super) struct Latencies {
    counts: Vec<u32>,
    total: u64,
    longest: Duration,
}

impl Latencies {
    pub(super) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, longest: Duration::ZERO }
    }

    pub(super) fn record(&mut self, took: Duration) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let count = &mut self.counts[bucket(nanoseconds)];
        *count = count.saturating_add(1);
        self.total += 1;
        self.longest = self.longest.max(took);
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// What `share` (0 to 1) of all stayed within; nothing if nothing was recorded.
    pub(super) fn percentile(&self, share: f64) -> Option<Duration> {
        if self.total == 0 {
            return None;
        }
        let rank = ((share * self.total as f64).ceil() as u64).clamp(1, self.total);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return Some(Duration::from_nanos(upper_bound(index)).min(self.longest));
            }
        }
        Some(self.longest)
    }
}

/// Values below 2^7 have a bucket each; above, the seven bits after the highest one count.
fn bucket(value: u64) -> usize {
    let magnitude = (u64::BITS - value.leading_zeros()).saturating_sub(PRECISION_BITS + 1);
    let mantissa = (value >> magnitude) as usize;
    if magnitude == 0 { mantissa } else { ((magnitude as usize) << PRECISION_BITS) + mantissa }
}

/// The largest value of a bucket.
fn upper_bound(index: usize) -> u64 {
    if index < 2 << PRECISION_BITS {
        return index as u64;
    }
    let magnitude = (index >> PRECISION_BITS) - 1;
    let mantissa = (index - (magnitude << PRECISION_BITS)) as u64;
    ((mantissa + 1) << magnitude).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.percentile(0.5), None);
        for microseconds in 1..=1000 {
            latencies.record(Duration::from_micros(microseconds));
        }
        for (share, expected) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            let found = latencies.percentile(share).unwrap().as_secs_f64() * 1e6;
            assert!((found - expected).abs() / expected < 0.01, "{share}: {found}");
        }
        assert_eq!(latencies.longest(), Duration::from_micros(1000));
        assert_eq!(latencies.total, 1000);
    }

    #[test]
    fn latencies_of_several_connections_add_up() {
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        one.record(Duration::from_millis(1));
        other.record(Duration::from_millis(3));
        one.add(&other);
        assert_eq!(one.total, 2);
        assert_eq!(one.percentile(1.0), Some(Duration::from_millis(3)));
    }

    proptest! {
        #[test]
        fn a_value_is_within_its_bucket_and_close_to_its_end(value in any::<u64>()) {
            let index = bucket(value);
            prop_assert!(index < BUCKETS);
            prop_assert!(value <= upper_bound(index));
            prop_assert!(upper_bound(index) - value <= value / 64);
            prop_assert_eq!(bucket(upper_bound(index)), index);
        }
    }
}
