//! What the daemon knows since it last wrote.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{PoisonError, RwLock};

use jiff::Timestamp;

use crate::dkim::key::KeyId;

/// Signatures with different keys seldom meet.
const SHARDS: usize = 16;

/// Keys in one shard between two writes, so a million in all, some 60 MB.
const MOST: usize = 1 << 16;

/// The last use of each key since the last [`Recorder::take`], bounded.
#[derive(Debug)]
pub struct Recorder {
    shards: [RwLock<HashMap<KeyId, AtomicI64, ahash::RandomState>>; SHARDS],
    /// The last use of keys that found no room.
    beyond: AtomicI64,
}

/// What a recorder had.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Keys, and seconds since 1970.
    pub(super) last_used: Vec<(KeyId, i64)>,
    /// Some key that is not among them was used then, at the latest.
    pub(super) beyond: Option<i64>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { shards: Default::default(), beyond: AtomicI64::new(i64::MIN) }
    }
}

impl Recorder {
    /// A key has signed. A read lock that is free but for the instant in which a key is new or all are taken, a look-up
    /// and an atomic: some tens of nanoseconds beside a signature's hundred thousands.
    pub fn used(&self, key: KeyId, at: Timestamp) {
        let seconds = rounded_up(at);
        let shard = &self.shards[usize::from(key.as_octets()[0]) % SHARDS];
        if let Some(last) = shard.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            last.fetch_max(seconds, Ordering::Relaxed);
            return;
        }
        let mut keys = shard.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MOST && !keys.contains_key(&key) {
            self.beyond.fetch_max(seconds, Ordering::Relaxed);
            return;
        }
        keys.entry(key).or_insert(AtomicI64::new(i64::MIN)).fetch_max(seconds, Ordering::Relaxed);
    }

    /// Takes what is there, leaving nothing.
    pub(super) fn take(&self) -> Taken {
        let mut last_used = Vec::new();
        for shard in &self.shards {
            let keys = std::mem::take(&mut *shard.write().unwrap_or_else(PoisonError::into_inner));
            last_used.extend(keys.into_iter().map(|(key, last)| (key, last.into_inner())));
        }
        let beyond = self.beyond.swap(i64::MIN, Ordering::Relaxed);
        Taken { last_used, beyond: (beyond != i64::MIN).then_some(beyond) }
    }
}

/// Whole seconds, at or after that time.
pub(super) fn rounded_up(at: Timestamp) -> i64 {
    at.as_second().saturating_add(i64::from(at.subsec_nanosecond() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn the_newest_use_counts_rounded_up_and_is_taken_once() {
        let recorder = Recorder::default();
        let key = KeyId::of(b"a");
        recorder.used(key, at(7));
        recorder.used(key, Timestamp::new(9, 1).unwrap());
        recorder.used(key, at(8));
        assert_eq!(recorder.take().last_used, [(key, 10)]);
        assert!(recorder.take().last_used.is_empty());
    }

    #[test]
    fn keys_beyond_the_bound_are_known_to_have_been_used() {
        let recorder = Recorder::default();
        let total = SHARDS * MOST + 5_000;
        for number in 0..total {
            recorder.used(KeyId::of(&number.to_be_bytes()), at(1 + i64::try_from(number).unwrap()));
        }
        let taken = recorder.take();
        assert!(taken.last_used.len() <= SHARDS * MOST);
        assert_eq!(taken.beyond, Some(i64::try_from(total).unwrap()));
    }
}
