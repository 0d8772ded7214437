//! A daemon: the real cache and its rules of staleness, the real choice of keys, and evidence that it may lose.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use waxseal::clock::Clock;
use waxseal::dkim::key::KeyId;
use waxseal::keystore::{CacheOptions, Cached, DomainKeys, KeyCache, StoreError};
use waxseal::names::{DomainName, Selector};

use super::store::{Store, View};
use super::time::Moment;

/// How a daemon reaches the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// At once.
    Well,
    /// Every attempt takes longer than a message is made to wait.
    Hangs,
    /// Every attempt fails.
    Fails,
}

/// What a message is to be signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// With these keys.
    Sign(Vec<Selector>),
    /// With none: the domain has no active key.
    Unsigned,
    /// Not now: the MTA is to try again.
    Defer,
    /// An active key's private part is gone.
    KeyGone(Selector),
}

/// A daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    domain: DomainName,
    store: Store,
    options: CacheOptions,
    cache: KeyCache<View>,
    reach: Reach,
    began: Instant,
    /// The newest signature with each key: not yet, and already, written down.
    unwritten: BTreeMap<KeyId, Timestamp>,
    written: BTreeMap<KeyId, Timestamp>,
    last_noted: Moment,
}

/// Evidence is written so often.
const WRITE_EVERY: Duration = Duration::from_secs(60);

impl Daemon {
    /// A daemon that knows nothing yet.
    pub(crate) fn start(domain: DomainName, store: Store, max_staleness: Duration) -> Self {
        let small = CacheOptions { domain_bytes: 8 << 10, key_bytes: 8 << 10, ..CacheOptions::default() };
        let options = CacheOptions { max_staleness, ..small };
        let cache = KeyCache::new(View::new(store.clone()), options);
        let (unwritten, written) = (BTreeMap::new(), BTreeMap::new());
        let began = Clock::System.monotonic();
        let (reach, last_noted) = (Reach::Well, Moment(0));
        Self { domain, store, options, cache, reach, began, unwritten, written, last_noted }
    }

    /// It is killed and started again: what was not written down is lost.
    pub(crate) fn restart(&mut self, now: Moment) {
        self.write(now);
        self.unwritten.clear();
        self.cache = KeyCache::new(View::new(self.store.clone()), self.options);
        self.set_reach(self.reach);
    }

    /// Changes how it reaches the store.
    pub(crate) fn set_reach(&mut self, reach: Reach) {
        self.reach = reach;
        self.cache.store().is_away.store(reach == Reach::Fails, Ordering::Relaxed);
    }

    /// Whether it reaches the store.
    pub(crate) fn is_well(&self) -> bool {
        self.reach == Reach::Well
    }

    /// The keys for a message, as the filter chooses them.
    pub(crate) fn select(&self, now: Moment) -> Selection {
        let instant = self.instant(now);
        let load = || match self.reach {
            Reach::Hangs => None,
            Reach::Well | Reach::Fails => self.cache.load(&self.domain, instant).ok(),
        };
        let keys = match self.cache.cached(&self.domain, instant) {
            Cached::Fresh(keys) => Some(keys),
            Cached::Stale(known) => Some(load().unwrap_or(known)),
            Cached::Unknown => load(),
        };
        keys.map_or(Selection::Defer, |keys| Self::selection(&keys))
    }

    fn selection(keys: &Arc<DomainKeys>) -> Selection {
        let mut selectors = Vec::new();
        for key in &keys.unusable {
            match *key.error {
                StoreError::KeyNotKept { .. } => selectors.push(key.selector.clone()),
                _ => return Selection::KeyGone(key.selector.clone()),
            }
        }
        if selectors.is_empty() { Selection::Unsigned } else { Selection::Sign(selectors) }
    }

    /// Whether it has read the store as it is now: what it is asked for in an emergency.
    pub(crate) fn acknowledges(&self, now: Moment) -> bool {
        self.reach == Reach::Well && self.cache.load(&self.domain, self.instant(now)).is_ok()
    }

    /// It signed.
    pub(crate) fn note(&mut self, key: KeyId, at: Timestamp, now: Moment) {
        self.write(now);
        self.last_noted = now;
        let last = self.unwritten.entry(key).or_insert(at);
        *last = (*last).max(at);
    }

    /// Has written down by now what it noted a minute ago.
    fn write(&mut self, now: Moment) {
        if now - self.last_noted >= WRITE_EVERY {
            for (key, at) in std::mem::take(&mut self.unwritten) {
                let last = self.written.entry(key).or_insert(at);
                *last = (*last).max(at);
            }
        }
    }

    /// What it has written down. Nothing of it is later than its clock, which was set back then.
    pub(crate) fn evidence(&mut self, now: Moment, wall: Timestamp) -> &BTreeMap<KeyId, Timestamp> {
        self.write(now);
        self.written.values_mut().for_each(|last| *last = wall.min(*last));
        &self.written
    }

    /// Forgets keys that are gone.
    pub(crate) fn tidy(&mut self, keep: impl Fn(&KeyId) -> bool) {
        self.written.retain(|key, _| keep(key));
    }

    fn instant(&self, now: Moment) -> Instant {
        self.began + Duration::from_secs(now.0)
    }
}
