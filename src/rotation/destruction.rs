//! Private keys that are to be gone.

use std::collections::HashSet;

use crate::dkim::key::KeyId;
use crate::keystore::{Directory, Listed, StoreError};
use crate::manifest::{Binding, PrivateKeyPlace};
use crate::names::DomainName;

/// Sees to it that a private key is gone. One that is shared stays while any domain binds it, or may: a manifest that
/// cannot be read may.
pub(super) fn destroy(
    store: &Directory,
    domain: &DomainName,
    key_id: KeyId,
    place: PrivateKeyPlace,
) -> Result<(), StoreError> {
    match place {
        PrivateKeyPlace::Shared => store.destroy_shared(&[key_id], || bound(store)).map(drop),
        PrivateKeyPlace::Own | PrivateKeyPlace::None => store.sweep(domain),
    }
}

/// The shared keys that are bound.
fn bound(store: &Directory) -> Result<HashSet<KeyId>, StoreError> {
    let manifests = store.manifests()?;
    let mut bound = HashSet::new();
    for listed in store.domains()? {
        let Listed::Domain(domain) = listed? else { continue };
        let Some(manifest) = manifests.read(&domain)? else { continue };
        let shared = manifest.bindings().iter().filter(|binding| binding.private_key == PrivateKeyPlace::Shared);
        bound.extend(shared.map(Binding::key_id));
    }
    Ok(bound)
}
