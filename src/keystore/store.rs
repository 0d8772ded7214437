//! What a signer needs of a key store.

use super::error::StoreError;
use crate::dkim::key::PrivateKey;
use crate::manifest::{Binding, DomainManifest};
use crate::names::DomainName;

/// A key store to read from. Every call may block; none is made on a runtime thread.
pub trait KeyStore: Send + Sync {
    /// The manifest of a domain; none if the store does not know the domain.
    fn manifest(&self, domain: &DomainName) -> Result<Option<DomainManifest>, StoreError>;

    /// What tells whether the manifest changed, without reading it; none if the store does not know the domain.
    fn stamp(&self, domain: &DomainName) -> Result<Option<Stamp>, StoreError>;

    /// The private key of a binding, which is certain to be that of the binding's public key.
    fn private_key(&self, domain: &DomainName, binding: &Binding) -> Result<PrivateKey, StoreError>;
}

/// A manifest's stamp: two that are equal were taken of the same contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The file system and the file on it. A manifest is replaced, never rewritten, so each has its own.
    pub file: (u64, u64),
    /// Octets.
    pub size: u64,
    /// Last change of the contents, in seconds and nanoseconds.
    pub modified: (i64, i64),
    /// Last change of contents, owner or mode, in seconds and nanoseconds.
    pub changed: (i64, i64),
}
