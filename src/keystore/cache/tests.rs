//! The cache in front of a store that counts, fails and waits as told.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::*;
use crate::clock::Clock;
use crate::dkim::key::{Algorithm, KeyKind, PrivateKey};
use crate::keystore::{KeyStore, Presence, Stamp, StoreError};
use crate::manifest::{Binding, Choice, DomainManifest, PrivateKeyPlace, RetirementWaits};
use crate::names::{DomainName, Selector};

/// A store in memory.
#[derive(Default)]
struct Fake {
    manifests: Mutex<HashMap<DomainName, DomainManifest>>,
    /// PEM by selector; a key that is not here is missing.
    keys: Mutex<HashMap<Selector, String>>,
    is_away: Mutex<Option<io::ErrorKind>>,
    key_reads: AtomicU64,
    manifest_reads: AtomicU64,
    stamps: AtomicU64,
    delay: Duration,
}

impl Fake {
    fn answer(&self) -> Result<(), StoreError> {
        std::thread::sleep(self.delay);
        match *self.is_away.lock().unwrap() {
            Some(kind) => Err(StoreError::io("read", Path::new("/fake"), kind.into())),
            None => Ok(()),
        }
    }

    /// Adds an active key to a domain.
    fn give(&self, domain: &DomainName, selector: &str, key: &PrivateKey) {
        let selector = Selector::parse(selector).unwrap();
        let mut manifests = self.manifests.lock().unwrap();
        let manifest = manifests.remove(domain).unwrap_or_else(|| DomainManifest::new(domain.clone()));
        let now = Timestamp::UNIX_EPOCH;
        let manifest = manifest
            .bind_generated(selector.clone(), key.public().clone(), PrivateKeyPlace::Own, 3600, now)
            .unwrap()
            .activate(Choice::Selectors(std::slice::from_ref(&selector)), RetirementWaits::default(), now)
            .unwrap()
            .manifest
            .with_next_revision();
        manifests.insert(domain.clone(), manifest);
        self.keys.lock().unwrap().insert(selector, key.to_pem().to_string());
    }
}

impl KeyStore for Fake {
    fn manifest(&self, domain: &DomainName) -> Result<Option<DomainManifest>, StoreError> {
        self.manifest_reads.fetch_add(1, Ordering::Relaxed);
        self.answer()?;
        Ok(self.manifests.lock().unwrap().get(domain).cloned())
    }

    fn stamp(&self, domain: &DomainName) -> Result<Option<Stamp>, StoreError> {
        self.stamps.fetch_add(1, Ordering::Relaxed);
        self.answer()?;
        let manifests = self.manifests.lock().unwrap();
        let stamp = |revision| Stamp { file: (0, revision), size: 0, modified: (0, 0), changed: (0, 0) };
        Ok(manifests.get(domain).map(|manifest| stamp(manifest.revision())))
    }

    fn private_key(&self, _: &DomainName, binding: &Binding) -> Result<PrivateKey, StoreError> {
        self.key_reads.fetch_add(1, Ordering::Relaxed);
        self.answer()?;
        match self.keys.lock().unwrap().get(&binding.selector) {
            Some(pem) => Ok(PrivateKey::from_pem(pem.as_bytes()).unwrap()),
            None => Err(StoreError::KeyMissing { path: binding.selector.as_str().into() }),
        }
    }
}

fn domain(name: &str) -> DomainName {
    DomainName::parse(name).unwrap()
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyKind::Ed25519).unwrap()
}

fn now() -> Instant {
    Clock::System.monotonic()
}

