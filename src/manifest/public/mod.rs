//! The public manifest: what the world may know of many domains' keys, in one file that is made to be committed to git
//! and read by CI, where no private key is.
//!
//! ```json
//! {
//!   "version": 1,
//!   "domains": {
//!     "example.com": {"status": "enabled", "keys": [
//!       {"selector":"20261123e","state":{"active":{"since":"2026-11-23T16:37:31Z","by":"operator"}},"algorithm":…},
//!       {"selector":"20261123r","state":{"active":{"since":"2026-11-23T16:37:31Z","by":"operator"}},"algorithm":…}
//!     ]},
//!     "example.org": {"status": "enabled", "keys": [
//!       …
//!     ], "tombstones": [
//!       {"selector":"old","key_id":"…","removed":"2026-11-20T08:00:00Z"}
//!     ]}
//!   }
//! }
//! ```
//!
//! Domains are sorted and each key has a line of its own, so that a diff shows which keys changed and an annotation can
//! point at one. The fields of a key are those of [`super::v1`], with `shared` for one that other domains are meant to have and without where its private part is, without what only
//! the machine that made them can use (`held`, `witness`), and without what changes by being looked at (`rounds_seen`,
//! `first_seen`, `last_seen`, `last_used`).
//!
//! Reading is lazy: [`PublicManifest::parse`] finds the domains, and each is read when it is asked for. Any layout of
//! white space is read, for people edit such files.

mod error;
mod line;
mod read;
mod write;

pub use error::PublicManifestError;
pub use read::{PublicDomain, PublicKeys, PublicManifest};
pub use write::PublicManifestWriter;
