//! What the tests share.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use tempfile::TempDir;
use waxseal::dkim::key::{KeyKind, PrivateKey};
use waxseal::keystore::{Access, Directory, KeyStore, StoreError};
use waxseal::manifest::{Choice, DomainManifest, PrivateKeyPlace, RetirementWaits};
use waxseal::names::{DomainName, Selector};

pub(crate) const NOW: Timestamp = Timestamp::UNIX_EPOCH;

pub(crate) fn domain(name: &str) -> DomainName {
    DomainName::parse(name).unwrap()
}

pub(crate) fn example() -> DomainName {
    domain("example.com")
}

pub(crate) fn selector(name: &str) -> Selector {
    Selector::parse(name).unwrap()
}

pub(crate) fn ed25519() -> PrivateKey {
    PrivateKey::generate(KeyKind::Ed25519).unwrap()
}

/// A one-user store in a scratch directory.
pub(crate) fn scratch() -> (TempDir, Directory) {
    let scratch = tempfile::tempdir().unwrap();
    let store = Directory::create(&scratch.path().join("keys"), Access::OneUser).unwrap();
    (scratch, store)
}

/// The domain's manifest, or that of one without keys.
pub(crate) fn manifest(store: &Directory, domain: &DomainName) -> DomainManifest {
    store.manifest(domain).unwrap().unwrap_or_else(|| DomainManifest::new(domain.clone()))
}

pub(crate) fn bind(manifest: &DomainManifest, name: &str, key: &PrivateKey) -> DomainManifest {
    manifest.bind_generated(selector(name), key.public().clone(), PrivateKeyPlace::Own, 3600, NOW).unwrap()
}

/// Binds a new Ed25519 key, activates it and commits.
pub(crate) fn add_active(store: &Directory, domain: &DomainName, name: &str) -> Result<DomainManifest, StoreError> {
    let key = ed25519();
    let bound = bind(&manifest(store, domain), name, &key);
    let activation = bound.activate(Choice::Newest, RetirementWaits::default(), NOW).unwrap();
    store.commit(&activation.manifest, &[&key])
}

pub(crate) fn key_path(store: &Directory, manifest: &DomainManifest, name: &str) -> PathBuf {
    store.key_path(manifest.domain(), manifest.binding(&selector(name)).unwrap()).unwrap()
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What must hold whatever happened: the manifest is whole, and every key it names is there and right.
pub(crate) fn assert_whole(store: &Directory, domain: &DomainName) -> DomainManifest {
    let manifest = store.manifest(domain).unwrap().unwrap();
    for binding in manifest.bindings() {
        store.private_key(domain, binding).unwrap();
    }
    manifest
}
