//! Writing: one commit, in the order that the head of this folder gives.

use std::collections::HashSet;

use super::disk::Dir;
use super::layout::{
    DOMAINS, MANIFEST, MANIFEST_NEW, SHARED, finished, is_key_name, own_key_name, shared_key_name, unfinished, within,
};
use super::lock::lock;
use super::modes::Ownership;
use super::read::read_manifest;
use super::root::Directory;
use crate::dkim::key::{KeyId, PrivateKey};
use crate::keystore::error::StoreError;
use crate::keystore::store::KeyStore;
use crate::manifest::{Binding, DomainManifest, PrivateKeyPlace};
use crate::names::DomainName;

impl Directory {
    /// Writes `manifest`, which was made from the revision it carries, and those of `keys` that it binds anew. Returns
    /// it as it was written, with the next revision. Keys that it says are destroyed are removed afterwards.
    ///
    /// Keys are generated before: nothing slow happens under the lock. Waits up to 5 s for another writer.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if somebody else wrote meanwhile: read, change and commit again. After any error the
    /// domain has its old manifest and keys, or, if only the last step failed, the new ones.
    pub fn commit(&self, manifest: &DomainManifest, keys: &[&PrivateKey]) -> Result<DomainManifest, StoreError> {
        let domain = manifest.domain();
        let unwritable = |source| StoreError::Unwritable { domain: domain.clone(), source: Box::new(source) };
        let next = manifest.clone().with_next_revision();
        let json = next.to_json().map_err(unwritable)?;
        // What cannot be read back must not replace what can.
        DomainManifest::parse(json.as_bytes()).map_err(unwritable)?;

        let (root, ownership) = self.open_root()?;
        let domains = self.open_part(&root, DOMAINS, &ownership)?;
        let directory = lock(|| {
            domains.make(domain.as_str(), &ownership)?;
            let opened = domains.open_unchecked(domain.as_str())?;
            opened.ok_or_else(|| StoreError::Missing { path: self.layout.domain(domain) })
        })?;
        let is_new = directory.names()?.is_empty();
        if is_new {
            // Perhaps made by one who was killed before it had its owner; and what comes next must not be there before.
            directory.adopt(&ownership)?;
            directory.sync()?;
        }
        ownership.check(&directory.path, &directory.stat()?)?;
        let before = read_manifest(&directory, domain, &ownership)?;
        let found = before.as_ref().map_or(0, DomainManifest::revision);
        if found != manifest.revision() {
            let path = within(&directory.path, MANIFEST);
            return Err(StoreError::Conflict { path, expected: manifest.revision(), found });
        }
        tidy(&directory, before.as_ref())?;

        let write = Commit { store: self, root: &root, directory: &directory, ownership: &ownership };
        // The lock on shared keys is held until the manifest that binds them is there: none is destroyed in between.
        let written = write.keys(before.as_ref(), &next, keys).and_then(|_shared| write.manifest(&json));
        if let Err(error) = written {
            // Takes away what was begun, going by the manifest that is there. The next writer does what fails here.
            if let Ok(there) = read_manifest(&directory, domain, &ownership) {
                let _ = tidy(&directory, there.as_ref());
            }
            return Err(error);
        }
        tidy(&directory, Some(&next))?;
        Ok(next)
    }

    /// Takes away what a commit that was cut short left in a domain's directory: private keys that its manifest says are
    /// destroyed, and such as never came to be.
    pub fn sweep(&self, domain: &DomainName) -> Result<(), StoreError> {
        let (root, ownership) = self.open_root()?;
        let domains = self.open_part(&root, DOMAINS, &ownership)?;
        let directory = lock(|| {
            let opened = domains.open_unchecked(domain.as_str())?;
            opened.ok_or_else(|| StoreError::Missing { path: self.layout.domain(domain) })
        })?;
        ownership.check(&directory.path, &directory.stat()?)?;
        tidy(&directory, read_manifest(&directory, domain, &ownership)?.as_ref())
    }

    /// Destroys those of `candidates`, ids of shared keys, that `still_bound` does not give. No other writer binds a
    /// shared key meanwhile. Gives those that are gone.
    ///
    /// # Errors
    /// Those of `still_bound`, before anything is destroyed, and those of the store.
    pub fn destroy_shared<E: From<StoreError>>(
        &self,
        candidates: &[KeyId],
        still_bound: impl FnOnce() -> Result<HashSet<KeyId>, E>,
    ) -> Result<HashSet<KeyId>, E> {
        let (root, ownership) = self.open_root()?;
        let shared = lock(|| self.open_part(&root, SHARED, &ownership))?;
        let bound = still_bound()?;
        let gone: HashSet<KeyId> = candidates.iter().copied().filter(|id| !bound.contains(id)).collect();
        for id in &gone {
            shared.remove(&shared_key_name(*id))?;
        }
        shared.sync()?;
        Ok(gone)
    }
}

