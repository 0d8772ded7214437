//! The keys at hand: what a domain signs with, without asking the store for each message.
//!
//! ```text
//!            cached(): memory only                          load(): blocks, one at a time for a domain
//! message ─────────────────────────▶ domain entries ◀──────────────────────────────────── stamp, manifest
//!            Fresh  < 1 s            (selector, key id; also "no such domain")
//!            Stale  < 1 h                  │
//!            Unknown: never seen,          ▼
//!            evicted, too old        parsed keys, by key id ◀────────────────────────────── private key
//! ```
//!
//! Two bounded caches. Domain entries are small and name keys by their id; parsed keys are large (about 6 KB for RSA,
//! most of it the library's own) and there is one of each, however many domains share it. Both count octets, native
//! memory included, and resist scans: a run through all domains once does not push out those that mail often.
//!
//! An entry older than `revalidate_after` is stale: its keys may still be used, and whoever wants better calls
//! [`KeyCache::load`]. If the store cannot be read the entry stays usable until `max_staleness` after the last success.
//! A key that cannot be read makes only itself unusable.
//!
//! Parsed keys are not warmed up by a signature for show. The first signature costs about as much again as the later
//! ones, but the warm-up would cost that and one signature more, for a key that may sign one message.
//!
//! Deliberately absent: the clock. Every call is told the time.

mod entry;
mod key_cache;
mod statistics;
#[cfg(test)]
mod tests;

pub use entry::{ActiveKey, DomainKeys, UnusableKey};
pub use key_cache::{CacheOptions, Cached, KeyCache};
pub use statistics::CacheStatistics;
