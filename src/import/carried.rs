//! What becomes of another signer's setup: configuration, a map, and keys.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::ListenAddress;
use crate::config::file::v1;
use crate::dkim::PrivateKey;
use crate::dkim::key::{Algorithm, STRONG_RSA_BITS};
use crate::finding::{Finding, Place, Severity};
use crate::names::{DomainName, Selector};
use crate::policy::AddressPattern;

/// The name of the map of authors.
pub const MAP: &str = "signers.map";

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// The domains that wildcards and variables in the other's tables stand for.
    pub domains: Vec<DomainName>,
    /// Where Waxseal is to listen: not where the other does, as long as both run.
    pub listen: ListenAddress,
}

/// What becomes of a setup.
#[derive(Debug)]
pub struct Carried {
    /// waxseal.toml.
    pub spec: v1::Spec,
    /// The map named [`MAP`], beside it.
    pub map: String,
    /// The keys, each domain's together.
    pub keys: Vec<CarriedKey>,
}

/// A key with its place in DNS.
#[derive(Debug, Clone)]
pub struct CarriedKey {
    /// d=
    pub domain: DomainName,
    /// s=
    pub selector: Selector,
    /// The key; several domains may have it.
    pub key: Arc<PrivateKey>,
    /// What becomes of it.
    pub usage: KeyUse,
}

/// What becomes of a key that is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// It goes on signing.
    Signs,
    /// It is kept, and another key of its domain signs: one of an algorithm does at a time.
    Kept,
}

/// A key that a setup names, before it is said what becomes of it.
pub(super) struct Wanted {
    pub(super) selector: Selector,
    pub(super) key: Arc<PrivateKey>,
    pub(super) weight: Weight,
    /// Where it is named first.
    pub(super) place: Place,
}

/// How much mail a key probably signs: lines for everybody of a domain, then those for single authors. Nothing for a key
/// that no line names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Weight {
    whole: usize,
    single: usize,
}

impl Weight {
    /// Counts a line with that pattern.
    pub(super) fn add(&mut self, pattern: &AddressPattern) {
        if pattern.local_part() == "*" { self.whole += 1 } else { self.single += 1 }
    }
}

/// Which keys of a domain sign: of each algorithm the one that weighs most. None if there is nothing to sign with them.
pub(super) fn choose(domain: &DomainName, wanted: Vec<Wanted>, findings: &mut Vec<Finding>) -> Vec<CarriedKey> {
    let mut signing: Vec<(Algorithm, Selector, Weight)> = Vec::new();
    for key in wanted.iter().filter(|key| key.weight > Weight::default()) {
        let algorithm = key.key.public().algorithm();
        match signing.iter_mut().find(|(other, ..)| *other == algorithm) {
            Some((_, selector, weight)) if key.weight > *weight => {
                (*selector, *weight) = (key.selector.clone(), key.weight);
            }
            Some(_) => {}
            None => signing.push((algorithm, key.selector.clone(), key.weight)),
        }
    }
    let mut keys = Vec::new();
    for Wanted { selector, key, weight, place } in wanted {
        let (algorithm, bits) = (key.public().algorithm(), key.public().bits());
        let record = selector.record_name(domain);
        let mut find = |rule, severity, evidence: String, remedy: &str| {
            findings.push(Finding::new(rule, severity, place.clone(), evidence, remedy));
        };
        if weight == Weight::default() {
            if signing.is_empty() {
                let evidence = format!("no line signs with {record}, nor for {domain} at all: it is left out");
                find("import.unused_key", Severity::Info, evidence, "waxseal import key takes it over by itself");
                continue;
            }
            let evidence = format!("no line signs with {record}: it is kept and does not sign");
            find("import.unused_key", Severity::Info, evidence, "");
        }
        let signs = signing.iter().find(|(other, ..)| *other == algorithm).map(|(_, chosen, _)| chosen);
        let usage = if signs == Some(&selector) { KeyUse::Signs } else { KeyUse::Kept };
        if let (KeyUse::Kept, Some(other), true) = (usage, signs, weight > Weight::default()) {
            let evidence = format!("{record} is kept but does not sign: {other} does in its place");
            let remedy = format!(
                "one key of an algorithm signs for a domain; see that {} is published",
                other.record_name(domain)
            );
            find("import.second_selector", Severity::Warning, evidence, &remedy);
        }
        if usage == KeyUse::Signs && algorithm == Algorithm::RsaSha256 && bits < STRONG_RSA_BITS {
            let evidence = format!("{record} is an RSA key of {bits} bits; it goes on signing");
            let remedy = format!("RFC 8301 wants 2048: make its successor with waxseal generate {domain}");
            find("import.weak_key", Severity::Warning, evidence, &remedy);
        }
        keys.push(CarriedKey { domain: domain.clone(), selector, key, usage });
    }
    keys
}

/// How lines of a map name those who sign.
pub(super) struct Signers<'k> {
    keys: HashMap<&'k DomainName, Vec<&'k CarriedKey>>,
}

impl<'k> Signers<'k> {
    pub(super) fn of(keys: &'k [CarriedKey]) -> Self {
        let mut by_domain: HashMap<&DomainName, Vec<&CarriedKey>> = HashMap::new();
        for key in keys {
            by_domain.entry(&key.domain).or_default().push(key);
        }
        Self { keys: by_domain }
    }

    /// The domain alone if all its keys that sign are meant, else those that are; in place of one that is only kept, the
    /// one of its algorithm that signs.
    pub(super) fn name(&self, domain: &DomainName, selectors: &[&Selector]) -> Vec<String> {
        let keys = self.keys.get(domain).map(Vec::as_slice).unwrap_or_default();
        let meant = |key: &&&CarriedKey| selectors.contains(&&key.selector);
        let algorithms: Vec<Algorithm> = keys.iter().filter(meant).map(|key| key.key.public().algorithm()).collect();
        let signing: Vec<&&CarriedKey> = keys.iter().filter(|key| key.usage == KeyUse::Signs).collect();
        let chosen: Vec<&&&CarriedKey> =
            signing.iter().filter(|key| algorithms.contains(&key.key.public().algorithm())).collect();
        if chosen.is_empty() || chosen.len() == signing.len() {
            return vec![domain.to_string()];
        }
        chosen.into_iter().map(|key| key.selector.record_name(domain)).collect()
    }
}
