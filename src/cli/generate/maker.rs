//! Making keys: for one domain, or for many on all cores.

use anyhow::{Context, bail};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::dns::Dns;
use crate::clock::Clock;
use crate::config::Config;
use crate::dkim::{Algorithm, KeyKind, PrivateKey, backend};
use crate::keystore::{Directory, KeyStore, StoreError};
use crate::manifest::{Binding, DomainManifest, PrivateKeyPlace, SelectorTemplate, Slot, Slots};
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
    pub(super) config: &'a Config,
    /// In place of what the configuration says.
    pub(super) template: Option<&'a SelectorTemplate>,
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
    /// In a fixed slot.
    InSlot(PrivateKey, Slot),
    /// The index of a shared one.
    Shared(usize),
}

impl<'a> Maker<'a> {
    pub(super) fn new(
        store: &'a Directory,
        kinds: &'a [KeyKind],
        config: &'a Config,
        wanted: Wanted,
        dns: &'a Dns<'a>,
    ) -> Self {
        Self { store, kinds, config, template: None, wanted, dns, shared: Vec::new(), now: Clock::System.now() }
    }

    pub(super) fn date(&self) -> Date {
        TimeZone::UTC.to_datetime(self.now).date()
    }

    pub(super) fn template_for(&self, domain: &DomainName) -> &'a SelectorTemplate {
        self.template.unwrap_or_else(|| self.config.selector_template(domain))
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
        if let Some(slots) = self.config.slots.of(domain) {
            keys = self.make_in_slots(&before, &slots)?;
        } else if self.shared.is_empty() {
            let template = self.template_for(domain);
            // A stand-in for what the manifest will be, so that no selector is chosen twice.
            let mut chosen: Vec<Selector> = Vec::new();
            for kind in self.kinds.iter().filter(|kind| self.wants(&before, kind.algorithm())) {
                let selector = before
                    .free_selectors(template, self.date(), kind.algorithm(), backend::random_number)
                    .filter(|selector| !chosen.contains(selector))
                    .find(|selector| self.dns.is_free(domain, selector))
                    .with_context(|| no_selector(domain, template))?;
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

    /// A key for each algorithm that has slots. Whether DNS has their names tells nothing: it has.
    fn make_in_slots(&self, before: &DomainManifest, slots: &Slots) -> anyhow::Result<Vec<(Selector, NewKey)>> {
        let domain = before.domain();
        if self.template.is_some() {
            bail!("{domain} has [[slots]], so its selectors are those: leave --selector-template out");
        }
        let has_slots = |kind: &&KeyKind| !slots.of(kind.algorithm()).is_empty();
        if !self.kinds.iter().any(|kind| has_slots(&kind)) {
            bail!("{domain} has [[slots]], and none for keys of this algorithm");
        }
        let mut keys = Vec::new();
        for kind in self.kinds.iter().filter(has_slots) {
            let algorithm = kind.algorithm();
            if self.wants(before, algorithm) {
                let slot = before.free_slot(slots, algorithm, self.now).with_context(|| {
                    format!(
                        "none of the {} {algorithm} slots of {domain} is free: `waxseal status {domain}` says what each waits \
                         for, and `waxseal rotate` uses the first that is",
                        slots.of(algorithm).len()
                    )
                })?;
                keys.push((slot.selector.clone(), NewKey::InSlot(PrivateKey::generate(*kind)?, slot.clone())));
            }
        }
        Ok(keys)
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
        let ttl = self.config.record_ttl(before);
        for (selector, key) in keys {
            let (key, place) = match key {
                NewKey::Own(key) => (key, PrivateKeyPlace::Own),
                NewKey::InSlot(key, slot) => {
                    manifest = manifest.bind_slot(slot, key.public().clone(), ttl, self.now)?;
                    given.push(key);
                    continue;
                }
                NewKey::Shared(index) => match self.shared.get(*index) {
                    Some(SharedKey { key, .. }) => (key, PrivateKeyPlace::Shared),
                    None => bail!("the shared key of selector {selector} is not at hand"),
                },
            };
            manifest = manifest.bind_generated(selector.clone(), key.public().clone(), place, ttl, self.now)?;
            given.push(key);
        }
        let manifest = self.store.commit(&manifest, &given)?;
        let is_new = |selector: &Selector| keys.iter().any(|(new, _)| new == selector);
        let domain = manifest.domain();
        let new = manifest.bindings().iter().filter(|binding| is_new(&binding.selector));
        let record = |binding: &Binding| {
            let target = self.config.target_of(domain, &binding.selector);
            PublishedRecord::of(domain, binding).at(target.as_ref())
        };
        Ok(new.map(record).collect())
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
    use std::path::Path;

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
        let config = Config::default_in(Path::new(""));
        let maker = Maker::new(&store, &[KeyKind::Ed25519], &config, Wanted::All, &dns);
        let domain = DomainName::parse("example.com").unwrap();
        let records = maker.commit(&maker.make(&domain).unwrap()).unwrap();
        assert!(records[0].selector.as_str().ends_with("e2"), "{}", records[0].selector);
        let full = Dns::asked(|_, _| Taken::Taken { what: "a wildcard".to_owned() });
        let maker = Maker::new(&store, &[KeyKind::Ed25519], &config, Wanted::All, &full);
        let Err(error) = maker.make(&domain) else { panic!("a selector was found") };
        assert!(error.to_string().contains("--selector-template"), "{error}");
    }

    #[test]
    fn keys_made_while_somebody_else_wrote_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Directory::create(&dir.path().join("keys"), Access::OneUser).unwrap();
        let (config, dns) = (Config::default_in(Path::new("")), Dns::unasked());
        let maker = Maker::new(&store, &[KeyKind::Ed25519], &config, Wanted::All, &dns);
        let domain = DomainName::parse("example.com").unwrap();
        let (first, second) = (maker.make(&domain).unwrap(), maker.make(&domain).unwrap());
        maker.commit(&first).unwrap();
        let other = "other".parse().unwrap();
        let mut third = Maker::new(&store, &[KeyKind::Ed25519], &config, Wanted::All, &dns);
        third.template = Some(&other);
        let third_made = third.make(&domain).unwrap();
        // The same selector was taken meanwhile: refused, and the store as it was.
        assert!(maker.commit(&second).unwrap_err().to_string().contains("never gets a second"));
        maker.commit(&maker.make(&domain).unwrap()).unwrap();
        assert_eq!(third.commit(&third_made).unwrap().len(), 1);
        assert_eq!(store.manifest(&domain).unwrap().unwrap().bindings().len(), 3);
    }
}
