//! DKIM signatures (RFC 6376, RFC 8301, RFC 8463, RFC 8616): what is signed, and how it is said.
//!
//! ```text
//! body ──▶ body_hash ────────────────────────────────┐ bh=
//! Headers ──▶ header_selection ──▶ SelectedFields ───┤ h=
//! SignatureSpec (d=, s=, c=, t=, x=, i=) ────────────┴──▶ signer ──▶ Prepared ──▶ key ──▶ SignatureField
//! ```

pub mod body_hash;
pub mod canonical;
pub mod header_selection;
pub mod signature;
pub mod signer;

pub mod backend;
pub mod key;
pub mod key_record;
mod mail_auth;
mod tag_list;
pub mod verifier;

pub use body_hash::{BodyHasher, BodyHashes};
pub use canonical::{Canonicalization, CanonicalizationPair};
pub use header_selection::{HeaderSelection, SelectedFields};
pub use signature::{Auid, SignatureField, SignatureSpec};
pub use signer::Prepared;
pub use tag_list::TagListError;
