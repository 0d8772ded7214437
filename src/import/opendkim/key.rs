//! KeyTable: names of keys, and what each is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::dataset::Entry;
use crate::dkim::PrivateKey;
use crate::dkim::key::{KeyError, KeyFile};
use crate::import::{Sources, Unreadable};

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

/// The private key cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeyUnusable {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("no private key that can be used")]
    Broken(#[source] KeyError),
    #[error("the private key is encrypted")]
    Encrypted,
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

    /// The private key for an author's domain.
    pub(super) fn private_key(
        &self,
        base: &Path,
        author: &str,
        sources: &mut impl Sources,
    ) -> Result<PrivateKey, KeyUnusable> {
        match self.path(base, author) {
            Some(path) => read_key(&sources.read(&path)?).and_then(plain),
            None => self.inline(),
        }
    }

    /// The key in the table: PEM without its line ends, or base64 of DER.
    fn inline(&self) -> Result<PrivateKey, KeyUnusable> {
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
        let as_pkcs1 = read_key(armoured("RSA PRIVATE KEY").as_bytes()).and_then(plain);
        as_pkcs1.or_else(|_| read_key(armoured("PRIVATE KEY").as_bytes()).and_then(plain))
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

fn read_key(octets: &[u8]) -> Result<KeyFile, KeyUnusable> {
    KeyFile::read(octets).map_err(KeyUnusable::Broken)
}

fn plain(file: KeyFile) -> Result<PrivateKey, KeyUnusable> {
    match file {
        KeyFile::Plain(key) => Ok(key),
        KeyFile::Encrypted(_) => Err(KeyUnusable::Encrypted),
    }
}
