//! Making keys: for one domain, or for many on all cores.

use anyhow::{Context, bail};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::RECORD_TTL;
use super::dns::Dns;
use crate::clock::Clock;
use crate::dkim::{Algorithm, KeyKind, PrivateKey, backend};
use crate::keystore::{Directory, KeyStore, StoreError};
use crate::manifest::{DomainManifest, PrivateKeyPlace, SelectorTemplate};
use crate::names::{DomainName, Selector};
use crate::record_format::PublishedRecord;

/// For which of its algorithms a domain gets a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// For all.
    All,
    /// For those of which it has no usable key.
    Missing,
}

/// Makes keys, and the manifests that have them.
pub(super) struct Maker<'a> {
    pub(super) store: &'a Directory,
    pub(super) kinds: &'a [KeyKind],
    pub(super) template: &'a SelectorTemplate,
    pub(super) wanted: Wanted,
    pub(super) dns: &'a Dns<'a>,
    /// Keys that all domains share, in place of new ones.
    pub(super) shared: Vec<SharedKey>,
    now: Timestamp,
}

/// A key that many domains have, all under one selector.
pub(super) struct SharedKey {
    pub(super) selector: Selector,
    pub(super) key: PrivateKey,
}

/// Keys of a domain, not yet in the store.
pub(super) struct Made {
    before: DomainManifest,
    keys: Vec<(Selector, NewKey)>,
}

enum NewKey {
    Own(PrivateKey),
    /// The index of a shared one.
    Shared(usize),
}

impl<'a> Maker<'a> {
    pub(super) fn new(
        store: &'a Directory,
        kinds: &'a [KeyKind],
        template: &'a SelectorTemplate,
        wanted: Wanted,
        dns: &'a Dns<'a>,
    ) -> Self {
        Self { store, kinds, template, wanted, dns, shared: Vec::new(), now: Clock::System.now() }
    }

    pub(super) fn date(&self) -> Date {
        TimeZone::UTC.to_datetime(self.now).date()
    }

    /// The manifest of a domain, or that of one which is new.
    pub(super) fn manifest(&self, domain: &DomainName) -> Result<DomainManifest, StoreError> {
        Ok(self.store.manifest(domain)?.unwrap_or_else(|| DomainManifest::new(domain.clone())))
    }

    /// Whether a domain is to get a key of this algorithm.
    fn wants(&self, manifest: &DomainManifest, algorithm: Algorithm) -> bool {
        let has = || manifest.bindings().iter().any(|binding| binding.algorithm() == algorithm && binding.is_usable());
        self.wanted == Wanted::All || !has()
    }

    /// Generates what a domain is to get. Slow; writes nothing.
    pub(super) fn make(&self, domain: &DomainName) -> anyhow::Result<Made> {
        let before = self.manifest(domain)?;
        let mut keys = Vec::new();
        if self.shared.is_empty() {
            // A stand-in for what the manifest will be, so that no selector is chosen twice.
            let mut chosen: Vec<Selector> = Vec::new();
            for kind in self.kinds.iter().filter(|kind| self.wants(&before, kind.algorithm())) {
                let selector = before
                    .free_selectors(self.template, self.date(), kind.algorithm(), backend::random_number)
                    .filter(|selector| !chosen.contains(selector))
                    .find(|selector| self.dns.is_free(domain, selector))
                    .with_context(|| no_selector(domain, self.template))?;
                chosen.push(selector.clone());
                keys.push((selector, NewKey::Own(PrivateKey::generate(*kind)?)));
            }
        }
        for (index, SharedKey { selector, key }) in self.shared.iter().enumerate() {
            let has = before.binding(selector).is_some_and(|binding| binding.key_id() == key.public().id());
            if !has && self.wants(&before, key.public().algorithm()) {
                keys.push((selector.clone(), NewKey::Shared(index)));
            }
        }
        Ok(Made { before, keys })
    }

