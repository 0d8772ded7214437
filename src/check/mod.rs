//! What `waxseal verify` judges: evidence in, findings out. Nothing here looks anything up.
//!
//! ```text
//! Subject (what we hold, and what was seen) ──judge──▶ Judgement (findings; what could not be found out)
//!
//! each key     seen: what servers and resolver say ──▶ one record │ several │ none │ undetermined
//!              chain, caching: the way to it, and how long it is kept
//!              syntax ──▶ key (modulus) ──▶ policy: what the record says; each stops at the first real cause
//! the domain   zone: each zone once; key, policy: what all keys come to
//! ```
//!
//! [`Rule`] and its catalogue are one list; docs/checks.md repeats it, held by a test.

mod about;
mod caching;
mod catalogue;
mod chain;
mod judge;
mod judgement;
mod key;
mod modulus;
mod policy;
mod rule;
mod seen;
mod subject;
mod syntax;
#[cfg(test)]
mod tests;
mod zone;

pub use catalogue::RULES;
pub use judge::judge;
pub use judgement::{Judgement, KeyJudgement};
pub use rule::{Rule, UnknownRule};
pub use subject::{Dnssec, HeldKey, KeySubject, PrivateKeyAccess, Standby, Subject, Wishes};
