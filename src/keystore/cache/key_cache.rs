//! The cache itself.

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::entry::{ActiveKey, DomainKeys, Entry, EntryKey, UnusableKey, insertion_order};
use super::statistics::{CacheStatistics, Counters, Evictions, Inserting};
use crate::dkim::key::{KeyId, SigningKey};
use crate::keystore::error::StoreError;
use crate::keystore::store::{KeyStore, Stamp};
use crate::manifest::{Binding, DomainManifest, Presence};
use crate::names::DomainName;

/// Domains whose names fall on the same turn wait for each other's loads.
const TURNS: usize = 256;

/// The keys of the domains that mail, in front of a store.
#[derive(Debug)]
pub struct KeyCache<S> {
    store: S,
    options: CacheOptions,
    domains: Cache<DomainName, Arc<Entry>, ByMemory, ahash::RandomState, Evictions>,
    keys: Cache<KeyId, Arc<SigningKey>, ByMemory, ahash::RandomState, Evictions>,
    domain_evictions: Evictions,
    key_evictions: Evictions,
    hasher: ahash::RandomState,
    turns: Box<[Mutex<()>]>,
    counters: Counters,
}

/// Bounds of a [`KeyCache`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheOptions {
    /// Octets of memory for what is known of domains, about 400 each.
    pub domain_bytes: u64,
    /// Octets of memory for parsed keys, about 6,000 for one of RSA-2048. All keys that sign at one time should fit.
    pub key_bytes: u64,
    /// After how long an answer is to be checked.
    pub revalidate_after: Duration,
    /// For how long an answer that cannot be checked may be used.
    pub max_staleness: Duration,
}

impl Default for CacheOptions {
    /// Room for about 300,000 domains and 80,000 RSA keys; what is not used is not taken.
    fn default() -> Self {
        Self {
            domain_bytes: 128 << 20,
            key_bytes: 512 << 20,
            revalidate_after: Duration::from_secs(1),
            max_staleness: Duration::from_secs(3600),
        }
    }
}

/// What memory says about a domain.
#[derive(Debug, Clone)]
pub enum Cached {
    /// Checked just now.
    Fresh(Arc<DomainKeys>),
    /// To be checked by [`KeyCache::load`]; usable if that takes too long.
    Stale(Arc<DomainKeys>),
    /// Nothing, or nothing that may still be used: only [`KeyCache::load`] can tell.
    Unknown,
}

impl<S: KeyStore> KeyCache<S> {
    /// An empty cache in front of a store.
    pub fn new(store: S, options: CacheOptions) -> Self {
        let (domain_evictions, key_evictions) = (Evictions::default(), Evictions::default());
        Self {
            store,
            options,
            domains: bounded(options.domain_bytes, 400, &domain_evictions),
            keys: bounded(options.key_bytes, 6000, &key_evictions),
            domain_evictions,
            key_evictions,
            hasher: ahash::RandomState::new(),
            turns: (0..TURNS).map(|_| Mutex::new(())).collect(),
            counters: Counters::default(),
        }
    }

    /// The store behind.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// What is known of a domain, from memory: no I/O, no waiting, well under a microsecond.
    ///
    /// An entry whose check failed counts as fresh for another `revalidate_after`, lest every message try again.
    pub fn cached(&self, domain: &DomainName, now: Instant) -> Cached {
        let cached = self.answer(domain, self.domains.get(domain), now);
        match cached {
            Cached::Fresh(_) => self.counters.hits.count(),
            Cached::Stale(_) => self.counters.stale.count(),
            Cached::Unknown => self.counters.misses.count(),
        }
        cached
    }

    /// The same for whoever only compares: not counted, and no sign that the domain is in use.
    pub fn peek(&self, domain: &DomainName, now: Instant) -> Cached {
        self.answer(domain, self.domains.peek(domain), now)
    }

    fn answer(&self, domain: &DomainName, entry: Option<Arc<Entry>>, now: Instant) -> Cached {
        let known = entry.and_then(|entry| Some((self.assemble(domain, &entry)?, entry)));
        match known {
            Some((keys, entry)) if self.is_usable(&entry, now) => {
                if self.is_fresh(&entry, now) {
                    Cached::Fresh(Arc::new(keys))
                } else {
                    Cached::Stale(Arc::new(keys))
                }
            }
            _ => Cached::Unknown,
        }
    }