fn cache(store: Fake) -> KeyCache<Fake> {
    KeyCache::new(store, CacheOptions::default())
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_answer_is_fresh_for_a_second_then_stale_until_it_is_checked() {
    let (fake, example) = (Fake::default(), domain("example.com"));
    fake.give(&example, "a", &key());
    let (cache, start) = (cache(fake), now());
    assert!(matches!(cache.cached(&example, start), Cached::Unknown));
    let loaded = cache.load(&example, start).unwrap();
    assert_eq!((loaded.presence, loaded.keys.len()), (Presence::Active, 1));
    assert!(matches!(cache.cached(&example, start + SECOND / 2), Cached::Fresh(_)));
    assert!(matches!(cache.cached(&example, start + SECOND), Cached::Stale(_)));
    cache.load(&example, start + SECOND).unwrap();
    assert!(matches!(cache.cached(&example, start + SECOND), Cached::Fresh(_)));
    let statistics = cache.statistics();
    assert_eq!((statistics.misses, statistics.hits, statistics.stale), (1, 2, 1));
    assert_eq!((statistics.loads, statistics.revalidations, statistics.keys_parsed), (1, 1, 1));
    assert!(statistics.domain_bytes > 0 && statistics.key_bytes > 0);
    assert_eq!((statistics.domains_evicted, statistics.keys_evicted), (0, 0), "an update is no eviction");
}

#[test]
fn an_unknown_domain_is_remembered_and_noticed_once_it_is_there() {
    let (cache, start, example) = (cache(Fake::default()), now(), domain("example.com"));
    assert_eq!(cache.load(&example, start).unwrap().presence, Presence::NoSuchDomain);
    let Cached::Fresh(keys) = cache.cached(&example, start) else { panic!() };
    assert_eq!(keys.presence, Presence::NoSuchDomain);
    cache.store().give(&example, "a", &key());
    assert_eq!(cache.load(&example, start + SECOND).unwrap().presence, Presence::Active);
}

#[test]
fn a_changed_manifest_is_read_again_but_not_the_keys_that_are_parsed() {
    let (fake, example, start) = (Fake::default(), domain("example.com"), now());
    fake.give(&example, "a", &key());
    let cache = cache(fake);
    cache.load(&example, start).unwrap();
    cache.store().give(&example, "r", &PrivateKey::generate(KeyKind::default()).unwrap());
    let keys = cache.load(&example, start + SECOND).unwrap();
    let order: Vec<_> = keys.keys.iter().map(|key| key.algorithm).collect();
    assert_eq!(order, [Algorithm::Ed25519Sha256, Algorithm::RsaSha256], "RSA is inserted last and stands topmost");
    assert_eq!(cache.store().key_reads.load(Ordering::Relaxed), 2);
}

#[test]
fn a_key_that_many_domains_share_is_parsed_once() {
    let (fake, start, shared) = (Fake::default(), now(), key());
    let domains: Vec<_> = (0..50).map(|number| domain(&format!("d{number}.example"))).collect();
    for domain in &domains {
        fake.give(domain, "a", &shared);
    }
    let cache = cache(fake);
    let first = cache.load(&domains[0], start).unwrap();
    for domain in &domains {
        assert!(Arc::ptr_eq(&cache.load(domain, start).unwrap().keys[0].key, &first.keys[0].key));
    }
    assert_eq!(cache.statistics().keys, 1);
    assert_eq!(cache.store().key_reads.load(Ordering::Relaxed), 1);
}

#[test]
fn while_the_store_is_away_what_is_known_signs_for_an_hour_and_no_longer() {
    let (fake, example, start) = (Fake::default(), domain("example.com"), now());
    fake.give(&example, "a", &key());
    let cache = cache(fake);
    cache.load(&example, start).unwrap();
    *cache.store().is_away.lock().unwrap() = Some(io::ErrorKind::PermissionDenied);
    let late = start + Duration::from_secs(3599);
    let bridged = cache.load(&example, late).unwrap();
    assert_eq!(bridged.keys.len(), 1);
    let cause = bridged.unconfirmed.as_deref();
    assert!(matches!(cause, Some(StoreError::PermissionDenied { .. })), "what is wrong is told at once: {cause:?}");
    let Cached::Fresh(keys) = cache.cached(&example, late) else { panic!("every message tries again") };
    assert!(keys.unconfirmed.is_some(), "what is tried just now is not confirmed by that");
    let too_late = start + Duration::from_secs(3600);
    assert!(matches!(cache.cached(&example, too_late), Cached::Unknown));
    assert!(matches!(cache.load(&example, too_late), Err(StoreError::PermissionDenied { .. })));
    let statistics = cache.statistics();
    assert_eq!((statistics.failures_bridged, statistics.failures), (1, 1));
    *cache.store().is_away.lock().unwrap() = None;
    let keys = cache.load(&example, too_late).unwrap();
    assert!(keys.keys.len() == 1 && keys.unconfirmed.is_none());
    assert!(matches!(cache.cached(&example, too_late), Cached::Fresh(keys) if keys.unconfirmed.is_none()));
}

#[test]
fn a_broken_key_makes_only_itself_unusable_and_is_tried_again() {
    let (fake, example, start) = (Fake::default(), domain("example.com"), now());
    fake.give(&example, "r", &PrivateKey::generate(KeyKind::default()).unwrap());
    fake.give(&example, "e", &key());
    let lost = fake.keys.lock().unwrap().remove(&Selector::parse("r").unwrap()).unwrap();
    let cache = cache(fake);
    let keys = cache.load(&example, start).unwrap();
    assert_eq!((keys.keys.len(), keys.unusable.len(), keys.presence), (1, 1, Presence::Active));
    assert_eq!(keys.unusable[0].algorithm, Algorithm::RsaSha256);
    assert!(matches!(*keys.unusable[0].error, StoreError::KeyMissing { .. }));
    let Cached::Fresh(keys) = cache.cached(&example, start) else { panic!() };
    assert_eq!(keys.unusable.len(), 1);
    cache.store().keys.lock().unwrap().insert(Selector::parse("r").unwrap(), lost);
    let keys = cache.load(&example, start + SECOND).unwrap();
    assert_eq!((keys.keys.len(), keys.unusable.len()), (2, 0));
}

#[test]
fn a_stale_entry_brings_no_herd_to_the_store() {
    let fake = Fake { delay: Duration::from_millis(20), ..Fake::default() };
    let (example, start) = (domain("example.com"), now());
    fake.give(&example, "a", &key());
    let (cache, barrier) = (cache(fake), Barrier::new(16));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                barrier.wait();
                assert_eq!(cache.load(&example, start).unwrap().keys.len(), 1);
            });
        }
    });
    assert_eq!(cache.store().stamps.load(Ordering::Relaxed), 1);
    assert_eq!(cache.store().manifest_reads.load(Ordering::Relaxed), 1);
    assert_eq!(cache.statistics().coalesced, 15);
}

