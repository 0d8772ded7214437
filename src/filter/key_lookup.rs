//! Finds a domain's keys: in the cache at once, else on threads of their own that may wait for a disk.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::keystore::{ActiveKey, Cached, DomainKeys, KeyCache, KeyStore, StoreError, UnusableKey};
use crate::names::DomainName;

/// Look-ups that may wait for a store thread; beyond it known keys sign unconfirmed and unknown ones defer.
const QUEUE: usize = 10_000;

/// At most so often is it said that the store does not answer.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// The cache and the threads that fill it.
#[derive(Debug)]
pub struct KeyLookup<S> {
    cache: Arc<KeyCache<S>>,
    queue: Sender<Order>,
    under_way: Arc<UnderWay>,
    clock: Clock,
    /// When it was last said that the store does not answer.
    complained: Mutex<Option<Instant>>,
}

/// What was found.
#[derive(Debug)]
pub enum Found {
    /// As the store has it, at most `revalidate_after` ago.
    Confirmed(Arc<DomainKeys>),
    /// As last known: the store did not answer in time, or could not be read.
    Unconfirmed(Arc<DomainKeys>),
    /// Nothing is known, and the store does not answer.
    Unavailable,
}

impl Found {
    /// What the cache answered; it says itself if the store did not.
    fn answered(keys: Arc<DomainKeys>) -> Self {
        if keys.unconfirmed.is_some() { Self::Unconfirmed(keys) } else { Self::Confirmed(keys) }
    }
}

/// A domain to be read, for all who wait for it.
struct Order {
    domain: DomainName,
    done: watch::Sender<Loaded>,
}

/// What was read; none until then, and if the store could not be read.
type Loaded = Option<Arc<DomainKeys>>;

/// The domains that are to be read or being read. Each is so once: a domain whose file hangs holds one thread, not all.
type UnderWay = Mutex<HashMap<DomainName, watch::Receiver<Loaded>>>;

impl<S: KeyStore + 'static> KeyLookup<S> {
    /// Starts `threads` threads that read the store. They end when the look-up is dropped.
    pub fn start(cache: KeyCache<S>, threads: usize, clock: Clock) -> io::Result<Self> {
        let cache = Arc::new(cache);
        let (queue, orders) = bounded(QUEUE);
        let under_way = Arc::new(UnderWay::default());
        for number in 0..threads.max(1) {
            let (orders, under_way, cache) = (orders.clone(), Arc::clone(&under_way), Arc::clone(&cache));
            let work = move || work(&orders, &under_way, &cache, clock);
            thread::Builder::new().name(format!("keys-{number}")).spawn(work)?;
        }
        Ok(Self { cache, queue, under_way, clock, complained: Mutex::new(None) })
    }

    /// The cache, for its statistics.
    pub fn cache(&self) -> &KeyCache<S> {
        &self.cache
    }

    /// Look-ups that wait for a store thread, and how many may.
    pub fn waiting(&self) -> (u64, u64) {
        (self.queue.len() as u64, QUEUE as u64)
    }

    /// Finds a domain's keys. Known ones are waited for at most `confirm_within`, unknown ones `find_within`.
    pub async fn find(&self, domain: &DomainName, confirm_within: Duration, find_within: Duration) -> Found {
        match self.cache.cached(domain, self.clock.monotonic()) {
            Cached::Fresh(keys) => Found::answered(keys),
            Cached::Stale(known) => match self.load(domain, confirm_within).await {
                Some(keys) => Found::answered(keys),
                None => Found::Unconfirmed(known),
            },
            Cached::Unknown => match self.load(domain, find_within).await {
                Some(keys) => Found::answered(keys),
                None => Found::Unavailable,
            },
        }
    }

    async fn load(&self, domain: &DomainName, within: Duration) -> Loaded {
        let Some(mut done) = self.order(domain) else {
            self.complain(domain, within);
            return None;
        };
        // An error is the end of the order, with nothing to show for it.
        match timeout(within, done.changed()).await {
            Ok(_) => done.borrow().clone(),
            Err(_) => {
                self.complain(domain, within);
                None
            }
        }
    }

    /// Has a domain read, if that is not under way; none if the queue is full.
    fn order(&self, domain: &DomainName) -> Option<watch::Receiver<Loaded>> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = under_way.get(domain).filter(|done| done.has_changed().is_ok()) {
            return Some(done.clone());
        }
        let (done, is_done) = watch::channel(None);
        self.queue.try_send(Order { domain: domain.clone(), done }).ok()?;
        under_way.insert(domain.clone(), is_done.clone());
        Some(is_done)
    }

    /// Says that the store does not answer: a thread that waits for a disk cannot.
    fn complain(&self, domain: &DomainName, within: Duration) {
        let now = self.clock.monotonic();
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|last| now.saturating_duration_since(last) >= COMPLAIN_EVERY) {
            *complained = Some(now);
            tracing::warn!(
                %domain,
                waited_ms = within.as_millis() as u64,
                "the key store does not answer in time; known domains sign unconfirmed, others are deferred"
            );
        }
    }
}

