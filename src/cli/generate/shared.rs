//! One key for many domains: all their records say the same, so all can be one CNAME to one record.

use std::collections::HashSet;

use anyhow::{Context, bail};

use super::maker::{Maker, SharedKey, Wanted, no_selector};
use crate::dkim::{Algorithm, KeyKind, PrivateKey, backend};
use crate::keystore::KeyStore;
use crate::manifest::{Binding, DomainManifest, PrivateKeyPlace};
use crate::names::{DomainName, Selector};

impl Maker<'_> {
    /// Readies the keys that all of `domains` are to share. What a run that was cut short shared out is gone on with.
    pub(super) fn share(&mut self, domains: &[DomainName]) -> anyhow::Result<()> {
        if let Some(domain) = domains.iter().find(|domain| self.config.slots.of(domain).is_some()) {
            bail!("{domain} has [[slots]], each with a key of its own: leave --shared out");
        }
        let mut used = HashSet::new();
        let mut begun: Vec<(DomainName, Binding)> = Vec::new();
        for domain in domains {
            let manifest = self.manifest(domain).with_context(|| format!("the keys of {domain} cannot be read"))?;
            used.extend(manifest.tombstones().iter().map(|stone| stone.selector.clone()));
            for binding in manifest.bindings() {
                used.insert(binding.selector.clone());
                let is_shared = binding.private_key == PrivateKeyPlace::Shared && binding.is_usable();
                if self.wanted == Wanted::Missing && is_shared {
                    keep_newest(&mut begun, domain, binding);
                }
            }
        }
        let mut shared: Vec<SharedKey> = Vec::new();
        for kind in self.kinds {
            let is_of_kind = |(_, binding): &&(DomainName, Binding)| binding.algorithm() == kind.algorithm();
            let key = match begun.iter().find(is_of_kind) {
                Some((domain, binding)) => {
                    SharedKey { selector: binding.selector.clone(), key: self.store.private_key(domain, binding)? }
                }
                None => {
                    let is_chosen = |selector: &Selector| shared.iter().any(|other| other.selector == *selector);
                    let selector = self.selector_for_all(domains, &used, *kind, is_chosen)?;
                    SharedKey { selector, key: PrivateKey::generate(*kind)? }
                }
            };
            shared.push(key);
        }
        self.shared = shared;
        Ok(())
    }

    fn selector_for_all(
        &self,
        domains: &[DomainName],
        used: &HashSet<Selector>,
        kind: KeyKind,
        is_chosen: impl Fn(&Selector) -> bool,
    ) -> anyhow::Result<Selector> {
        let domain = domains.first().context("no domain was given")?;
        let fresh = DomainManifest::new(domain.clone());
        fresh
            .free_selectors(self.template_for(domain), self.date(), kind.algorithm(), backend::random_number)
            .filter(|selector| !used.contains(selector) && !is_chosen(selector))
            .find(|selector| domains.iter().all(|domain| self.dns.is_free(domain, selector)))
            .with_context(|| no_selector(domain, self.template_for(domain)))
    }
}

fn keep_newest(begun: &mut Vec<(DomainName, Binding)>, domain: &DomainName, binding: &Binding) {
    let same = |algorithm: Algorithm| move |(_, other): &&mut (DomainName, Binding)| other.algorithm() == algorithm;
    match begun.iter_mut().find(same(binding.algorithm())) {
        Some((_, newest)) if newest.created >= binding.created => {}
        Some(other) => *other = (domain.clone(), binding.clone()),
        None => begun.push((domain.clone(), binding.clone())),
    }
}
