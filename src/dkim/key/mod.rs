//! Signing keys: algorithms, public and secret parts, and what a key file holds.
//!
//! ```text
//! key file (PEM) ──armour──▶ DER ──der──▶ PrivateKey ──▶ SigningKey   signs
//!  encrypted, or bare ──file──▶ KeyFile ──────┤ (taken in from elsewhere)
//!                                             │
//!                                             └────────▶ PublicKey    p= of the record, KeyId; verifies
//! ```
//!
//! A [`PrivateKey`] that exists has been checked for consistency by the backend and can sign. Its octets are wiped when
//! it is dropped and never shown by `Debug` or an error.

mod algorithm;
mod armour;
mod der;
mod error;
mod file;
mod material;
mod private;
mod public;

pub use algorithm::{Algorithm, KeyKind, UnknownAlgorithm};
pub use error::{Derivation, KeyError, SignError, UnusableKind, VerifyError};
pub use file::{EncryptedKey, KeyFile};
pub use material::{KeyMaterial, RsaWrapping};
pub use private::{PrivateKey, SigningKey};
pub use public::{KeyId, KeyIdError, PublicKey};

/// Fewest bits of an RSA key that signs or verifies (RFC 8301 §3.2).
pub const MIN_RSA_BITS: u32 = 1024;

/// Fewest bits of an RSA key as RFC 8301 §3.2 wants it for signing; keys with fewer are [`SigningKey::is_weak`].
pub const STRONG_RSA_BITS: u32 = 2048;

/// Most bits of an RSA key that signs or verifies: what both backends can verify.
pub const MAX_RSA_BITS: u32 = 8192;
