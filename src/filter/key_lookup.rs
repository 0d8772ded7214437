//! Finds a domain's keys: in the cache at once, else on threads of their own that may wait for a disk.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::keystore::{ActiveKey, Cached, DomainKeys, KeyCache, KeyStore, StoreError, UnusableKey};
use crate::names::DomainName;

/// Look-ups that may wait for a store thread; beyond it known keys sign unconfirmed and unknown ones defer.
const QUEUE: usize = 10_000;

/// The cache and the threads that fill it.
#[derive(Debug)]
pub struct KeyLookup<S> {
    cache: Arc<KeyCache<S>>,
    queue: Sender<Order>,
    clock: Clock,
}

/// What was found.
#[derive(Debug)]
pub enum Found {
    /// As the store has it, at most `revalidate_after` ago.
    Confirmed(Arc<DomainKeys>),
    /// As last known: the store did not answer in time.
    Unconfirmed(Arc<DomainKeys>),
    /// Nothing is known, and the store does not answer.
    Unavailable,
}

struct Order {
    domain: DomainName,
    done: oneshot::Sender<Result<Arc<DomainKeys>, StoreError>>,
}

impl<S: KeyStore + 'static> KeyLookup<S> {
    /// Starts `threads` threads that read the store. They end when the look-up is dropped.
    pub fn start(cache: KeyCache<S>, threads: usize, clock: Clock) -> io::Result<Self> {
        let cache = Arc::new(cache);
        let (queue, orders) = bounded(QUEUE);
        for number in 0..threads.max(1) {
            let (orders, cache) = (orders.clone(), Arc::clone(&cache));
            thread::Builder::new().name(format!("keys-{number}")).spawn(move || work(&orders, &cache, clock))?;
        }
        Ok(Self { cache, queue, clock })
    }

    /// The cache, for its statistics.
    pub fn cache(&self) -> &KeyCache<S> {
        &self.cache
    }

    /// Finds a domain's keys. Known ones are waited for at most `confirm_within`, unknown ones `find_within`.
    pub async fn find(&self, domain: &DomainName, confirm_within: Duration, find_within: Duration) -> Found {
        match self.cache.cached(domain, self.clock.monotonic()) {
            Cached::Fresh(keys) => Found::Confirmed(keys),
            Cached::Stale(known) => match self.load(domain, confirm_within).await {
                Some(Ok(keys)) => Found::Confirmed(keys),
                Some(Err(_)) | None => Found::Unconfirmed(known),
            },
            Cached::Unknown => match self.load(domain, find_within).await {
                Some(Ok(keys)) => Found::Confirmed(keys),
                Some(Err(_)) | None => Found::Unavailable,
            },
        }
    }

    async fn load(&self, domain: &DomainName, within: Duration) -> Option<Result<Arc<DomainKeys>, StoreError>> {
        let (done, loaded) = oneshot::channel();
        self.queue.try_send(Order { domain: domain.clone(), done }).ok()?;
        timeout(within, loaded).await.ok()?.ok()
    }
}

fn work<S: KeyStore>(orders: &Receiver<Order>, cache: &KeyCache<S>, clock: Clock) {
    for order in orders {
        if order.done.is_closed() {
            continue;
        }
        let before = cache.cached(&order.domain, clock.monotonic());
        let loaded = cache.load(&order.domain, clock.monotonic());
        report(&order.domain, &before, &loaded);
        // Whoever asked may have stopped waiting; the cache has the answer for the next one.
        let _ = order.done.send(loaded);
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
