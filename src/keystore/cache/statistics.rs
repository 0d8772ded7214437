//! What the cache did, for metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quick_cache::Lifecycle;

/// Counted since the start, but for the sizes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStatistics {
    /// Look-ups that memory answered, and nothing needed to be checked.
    pub hits: u64,
    /// Look-ups that memory answered with something to be checked.
    pub stale: u64,
    /// Look-ups that memory could not answer.
    pub misses: u64,
    /// Checks that found a domain unchanged.
    pub revalidations: u64,
    /// Manifests read, or found not to be there.
    pub loads: u64,
    /// Loads that found that another had just done the same.
    pub coalesced: u64,
    /// Private keys read and parsed.
    pub keys_parsed: u64,
    /// Failed reads that what was known before made up for.
    pub failures_bridged: u64,
    /// Failed reads that nothing made up for.
    pub failures: u64,
    /// Domains dropped for want of room.
    pub domains_evicted: u64,
    /// Keys dropped for want of room.
    pub keys_evicted: u64,
    /// Domains held.
    pub domains: u64,
    /// Keys held.
    pub keys: u64,
    /// Octets of memory that the domains take.
    pub domain_bytes: u64,
    /// Octets of memory that the keys take, the cryptographic library's included.
    pub key_bytes: u64,
}

/// The counters behind it.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) hits: Counter,
    pub(super) stale: Counter,
    pub(super) misses: Counter,
    pub(super) revalidations: Counter,
    pub(super) loads: Counter,
    pub(super) coalesced: Counter,
    pub(super) keys_parsed: Counter,
    pub(super) failures_bridged: Counter,
    pub(super) failures: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counts evictions.
#[derive(Debug, Clone, Default)]
pub(super) struct Evictions(Arc<Counter>);

impl Evictions {
    pub(super) fn value(&self) -> u64 {
        self.0.value()
    }
}

impl<K: Eq, V> Lifecycle<K, V> for Evictions {
    type RequestState = Inserting<K>;

    fn on_evict(&self, inserting: &mut Inserting<K>, key: K, _: V) {
        if inserting.0.as_ref() != Some(&key) {
            self.0.count();
        }
    }
}

/// The key that is being inserted. Its old value is handed out like an evicted one and is none.
#[derive(Debug)]
pub(super) struct Inserting<K>(pub(super) Option<K>);

impl<K> Default for Inserting<K> {
    fn default() -> Self {
        Self(None)
    }
}
