//! One message through policy, keys and signing.
//!
//! ```text
//! MAIL ─▶ room for it? ─▶ Transaction ─ header fields ─▶ end of header ─▶ answered: passed, deferred, refused
//!                                            │ to be signed
//!                                            ▼
//!                               body, hashed as it streams ─▶ end of message ─▶ signed, or deferred
//! ```
//!
//! Architecture invariant: `milter` and `dkim` meet here and nowhere else. A transaction keeps the configuration and the
//! keys it began with; nothing here outlives a message but the cache.

mod admission;
mod answer;
mod beside;
mod explain;
mod key_lookup;
mod prepare;
mod running;
mod signing_pool;
mod transaction;

pub use admission::{Admission, ClientId, Held, InProgress, Speed};
pub use answer::Answer;
pub use beside::{SIGNATURE_FIELD, report_comparisons};
pub use explain::{QuestionError, add_keys, body_warnings, explain};
pub use key_lookup::{Found, KeyLookup};
pub use prepare::{found, keys_of, prepare_all, settings};
pub use running::Running;
pub use signing_pool::{Made, Overloaded, Pending, Signatures, SigningPool, sign_all};
pub use transaction::{AfterHeader, Filter, Judged, Signing, Transaction};
