//! A key store in memory with compare-and-swap, and daemons' views of it, which can be cut off.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use waxseal::dkim::key::{KeyId, PrivateKey};
use waxseal::keystore::{KeyStore, Stamp, StoreError};
use waxseal::manifest::{Binding, DomainManifest};
use waxseal::names::DomainName;

/// The store of one domain. Clones are the same store.
#[derive(Debug, Clone)]
pub(crate) struct Store(Arc<Mutex<Contents>>);

#[derive(Debug)]
struct Contents {
    manifest: DomainManifest,
    private_keys: BTreeSet<KeyId>,
}

impl Store {
    /// A store with a domain that has no keys.
    pub(crate) fn new(domain: DomainName) -> Self {
        let manifest = DomainManifest::new(domain).with_next_revision();
        Self(Arc::new(Mutex::new(Contents { manifest, private_keys: BTreeSet::new() })))
    }

    /// The manifest.
    pub(crate) fn manifest(&self) -> DomainManifest {
        self.0.lock().unwrap().manifest.clone()
    }

    /// Writes a manifest, and a private key before it, if nobody was faster; none if somebody was.
    pub(crate) fn commit(&self, manifest: DomainManifest, new_key: Option<KeyId>) -> Option<DomainManifest> {
        let mut contents = self.0.lock().unwrap();
        if contents.manifest.revision() != manifest.revision() {
            return None;
        }
        contents.private_keys.extend(new_key);
        contents.manifest = manifest.with_next_revision();
        Some(contents.manifest.clone())
    }

    /// Writes a manifest whoever was faster: what no store must do.
    pub(crate) fn commit_anyway(&self, manifest: DomainManifest, new_key: Option<KeyId>) -> DomainManifest {
        let mut contents = self.0.lock().unwrap();
        contents.private_keys.extend(new_key);
        contents.manifest = manifest.with_next_revision();
        contents.manifest.clone()
    }

    /// Destroys a private key.
    pub(crate) fn destroy(&self, key: KeyId) {
        self.0.lock().unwrap().private_keys.remove(&key);
    }

    /// Whether it has a private key.
    pub(crate) fn holds(&self, key: KeyId) -> bool {
        self.0.lock().unwrap().private_keys.contains(&key)
    }
}

/// The store as one daemon sees it.
#[derive(Debug)]
pub(crate) struct View {
    store: Store,
    /// Whether it cannot be read from there.
    pub(crate) is_away: AtomicBool,
}

impl View {
    /// A view of a store that can be read.
    pub(crate) fn new(store: Store) -> Self {
        Self { store, is_away: AtomicBool::new(false) }
    }

    fn read(&self) -> Result<DomainManifest, StoreError> {
        if self.is_away.load(Ordering::Relaxed) {
            let source = io::ErrorKind::TimedOut.into();
            return Err(StoreError::Io { action: "read", path: PathBuf::from("/simulated"), source });
        }
        Ok(self.store.manifest())
    }
}

impl KeyStore for View {
    fn manifest(&self, _: &DomainName) -> Result<Option<DomainManifest>, StoreError> {
        self.read().map(Some)
    }

    fn stamp(&self, _: &DomainName) -> Result<Option<Stamp>, StoreError> {
        let revision = self.read()?.revision();
        Ok(Some(Stamp { file: (0, revision), size: 0, modified: (0, 0), changed: (0, 0) }))
    }

    /// Keys are ids here: of a key that is there [`StoreError::KeyNotKept`], of another [`StoreError::KeyMissing`].
    fn private_key(&self, domain: &DomainName, binding: &Binding) -> Result<PrivateKey, StoreError> {
        self.read()?;
        if self.store.holds(binding.key_id()) {
            Err(StoreError::KeyNotKept { domain: domain.clone(), selector: binding.selector.clone() })
        } else {
            Err(StoreError::KeyMissing { path: PathBuf::from(binding.selector.as_str()) })
        }
    }
}
