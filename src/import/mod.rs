//! What other signers leave behind, taken over: their configuration, whom they sign for, and their keys.
//!
//! ```text
//! opendkim.conf ─▶ settings ─▶ data sets ─▶ Setup ─┬─▶ carry ─▶ waxseal.toml, a map, keys with their selectors
//!   (and what it names, from Sources)              │              + findings: what is not carried over, and what was a trap
//!                                                  └─▶ select ─▶ who OpenDKIM signs for ─┐
//!                                           samples ─▶ Policy ─▶ who Waxseal signs for ──┴─▶ differences
//! ```
//!
//! Architecture invariant: nothing here reads a file. Importers ask [`Sources`] for the octets of what configurations
//! name. And nothing makes more mail be signed than before: what cannot be said exactly is said more narrowly, with a
//! [`crate::finding::Finding`], or not at all.

mod carried;
pub mod opendkim;
mod proof;
pub mod rspamd;
mod source;

pub use carried::{Carried, CarriedKey, KeyUse, MAP, Wishes};
pub use proof::{ByDesign, Comparison, Difference, Sample, Selection, Signature, compare};
pub use source::{KeyUnusable, Sources, Unreadable};