/// A commit under the lock of its domain's directory.
struct Commit<'a> {
    store: &'a Directory,
    root: &'a Dir,
    directory: &'a Dir,
    ownership: &'a Ownership,
}

impl Commit<'_> {
    /// Step 1: the private keys of bindings that `before` did not have; the locked directory of shared keys, if there
    /// are such among them.
    fn keys(
        &self,
        before: Option<&DomainManifest>,
        next: &DomainManifest,
        keys: &[&PrivateKey],
    ) -> Result<Option<Dir>, StoreError> {
        let mut locked = None;
        let is_new = |binding: &&Binding| {
            before
                .and_then(|before| before.binding(&binding.selector))
                .is_none_or(|old| old.private_key != binding.private_key)
        };
        let mut made = Vec::new();
        for binding in next.bindings().iter().filter(is_new) {
            let given = keys.iter().find(|key| key.public().id() == binding.key_id());
            let not_given =
                || StoreError::KeyNotGiven { domain: next.domain().clone(), selector: binding.selector.clone() };
            match binding.private_key {
                PrivateKeyPlace::Own => made.push(self.mark(binding, given.ok_or_else(not_given)?)?),
                PrivateKeyPlace::Shared => {
                    let shared = match locked.take() {
                        Some(shared) => shared,
                        None => lock(|| self.store.open_part(self.root, SHARED, self.ownership))?,
                    };
                    match given {
                        Some(key) => self.shared_key(&shared, key)?,
                        // Shared before: it must be there, and right.
                        None => drop(KeyStore::private_key(self.store, next.domain(), binding)?),
                    }
                    locked = Some(shared);
                }
                PrivateKeyPlace::None => {}
            }
        }
        if !made.is_empty() {
            // No key may be there without its mark, should the power fail.
            self.directory.sync()?;
            for name in &made {
                self.directory.link(&unfinished(name), name)?;
            }
            self.directory.sync()?;
        }
        Ok(locked)
    }

    /// Writes a key under its mark. Gives the name it is to have.
    fn mark(&self, binding: &Binding, key: &PrivateKey) -> Result<String, StoreError> {
        let name = own_key_name(&binding.selector, binding.key_id());
        self.directory.write_new(&unfinished(&name), key.to_pem().as_bytes(), self.ownership)?;
        Ok(name)
    }

    /// A shared key needs no mark: that no manifest names it can only be known by reading all of them.
    fn shared_key(&self, shared: &Dir, key: &PrivateKey) -> Result<(), StoreError> {
        let name = shared_key_name(key.public().id());
        let unfinished = unfinished(&name);
        let names = shared.names()?;
        for leftover in names.iter().filter(|name| finished(name).is_some()) {
            shared.remove(leftover)?;
        }
        if names.contains(&name) {
            return Ok(());
        }
        shared.write_new(&unfinished, key.to_pem().as_bytes(), self.ownership)?;
        shared.rename(&unfinished, &name)?;
        shared.sync()
    }

    /// Step 2: the manifest; its rename is the commit.
    fn manifest(&self, json: &str) -> Result<(), StoreError> {
        self.directory.write_new(MANIFEST_NEW, json.as_bytes(), self.ownership)?;
        self.directory.rename(MANIFEST_NEW, MANIFEST)?;
        self.directory.sync()
    }
}

/// Step 3, and what the next writer does for one that was cut short: removes marks, keys that never came to be, and
/// keys that `manifest` says are destroyed.
fn tidy(directory: &Dir, manifest: Option<&DomainManifest>) -> Result<(), StoreError> {
    let mut kept = HashSet::new();
    let mut destroyed = HashSet::new();
    if let Some(manifest) = manifest {
        for binding in manifest.bindings() {
            let name = own_key_name(&binding.selector, binding.key_id());
            match binding.private_key {
                PrivateKeyPlace::Own => kept.insert(name),
                PrivateKeyPlace::None => destroyed.insert(name),
                PrivateKeyPlace::Shared => false,
            };
        }
        destroyed.extend(manifest.tombstones().iter().map(|stone| own_key_name(&stone.selector, stone.key_id)));
    }
    let names = directory.names()?;
    let never_came: Vec<&str> =
        names.iter().filter_map(|name| finished(name)).filter(|key| !kept.contains(*key)).collect();
    for key in &never_came {
        directory.remove(key)?;
    }
    if !never_came.is_empty() {
        // The keys before their marks: cut short in between, the marks still tell.
        directory.sync()?;
    }
    let goes = |name: &&String| {
        let is_destroyed = destroyed.contains(*name) && !kept.contains(*name);
        finished(name).is_some() || *name == MANIFEST_NEW || is_destroyed
    };
    let mut was_destroyed = false;
    for name in names.iter().filter(goes) {
        directory.remove(name)?;
        was_destroyed |= is_key_name(name);
    }
    // Whatever else comes back is removed again.
    if was_destroyed { directory.sync() } else { Ok(()) }
}
