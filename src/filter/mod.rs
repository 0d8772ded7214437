//! One message through policy, keys and signing.
//!
//! ```text
//! MAIL ─▶ Transaction ─ header fields ─▶ end of header ─▶ answered: passed, deferred, refused
//!                                            │ to be signed
//!                                            ▼
//!                               body, hashed as it streams ─▶ end of message ─▶ signed, or deferred
//! ```
//!
//! Architecture invariant: `milter` and `dkim` meet here and nowhere else. A transaction keeps the configuration and the
//! keys it began with; nothing here outlives a message but the cache.

mod explain;
mod key_lookup;
mod prepare;
mod running;
mod signing_pool;
mod transaction;

pub use explain::{QuestionError, add_keys, body_warnings, explain};
pub use key_lookup::{Found, KeyLookup};
pub use prepare::{found, keys_of, prepare_all, settings};
pub use running::Running;
pub use signing_pool::{Overloaded, Pending, Signatures, SigningPool, sign_all};
pub use transaction::{AfterHeader, Answer, Filter, Judged, Signing, Transaction};
