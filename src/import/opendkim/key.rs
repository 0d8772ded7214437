//! KeyTable: names of keys, and what each is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::dataset::Entry;
use crate::dkim::PrivateKey;
use crate::import::KeyUnusable;

/// What the table says of one key.
#[derive(Clone)]
pub(super) struct KeyEntry {
    /// d=; `%` for the author's domain.
    pub(super) domain: String,
    /// s=
    pub(super) selector: String,
    /// A path, or the key itself; `%` in a path is the author's domain.
    material: Arc<Zeroizing<String>>,
}

impl KeyEntry {
    /// Reads `domain:selector:key`; none if parts are missing.
    pub(super) fn parse(entry: &Entry) -> Option<Self> {
        let mut parts = entry.value.splitn(3, ':').map(str::trim);
        let (domain, selector, material) = (parts.next()?, parts.next()?, parts.next()?);
        // Later versions may have the algorithm behind the key.
        let material = ["rsa-sha256", "rsa-sha1", "ed25519-sha256"]
            .iter()
            .find_map(|name| material.strip_suffix(name)?.trim_end().strip_suffix(':'))
            .unwrap_or(material);
        let is_whole = !domain.is_empty() && !selector.is_empty() && !material.is_empty();
        is_whole.then(|| Self::new(domain, selector, material))
    }

    pub(super) fn new(domain: &str, selector: &str, material: &str) -> Self {
        let material = Arc::new(Zeroizing::new(material.to_owned()));
        Self { domain: domain.into(), selector: selector.into(), material }
    }

    /// Whether each author's domain signs with its own name.
    pub(super) fn is_authors(&self) -> bool {
        self.domain == "%"
    }

    /// Whether each author's domain has a file of its own.
    pub(super) fn has_authors_path(&self) -> bool {
        self.material.starts_with(['/', '.']) && self.material.contains('%')
    }

    /// The same key with another d=.
    pub(super) fn signing_as(&self, domain: &str) -> Self {
        Self { domain: domain.into(), ..self.clone() }
    }

    /// The file of the key for an author's domain; none where the key stands in the table itself.
    pub(super) fn path(&self, base: &Path, author: &str) -> Option<PathBuf> {
        let is_path = ["/", "./", "../"].iter().any(|start| self.material.starts_with(start));
        is_path.then(|| base.join(self.material.replace('%', author)))
    }

    /// The key in the table: PEM without its line ends, or base64 of DER.
    pub(super) fn inline(&self) -> Result<PrivateKey, KeyUnusable> {
        let body = self.material.split("-----").filter(|part| !part.contains("PRIVATE")).max_by_key(|part| part.len());
        let base64: Zeroizing<String> =
            Zeroizing::new(body.unwrap_or_default().chars().filter(|letter| !letter.is_whitespace()).collect());
        let armoured = |label: &str| {
            let mut pem = Zeroizing::new(format!("-----BEGIN {label}-----\n"));
            for line in base64.as_bytes().chunks(64) {
                pem.push_str(&String::from_utf8_lossy(line));
                pem.push('\n');
            }
            pem.push_str(&format!("-----END {label}-----\n"));
            pem
        };
        let as_pkcs1 = KeyUnusable::or_key(armoured("RSA PRIVATE KEY").as_bytes());
        as_pkcs1.or_else(|_| KeyUnusable::or_key(armoured("PRIVATE KEY").as_bytes()))
    }
}

impl std::fmt::Debug for KeyEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyEntry")
            .field("domain", &self.domain)
            .field("selector", &self.selector)
            .finish_non_exhaustive()
    }
}
