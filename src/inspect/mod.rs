//! Published records: gathers the evidence of each domain, and has `check` judge it.
//!
//! ```text
//! Target (a domain, and what we hold) ──Sight──▶ Observation ──check::judge──▶ DomainReport
//!                                       │
//!                                       └── DNS (every authoritative server, then a resolver), or a zone file
//! ```
//!
//! Domains are looked at side by side, at most so many at a time; the load on each name server is bounded by `dns`.
//! Nothing is kept of a domain but its report.

mod inspector;
mod target;

pub use inspector::{Evidence, Inspector, Sight};
pub use target::{SameKeys, Scope, Sharing, Target, TargetKey};
