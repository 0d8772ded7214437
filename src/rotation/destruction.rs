//! Private keys that are to be gone.
//!
//! A domain's own key goes with the commit that says so. One that is shared stays while any domain binds it, or may: a
//! manifest that cannot be read may. Only a look at all manifests tells, so there is one look for all keys of a run; until
//! then a file in the state directory remembers which they are.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::dkim::key::KeyId;
use crate::keystore::{Directory, Listed, StoreError};
use crate::manifest::{Binding, PrivateKeyPlace};

/// Shared keys that some domain does not bind any more.
#[derive(Debug)]
pub struct LetGo {
    path: PathBuf,
    keys: Mutex<BTreeSet<KeyId>>,
}

/// Why shared keys that are to be gone are still there. The next run tries again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DestroyError {
    /// The key store.
    #[error("shared private keys that are to be gone are still there")]
    Store(#[from] StoreError),
    /// The file that remembers them.
    #[error("cannot write {}, which names shared private keys that are to be gone", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl LetGo {
    /// Those that the file at `path` remembers, if there is one; its directory must exist.
    pub fn at(path: PathBuf) -> Self {
        Self { path, keys: Mutex::default() }
    }

    /// Takes note of a key, through to stable storage.
    pub(super) fn note(&self, key: KeyId) -> Result<(), DestroyError> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.insert(key) {
            return Ok(());
        }
        let write = || {
            let mut file = OpenOptions::new().append(true).create(true).mode(0o640).open(&self.path)?;
            // A line of its own, whatever was cut short before.
            file.write_all(format!("\n{key}\n").as_bytes())?;
            file.sync_data()
        };
        write().map_err(|source| self.failed(source))
    }

    /// Destroys those that no domain binds.
    pub(super) fn destroy(&self, store: &Directory) -> Result<(), DestroyError> {
        let mut keys = std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner));
        match fs::read_to_string(&self.path) {
            Ok(text) => keys.extend(text.lines().filter_map(|line| line.parse::<KeyId>().ok())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(self.failed(source)),
        }
        // Most are bound by others still, which takes no lock to see.
        let bound = bound(store, &keys)?;
        let candidates: Vec<_> = keys.difference(&bound).copied().collect();
        if !candidates.is_empty() {
            let among = candidates.iter().copied().collect();
            store.destroy_shared(&candidates, || {
                Ok::<HashSet<_>, StoreError>(self::bound(store, &among)?.into_iter().collect())
            })?;
        }
        fs::remove_file(&self.path).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> DestroyError {
        DestroyError::Io { path: self.path.clone(), source }
    }
}

/// Those of `keys` that are bound.
fn bound(store: &Directory, keys: &BTreeSet<KeyId>) -> Result<BTreeSet<KeyId>, StoreError> {
    let manifests = store.manifests()?;
    let mut bound = BTreeSet::new();
    for listed in store.domains()? {
        if bound.len() == keys.len() {
            break;
        }
        let Listed::Domain(domain) = listed? else { continue };
        let Some(manifest) = manifests.read(&domain)? else { continue };
        let shared = manifest.bindings().iter().filter(|binding| binding.private_key == PrivateKeyPlace::Shared);
        bound.extend(shared.map(Binding::key_id).filter(|key| keys.contains(key)));
    }
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::dkim::{KeyKind, PrivateKey};
    use crate::keystore::{Access, KeyStore};
    use crate::manifest::DomainManifest;
    use crate::names::{DomainName, Selector};

    struct Host {
        _scratch: tempfile::TempDir,
        store: Directory,
        let_go: PathBuf,
        key: PrivateKey,
    }

    fn host(domains: &[&str]) -> Host {
        let scratch = tempfile::tempdir().unwrap();
        let store = Directory::create(&scratch.path().join("keys"), Access::OneUser).unwrap();
        let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        for domain in domains {
            let manifest = DomainManifest::new(DomainName::parse(domain).unwrap());
            let (selector, public) = (Selector::parse("s").unwrap(), key.public().clone());
            let bound = manifest
                .bind_generated(selector, public, PrivateKeyPlace::Shared, 3600, Timestamp::UNIX_EPOCH)
                .unwrap();
            store.commit(&bound, &[&key]).unwrap();
        }
        Host { let_go: scratch.path().join("let-go"), _scratch: scratch, store, key }
    }

    impl Host {
        fn gives_up(&self, domain: &str) {
            let manifest = self.store.manifest(&DomainName::parse(domain).unwrap()).unwrap().unwrap();
            let removal = manifest.remove(&[Selector::parse("s").unwrap()], Timestamp::UNIX_EPOCH).unwrap();
            self.store.commit(&removal.manifest, &[]).unwrap();
        }

        fn is_kept(&self) -> bool {
            self.store.root().join(format!("shared/{}.pem", self.key.public().id())).exists()
        }
    }

    #[test]
    fn a_shared_key_goes_with_the_last_domain_that_has_it() {
        let host = host(&["a.example", "b.example"]);
        let let_go = LetGo::at(host.let_go.clone());
        for (domain, is_kept) in [("a.example", true), ("b.example", false)] {
            host.gives_up(domain);
            let_go.note(host.key.public().id()).unwrap();
            let_go.destroy(&host.store).unwrap();
            assert_eq!((host.is_kept(), host.let_go.exists()), (is_kept, false), "{domain}");
        }
    }

    #[test]
    fn what_a_killed_run_let_go_of_is_destroyed_by_the_next() {
        let host = host(&["a.example"]);
        host.gives_up("a.example");
        LetGo::at(host.let_go.clone()).note(host.key.public().id()).unwrap();
        assert!(host.is_kept());
        LetGo::at(host.let_go.clone()).destroy(&host.store).unwrap();
        assert!(!host.is_kept());
    }

    #[test]
    fn nothing_is_destroyed_while_a_manifest_cannot_be_read() {
        let host = host(&["a.example", "b.example"]);
        host.gives_up("a.example");
        fs::write(host.store.manifest_path(&DomainName::parse("b.example").unwrap()), "{").unwrap();
        let let_go = LetGo::at(host.let_go.clone());
        let_go.note(host.key.public().id()).unwrap();
        assert!(matches!(let_go.destroy(&host.store), Err(DestroyError::Store(_))));
        assert!(host.is_kept() && host.let_go.exists());
    }
}