#[test]
fn memory_stays_within_its_bounds_and_evicted_keys_are_read_again() {
    let (fake, start) = (Fake::default(), now());
    let domains: Vec<_> = (0..400).map(|number| domain(&format!("d{number}.example"))).collect();
    for (number, domain) in domains.iter().enumerate() {
        fake.give(domain, &format!("s{number}"), &key());
    }
    let options = CacheOptions { domain_bytes: 64 << 10, key_bytes: 32 << 10, ..CacheOptions::default() };
    let cache = KeyCache::new(fake, options);
    for domain in domains.iter().chain(&domains) {
        assert_eq!(cache.load(domain, start).unwrap().keys.len(), 1);
    }
    let statistics = cache.statistics();
    assert!(statistics.domain_bytes <= options.domain_bytes, "{statistics:?}");
    assert!(statistics.key_bytes <= options.key_bytes, "{statistics:?}");
    assert!(statistics.keys_evicted > 0 && statistics.domains_evicted > 0);
}

#[test]
fn a_key_too_large_for_the_cache_signs_all_the_same() {
    let (fake, example, start) = (Fake::default(), domain("example.com"), now());
    fake.give(&example, "a", &key());
    let cache = KeyCache::new(fake, CacheOptions { key_bytes: 1, ..CacheOptions::default() });
    assert_eq!(cache.load(&example, start).unwrap().keys.len(), 1);
    assert!(matches!(cache.cached(&example, start), Cached::Unknown));
}

#[test]
fn debug_output_holds_no_secret() {
    let (fake, example, start, key) = (Fake::default(), domain("example.com"), now(), key());
    fake.give(&example, "a", &key);
    let keys = cache(fake).load(&example, start).unwrap();
    let pem = key.to_pem();
    let secret = pem.lines().nth(1).unwrap();
    assert!(!format!("{keys:?}").contains(secret));
}

/// Not a benchmark: a bound that only a lock held over I/O, a copy of a key or the like would break.
#[test]
fn a_look_up_in_memory_is_cheap() {
    let (fake, example, start) = (Fake::default(), domain("example.com"), now());
    fake.give(&example, "a", &key());
    fake.give(&example, "r", &PrivateKey::generate(KeyKind::default()).unwrap());
    let cache = cache(fake);
    cache.load(&example, start).unwrap();
    let rounds = 20_000;
    let began = now();
    for _ in 0..rounds {
        assert!(matches!(cache.cached(&example, start), Cached::Fresh(_)));
    }
    let each = began.elapsed() / rounds;
    println!("cached(): {each:?}");
    assert!(each < Duration::from_micros(50), "{each:?}");
}
