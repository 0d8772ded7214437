//! DKIM signatures (RFC 6376, RFC 8301, RFC 8463, RFC 8616): what is signed, how it is said, and with what keys.
//!
//! ```text
//! body ──▶ body_hash ────────────────────────────────┐ bh=
//! Headers ──▶ header_selection ──▶ SelectedFields ───┤ h=
//! SignatureSpec (d=, s=, c=, t=, x=, i=) ────────────┴──▶ signer ──▶ Prepared ──▶ key ──▶ SignatureField
//! key ──▶ key_record ──▶ DNS ──▶ verifier ◀── message
//! our signatures, another signer's ──▶ comparison
//! ```

pub mod body_hash;
pub mod canonical;
pub mod comparison;
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
pub use key::{Algorithm, KeyError, KeyId, KeyKind, KeyMaterial, PrivateKey, PublicKey, SignError, SigningKey};
pub use key_record::KeyRecord;
pub use signature::{Auid, SignatureField, SignatureSpec};
pub use signer::{Prepared, SignatureError};
pub use tag_list::{RawTag, TagListError, raw_tags};
