//! Verifying signatures (RFC 6376 §6.1, RFC 8301, RFC 8463, RFC 8616). Pure: the caller looks up the key records.
//!
//! ```text
//! Headers ──▶ signatures ──▶ ParsedSignature ──record_name──▶ (the caller's DNS) ──▶ Published
//!                                   │                                                    │
//! Headers, body, now ───────────────┴───────────────▶ verify ◀───────────────────────────┘
//!                                                       └──▶ Verification: Pass | Fail | TempError | PermError
//! ```
//!
//! Canonicalization and hashing are those that sign.

mod body;
mod check;
mod parse;

pub use check::{FailReason, MAX_SIGNATURES, Outcome, PermError, Published, Verification, verify};
pub use parse::{InvalidSignature, ParsedSignature, first_signatures, signatures};

#[cfg(test)]
mod tests;
