//! Questions to the DNS.
//!
//! [`Lookup`] asks recursive resolvers, as a verifier of our mail does. An answer tells apart what callers must not mix
//! up: there is a record, there is none, and nobody could say ([`LookupError`]).

mod lookup;

pub use lookup::{Lookup, LookupError, Patience, SetupError, TxtAnswer};