    /// Makes sure of what is known of a domain. Blocks: one `stat` if nothing changed, else the manifest and those keys
    /// that are not parsed yet (about 120 µs for RSA). For threads of the store's own, never for a runtime thread.
    ///
    /// Calls for one domain wait for each other, and for what the first found out. `now` is the time of the call.
    ///
    /// # Errors
    /// If the store cannot be read and nothing is known, or nothing younger than `max_staleness`; what is known and
    /// younger is returned as unconfirmed. Keys that cannot be read are no error: they are listed as unusable.
    pub fn load(&self, domain: &DomainName, now: Instant) -> Result<Arc<DomainKeys>, StoreError> {
        let turn = self.hasher.hash_one(domain) as usize % TURNS;
        let _turn = self.turns[turn].lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.domains.peek(domain);
        if let Some(entry) = &known
            && self.is_usable(entry, now)
            && self.is_fresh(entry, now)
            && let Some(keys) = self.assemble(domain, entry)
        {
            self.counters.coalesced.count();
            return Ok(Arc::new(keys));
        }
        match self.read(domain, known.as_deref(), now) {
            Ok((keys, entry)) => {
                self.keep(domain, entry);
                Ok(Arc::new(keys))
            }
            Err(error) => {
                if let Some(entry) = known
                    && self.is_usable(&entry, now)
                    && let Some(keys) = self.assemble(domain, &entry)
                {
                    self.counters.failures_bridged.count();
                    let failure = Some(Arc::new(error));
                    self.keep(domain, Entry { tried: now, failure: failure.clone(), ..Entry::clone(&entry) });
                    return Ok(Arc::new(DomainKeys { unconfirmed: failure, ..keys }));
                }
                self.counters.failures.count();
                Err(error)
            }
        }
    }

    /// What the cache did so far, and how large it is.
    pub fn statistics(&self) -> CacheStatistics {
        let counters = &self.counters;
        CacheStatistics {
            hits: counters.hits.value(),
            stale: counters.stale.value(),
            misses: counters.misses.value(),
            revalidations: counters.revalidations.value(),
            loads: counters.loads.value(),
            coalesced: counters.coalesced.value(),
            keys_parsed: counters.keys_parsed.value(),
            failures_bridged: counters.failures_bridged.value(),
            failures: counters.failures.value(),
            domains_evicted: self.domain_evictions.value(),
            keys_evicted: self.key_evictions.value(),
            domains: self.domains.len() as u64,
            keys: self.keys.len() as u64,
            domain_bytes: self.domains.weight(),
            key_bytes: self.keys.weight(),
        }
    }

    fn keep(&self, domain: &DomainName, entry: Entry) {
        let mut inserting = Inserting(Some(domain.clone()));
        self.domains.insert_with_lifecycle(domain.clone(), Arc::new(entry), &mut inserting);
    }

    fn is_fresh(&self, entry: &Entry, now: Instant) -> bool {
        now.saturating_duration_since(entry.tried) < self.options.revalidate_after
    }

    fn is_usable(&self, entry: &Entry, now: Instant) -> bool {
        now.saturating_duration_since(entry.succeeded) < self.options.max_staleness
    }

    /// An entry with its keys; none if one of them was evicted.
    fn assemble(&self, domain: &DomainName, entry: &Entry) -> Option<DomainKeys> {
        let key = |EntryKey { selector, algorithm, id }: &EntryKey| {
            Some(ActiveKey { selector: selector.clone(), algorithm: *algorithm, key: self.keys.get(id)? })
        };
        Some(DomainKeys {
            domain: domain.clone(),
            keys: entry.keys.iter().map(key).collect::<Option<_>>()?,
            unusable: entry.unusable.to_vec(),
            presence: entry.presence,
            revision: entry.revision,
            unconfirmed: entry.failure.clone(),
        })
    }

