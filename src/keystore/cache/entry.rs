//! What is known of a domain: as messages use it, and as it is kept.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Instant;

use crate::dkim::key::{Algorithm, KeyId, SigningKey};
use crate::keystore::error::StoreError;
use crate::keystore::store::Stamp;
use crate::manifest::{Binding, Presence};
use crate::names::{DomainName, Selector};

/// What a domain signs with. A message keeps the one it began with.
#[derive(Debug, Clone)]
pub struct DomainKeys {
    /// The domain; d= of the signatures.
    pub domain: DomainName,
    /// The keys that are to sign and can, in the order in which their signatures are inserted: RSA last, so that it
    /// stands topmost.
    pub keys: Vec<ActiveKey>,
    /// The keys that are to sign and cannot.
    pub unusable: Vec<UnusableKey>,
    /// What the store has of the domain. With [`Presence::Active`] one of the two lists has something.
    pub presence: Presence,
    /// The revision of the manifest this is from; 0 without one.
    pub revision: u64,
    /// Why this is only what was known before: the store could not be read when it was last asked.
    pub unconfirmed: Option<Arc<StoreError>>,
}

/// A key that signs.
#[derive(Debug, Clone)]
pub struct ActiveKey {
    /// s= of its signatures.
    pub selector: Selector,
    /// a= of its signatures.
    pub algorithm: Algorithm,
    /// The key.
    pub key: Arc<SigningKey>,
}

/// A key that should sign and cannot.
#[derive(Debug, Clone)]
pub struct UnusableKey {
    /// Its selector.
    pub selector: Selector,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Why not.
    pub error: Arc<StoreError>,
}

/// What is kept of a domain. Holds no key itself, so that keys are counted once and can be evicted.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) presence: Presence,
    pub(super) revision: u64,
    /// Absent while the store knows no such domain.
    pub(super) stamp: Option<Stamp>,
    /// When the store was last read with success.
    pub(super) succeeded: Instant,
    /// When it was last tried.
    pub(super) tried: Instant,
    /// What that came to, if not to success.
    pub(super) failure: Option<Arc<StoreError>>,
    pub(super) keys: Box<[EntryKey]>,
    pub(super) unusable: Box<[UnusableKey]>,
}

#[derive(Debug, Clone)]
pub(super) struct EntryKey {
    pub(super) selector: Selector,
    pub(super) algorithm: Algorithm,
    pub(super) id: KeyId,
}

impl Entry {
    /// Octets of memory, that of the cache's own tables included.
    pub(super) fn memory(&self, domain: &DomainName) -> u64 {
        /// Hash table slot, list links, reference counts and the allocator's rounding.
        const OVERHEAD: usize = 96;
        let keys: usize = self.keys.iter().map(|key| size_of::<EntryKey>() + key.selector.as_str().len() + 16).sum();
        let unusable = self.unusable.len() * (size_of::<UnusableKey>() + size_of::<StoreError>() + 256);
        let failure = self.failure.as_ref().map_or(0, |_| size_of::<StoreError>() + 256);
        (size_of::<Self>() + domain.as_str().len() + keys + unusable + failure + OVERHEAD) as u64
    }
}

/// Orders bindings as their signatures are inserted.
pub(super) fn insertion_order(binding: &Binding) -> Reverse<u8> {
    Reverse(match binding.algorithm() {
        Algorithm::RsaSha256 => 0,
        _ => 1,
    })
}
