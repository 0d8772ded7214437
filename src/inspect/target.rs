//! What is to be looked at.

use std::collections::HashMap;

use crate::check::{HeldKey, PrivateKeyAccess};
use crate::dkim::key::KeyId;
use crate::finding::Place;
use crate::manifest::{Binding, DomainManifest};
use crate::names::{DomainName, Selector};

/// A domain, with the key records that are to be looked at.
#[derive(Debug, Clone)]
pub struct Target {
    /// The domain.
    pub domain: DomainName,
    /// The records.
    pub keys: Vec<TargetKey>,
    /// Whether these are all that it has.
    pub scope: Scope,
    /// Whether mail of its subdomains is signed with its keys.
    pub signs_subdomains: bool,
    /// i= of its signatures, where one is configured.
    pub auid: Option<String>,
}

/// How much of a domain is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of its keys.
    Whole,
    /// Some of them: nothing can be said about what it lacks.
    Selected,
}

/// Whether a key is meant to be that of several domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// It is.
    Declared,
    /// It is not.
    Undeclared,
}

/// A key record that is to be looked at.
#[derive(Debug, Clone)]
pub struct TargetKey {
    /// Its selector.
    pub selector: Selector,
    /// What we hold; none where only DNS is to be looked at.
    pub held: Option<HeldKey>,
    /// Where that is written.
    pub source: Option<Place>,
}

impl TargetKey {
    /// A record of which nothing is held.
    pub fn unheld(selector: Selector) -> Self {
        Self { selector, held: None, source: None }
    }

    /// The record of a binding.
    pub fn of(
        domain: &DomainName,
        binding: &Binding,
        same_keys: &SameKeys,
        private_key: PrivateKeyAccess,
        sharing: Sharing,
        source: Option<Place>,
    ) -> Self {
        let held = HeldKey {
            public_key: binding.public_key.clone(),
            state: binding.state.name(),
            created: binding.created,
            record_ttl: binding.record_ttl,
            is_shared: sharing == Sharing::Declared,
            same_key: same_keys.others(binding.key_id(), domain, &binding.selector),
            private_key,
        };
        Self { selector: binding.selector.clone(), held: Some(held), source }
    }
}

/// So many of the other places of a key are named.
const SHOWN: usize = 8;

/// Keys that stand under more than one domain or selector. Counting takes 8 octets a key; only those that occur twice are
/// then kept with their names.
#[derive(Debug, Clone, Default)]
pub struct SameKeys {
    bindings: HashMap<KeyId, Vec<(DomainName, Selector)>>,
}

impl SameKeys {
    /// Reads all manifests twice: to find the keys that occur more than once, and, if there are any, to name where.
    pub fn among<M, I>(mut manifests: M) -> Self
    where
        M: FnMut() -> I,
        I: Iterator<Item = DomainManifest>,
    {
        let mut seen: Vec<u64> =
            manifests().flat_map(|manifest| manifest.bindings().iter().map(abridged).collect::<Vec<_>>()).collect();
        seen.sort_unstable();
        let mut twice: Vec<u64> = seen.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        twice.dedup();
        let mut bindings: HashMap<KeyId, Vec<_>> = HashMap::new();
        if !twice.is_empty() {
            for manifest in manifests() {
                for binding in
                    manifest.bindings().iter().filter(|binding| twice.binary_search(&abridged(binding)).is_ok())
                {
                    let place = (manifest.domain().clone(), binding.selector.clone());
                    bindings.entry(binding.key_id()).or_default().push(place);
                }
            }
        }
        Self { bindings }
    }

    /// Where else the key stands: a few places of many, for a key that thousands of domains share is no list to be read.
    fn others(&self, key: KeyId, domain: &DomainName, selector: &Selector) -> Vec<(DomainName, Selector)> {
        let all = self.bindings.get(&key).map_or(&[][..], Vec::as_slice);
        all.iter().filter(|(other, name)| other != domain || name != selector).take(SHOWN).cloned().collect()
    }
}

/// The first eight octets of the key's id: enough to tell which keys to look at again.
fn abridged(binding: &Binding) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&binding.key_id().as_octets()[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::dkim::{Algorithm, PublicKey};
    use crate::manifest::PrivateKeyPlace;

    fn manifest(domain: &str, keys: &[(&str, u8)]) -> DomainManifest {
        let empty = DomainManifest::new(DomainName::parse(domain).unwrap());
        keys.iter().fold(empty, |manifest, (selector, octet)| {
            let key = PublicKey::from_octets(Algorithm::Ed25519Sha256, &[*octet; 32]).unwrap();
            let selector = Selector::parse(selector).unwrap();
            manifest.bind_generated(selector, key, PrivateKeyPlace::Own, 3600, Timestamp::UNIX_EPOCH).unwrap()
        })
    }

    #[test]
    fn a_key_that_stands_elsewhere_too_is_told_where() {
        let all = [manifest("a.example", &[("s", 1), ("t", 2)]), manifest("b.example", &[("s", 1), ("u", 3)])];
        let same = SameKeys::among(|| all.iter().cloned());
        let others = |manifest: &DomainManifest, at: usize| {
            let binding = &manifest.bindings()[at];
            same.others(binding.key_id(), manifest.domain(), &binding.selector)
        };
        let b = (DomainName::parse("b.example").unwrap(), Selector::parse("s").unwrap());
        assert_eq!(others(&all[0], 0), [b]);
        assert!(others(&all[0], 1).is_empty());
        assert!(others(&all[1], 1).is_empty());
    }
}