    /// Commits what was made; gives the records of the new keys.
    pub(super) fn commit(&self, made: &Made) -> anyhow::Result<Vec<PublishedRecord>> {
        match self.commit_onto(&made.before, &made.keys) {
            Err(error) if matches!(error.downcast_ref(), Some(StoreError::Conflict { .. })) => {
                // Somebody else changed the domain while keys were generated. They fit as well now, or are refused.
                let now = self.manifest(made.before.domain())?;
                self.commit_onto(&now, &made.keys)
            }
            done => done,
        }
    }

    fn commit_onto(
        &self,
        before: &DomainManifest,
        keys: &[(Selector, NewKey)],
    ) -> anyhow::Result<Vec<PublishedRecord>> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut manifest = before.clone();
        let mut given = Vec::new();
        for (selector, key) in keys {
            let (key, place) = match key {
                NewKey::Own(key) => (key, PrivateKeyPlace::Own),
                NewKey::Shared(index) => match self.shared.get(*index) {
                    Some(SharedKey { key, .. }) => (key, PrivateKeyPlace::Shared),
                    None => bail!("the shared key of selector {selector} is not at hand"),
                },
            };
            manifest = manifest.bind_generated(selector.clone(), key.public().clone(), place, RECORD_TTL, self.now)?;
            given.push(key);
        }
        let manifest = self.store.commit(&manifest, &given)?;
        let is_new = |selector: &Selector| keys.iter().any(|(new, _)| new == selector);
        let domain = manifest.domain();
        let new = manifest.bindings().iter().filter(|binding| is_new(&binding.selector));
        Ok(new.map(|binding| PublishedRecord::of(domain, binding)).collect())
    }
}

pub(super) fn no_selector(domain: &DomainName, template: &SelectorTemplate) -> String {
    format!(
        "no selector is free for {domain}: {template} makes only such as were used or are in DNS; give another \
         --selector-template"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Taken;
    use crate::keystore::Access;

    #[test]
    fn a_selector_that_dns_has_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let store = Directory::create(&dir.path().join("keys"), Access::OneUser).unwrap();
        let dns = Dns::asked(|_, selector| match selector.as_str() {
            selector if selector.ends_with('e') => Taken::Taken { what: "a TXT record".to_owned() },
            _ => Taken::Free,
        });
        let template = SelectorTemplate::default();
        let maker = Maker::new(&store, &[KeyKind::Ed25519], &template, Wanted::All, &dns);
        let domain = DomainName::parse("example.com").unwrap();
        let records = maker.commit(&maker.make(&domain).unwrap()).unwrap();
        assert!(records[0].selector.as_str().ends_with("e2"), "{}", records[0].selector);
        let full = Dns::asked(|_, _| Taken::Taken { what: "a wildcard".to_owned() });
        let maker = Maker::new(&store, &[KeyKind::Ed25519], &template, Wanted::All, &full);
        let Err(error) = maker.make(&domain) else { panic!("a selector was found") };
        assert!(error.to_string().contains("--selector-template"), "{error}");
    }

    #[test]
    fn keys_made_while_somebody_else_wrote_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Directory::create(&dir.path().join("keys"), Access::OneUser).unwrap();
        let (template, dns) = (SelectorTemplate::default(), Dns::unasked());
        let maker = Maker::new(&store, &[KeyKind::Ed25519], &template, Wanted::All, &dns);
        let domain = DomainName::parse("example.com").unwrap();
        let (first, second) = (maker.make(&domain).unwrap(), maker.make(&domain).unwrap());
        maker.commit(&first).unwrap();
        let other = "other".parse().unwrap();
        let third = Maker::new(&store, &[KeyKind::Ed25519], &other, Wanted::All, &dns);
        let third_made = third.make(&domain).unwrap();
        // The same selector was taken meanwhile: refused, and the store as it was.
        assert!(maker.commit(&second).unwrap_err().to_string().contains("never gets a second"));
        maker.commit(&maker.make(&domain).unwrap()).unwrap();
        assert_eq!(third.commit(&third_made).unwrap().len(), 1);
        assert_eq!(store.manifest(&domain).unwrap().unwrap().bindings().len(), 3);
    }
}