    fn read(
        &self,
        domain: &DomainName,
        known: Option<&Entry>,
        now: Instant,
    ) -> Result<(DomainKeys, Entry), StoreError> {
        // Before the manifest: if that changes in between, the stamp is too old and the next check reads again.
        let stamp = self.store.stamp(domain)?;
        if let Some(entry) = known
            && entry.stamp == stamp
            && entry.unusable.is_empty()
            && let Some(keys) = self.assemble(domain, entry)
        {
            self.counters.revalidations.count();
            let keys = DomainKeys { unconfirmed: None, ..keys };
            return Ok((keys, Entry { succeeded: now, tried: now, failure: None, ..entry.clone() }));
        }
        let (keys, stamp) = self.read_keys(domain, stamp)?;
        let entry = Entry {
            presence: keys.presence,
            revision: keys.revision,
            stamp,
            succeeded: now,
            tried: now,
            failure: None,
            keys: keys.keys.iter().map(EntryKey::of).collect(),
            unusable: keys.unusable.clone().into(),
        };
        Ok((keys, entry))
    }

    /// The manifest and the keys it names. If a key cannot be read the manifest may just have been replaced, and its
    /// keys destroyed: then everything is read once more.
    fn read_keys(
        &self,
        domain: &DomainName,
        mut stamp: Option<Stamp>,
    ) -> Result<(DomainKeys, Option<Stamp>), StoreError> {
        let first = self.read_keys_once(domain)?;
        if first.unusable.is_empty() {
            return Ok((first, stamp));
        }
        let stamp_now = self.store.stamp(domain)?;
        if stamp_now == stamp {
            return Ok((first, stamp));
        }
        stamp = stamp_now;
        Ok((self.read_keys_once(domain)?, stamp))
    }

    fn read_keys_once(&self, domain: &DomainName) -> Result<DomainKeys, StoreError> {
        let manifest = self.store.manifest(domain)?;
        self.counters.loads.count();
        let presence = manifest.as_ref().map_or(Presence::NoSuchDomain, |manifest| manifest.presence());
        let revision = manifest.as_ref().map_or(0, DomainManifest::revision);
        let (keys, unusable) = (Vec::new(), Vec::new());
        let mut found = DomainKeys { domain: domain.clone(), keys, unusable, presence, revision, unconfirmed: None };
        let Some(manifest) = manifest else { return Ok(found) };
        let mut bindings: Vec<&Binding> = manifest.signing().collect();
        bindings.sort_by_key(|binding| insertion_order(binding));
        for binding in bindings {
            let (selector, algorithm) = (binding.selector.clone(), binding.algorithm());
            // Whoever asks for the same key meanwhile waits for this.
            match self.keys.get_or_insert_with(&binding.key_id(), || self.parse(domain, binding)) {
                Ok(key) => found.keys.push(ActiveKey { selector, algorithm, key }),
                Err(error) => {
                    found.unusable.push(UnusableKey { selector, algorithm, error: Arc::new(error) });
                }
            }
        }
        Ok(found)
    }

    fn parse(&self, domain: &DomainName, binding: &Binding) -> Result<Arc<SigningKey>, StoreError> {
        let key = self.store.private_key(domain, binding)?;
        self.counters.keys_parsed.count();
        let unusable =
            |source| StoreError::KeyUnusable { domain: domain.clone(), selector: binding.selector.clone(), source };
        key.signing_key().map(Arc::new).map_err(unusable)
    }
}

impl EntryKey {
    fn of(key: &ActiveKey) -> Self {
        Self { selector: key.selector.clone(), algorithm: key.algorithm, id: key.key.id() }
    }
}

/// Weighs in octets of memory.
#[derive(Debug, Clone, Copy)]
struct ByMemory;

impl Weighter<DomainName, Arc<Entry>> for ByMemory {
    fn weight(&self, domain: &DomainName, entry: &Arc<Entry>) -> u64 {
        entry.memory(domain)
    }
}

impl Weighter<KeyId, Arc<SigningKey>> for ByMemory {
    fn weight(&self, id: &KeyId, key: &Arc<SigningKey>) -> u64 {
        /// Hash table slot, list links and reference counts.
        const OVERHEAD: usize = 96;
        (size_of_val(id) + key.memory() + OVERHEAD) as u64
    }
}

fn bounded<K, V>(
    octets: u64,
    of_one: u64,
    evictions: &Evictions,
) -> Cache<K, V, ByMemory, ahash::RandomState, Evictions>
where
    K: Eq + Hash,
    V: Clone,
    ByMemory: Weighter<K, V>,
{
    let items = usize::try_from(octets / of_one).unwrap_or(usize::MAX).max(1);
    Cache::with(items, octets, ByMemory, ahash::RandomState::new(), evictions.clone())
}