fn work<S: KeyStore>(orders: &Receiver<Order>, under_way: &UnderWay, cache: &KeyCache<S>, clock: Clock) {
    for Order { domain, done } in orders {
        {
            let mut under_way = under_way.lock().unwrap_or_else(PoisonError::into_inner);
            // The one receiver left is that of `under_way`: whoever asked has stopped waiting.
            if done.receiver_count() == 1 {
                under_way.remove(&domain);
                continue;
            }
        }
        let before = cache.peek(&domain, clock.monotonic());
        let loaded = cache.load(&domain, clock.monotonic());
        report(&domain, &before, &loaded);
        under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&domain);
        // Whoever asked may have stopped waiting; the cache has the answer for the next one.
        done.send_replace(loaded.ok());
    }
}

/// Says what is wrong with the store, and, when it is new, what is wrong with a domain's keys.
fn report(domain: &DomainName, before: &Cached, loaded: &Result<Arc<DomainKeys>, StoreError>) {
    let keys = match loaded {
        Ok(keys) => keys,
        Err(error) => {
            tracing::error!(%domain, error = error as &dyn Error, "the key store cannot be read");
            return;
        }
    };
    if let Some(error) = &keys.unconfirmed {
        tracing::error!(
            %domain,
            error = error as &dyn Error,
            "the key store cannot be read; the domain goes on with what was known, until keys.max_staleness"
        );
    }
    let (usable, unusable): (&[ActiveKey], &[UnusableKey]) = match before {
        Cached::Fresh(known) | Cached::Stale(known) => (&known.keys, &known.unusable),
        Cached::Unknown => (&[], &[]),
    };
    for key in &keys.unusable {
        if unusable.iter().all(|known| known.selector != key.selector) {
            tracing::error!(
                %domain,
                selector = %key.selector,
                error = &key.error as &dyn Error,
                "a key cannot be used; the domain signs without it, if it has another"
            );
        }
    }
    for key in keys.keys.iter().filter(|key| key.key.is_weak()) {
        if usable.iter().all(|known| known.selector != key.selector) {
            tracing::warn!(
                %domain,
                selector = %key.selector,
                bits = key.key.bits(),
                remedy = "generate a key of 2048 bits, publish its record, then activate it",
                "an RSA key of fewer than 2048 bits signs (RFC 8301 section 3.2 wants 2048)"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::dkim::key::PrivateKey;
    use crate::keystore::{CacheOptions, Stamp};
    use crate::manifest::{Binding, DomainManifest};

    /// A store without domains that can go away.
    #[derive(Debug, Default)]
    struct Empty {
        is_away: AtomicBool,
    }

    impl Empty {
        fn answer<T>(&self) -> Result<Option<T>, StoreError> {
            if self.is_away.load(Ordering::Relaxed) {
                return Err(StoreError::Missing { path: "/empty".into() });
            }
            Ok(None)
        }
    }

    impl KeyStore for Empty {
        fn manifest(&self, _: &DomainName) -> Result<Option<DomainManifest>, StoreError> {
            self.answer()
        }

        fn stamp(&self, _: &DomainName) -> Result<Option<Stamp>, StoreError> {
            self.answer()
        }

        fn private_key(&self, _: &DomainName, _: &Binding) -> Result<PrivateKey, StoreError> {
            unreachable!("no domain has keys")
        }
    }

    /// A store in which one domain's files hang.
    #[derive(Debug)]
    struct Hanging(DomainName, Receiver<()>);

    impl KeyStore for Hanging {
        fn manifest(&self, _: &DomainName) -> Result<Option<DomainManifest>, StoreError> {
            Ok(None)
        }

        fn stamp(&self, domain: &DomainName) -> Result<Option<Stamp>, StoreError> {
            if *domain == self.0 {
                // Until the test ends.
                let _ = self.1.recv();
            }
            Ok(None)
        }

        fn private_key(&self, _: &DomainName, _: &Binding) -> Result<PrivateKey, StoreError> {
            unreachable!("no domain has keys")
        }
    }

    #[tokio::test]
    async fn a_domain_whose_files_hang_holds_one_thread_and_not_all() {
        let [slow, other] = ["slow.example", "example.com"].map(|name| DomainName::parse(name).unwrap());
        let (_hang, hangs) = bounded(0);
        let cache = KeyCache::new(Hanging(slow.clone(), hangs), CacheOptions::default());
        let lookup = KeyLookup::start(cache, 2, Clock::System).unwrap();
        for _ in 0..3 {
            let within = Duration::from_millis(50);
            assert!(matches!(lookup.find(&slow, within, within).await, Found::Unavailable));
        }
        let within = Duration::from_secs(10);
        assert!(matches!(lookup.find(&other, within, within).await, Found::Confirmed(_)));
    }

    #[tokio::test]
    async fn what_a_store_that_cannot_be_read_once_said_is_not_taken_for_confirmed() {
        let options = CacheOptions { revalidate_after: Duration::ZERO, ..CacheOptions::default() };
        let lookup = KeyLookup::start(KeyCache::new(Empty::default(), options), 1, Clock::System).unwrap();
        let (example, within) = (DomainName::parse("example.com").unwrap(), Duration::from_secs(10));
        assert!(matches!(lookup.find(&example, within, within).await, Found::Confirmed(_)));
        lookup.cache().store().is_away.store(true, Ordering::Relaxed);
        assert!(matches!(lookup.find(&example, within, within).await, Found::Unconfirmed(_)));
        let other = DomainName::parse("example.net").unwrap();
        assert!(matches!(lookup.find(&other, within, within).await, Found::Unavailable));
        lookup.cache().store().is_away.store(false, Ordering::Relaxed);
        assert!(matches!(lookup.find(&example, within, within).await, Found::Confirmed(_)));
    }
}
