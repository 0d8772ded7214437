//! Where keys are kept, and the keys a daemon has at hand.
//!
//! ```text
//! filter ── cached() ──▶ cache (parsed keys, bounded) ── load(), on store threads ──▶ KeyStore ──▶ directory
//! cli ─────────────────────────────────────── commit() ──────────────────────────────────────────▶ directory
//! ```
//!
//! [`KeyStore`] is what a signer needs of a store: manifests, stamps that tell whether one changed, private keys.
//! [`Directory`] is the store of files; it also writes. [`KeyCache`] stands between a store and the messages.
//!
//! Deliberately absent: a background thread that follows changes, and any scan at start. Whoever needs a domain asks
//! for it.

mod cache;
mod directory;
mod disclosure;
mod error;
mod store;

pub use cache::{ActiveKey, CacheOptions, CacheStatistics, Cached, DomainKeys, KeyCache, UnusableKey};
pub use directory::{Access, Asked, Directory, Domains, Examined, Listed, Manifests};
pub use disclosure::{DiscloseError, disclose};
pub use error::{Quoted, StoreError};
pub use store::{KeyStore, Stamp};

pub use crate::manifest::Presence;
