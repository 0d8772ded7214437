//! Which keys are meant.

use std::str::FromStr;

use anyhow::{Context, anyhow};

use super::Args;
use crate::cli::{Installation, UsageError};
use crate::dkim::KeyId;
use crate::keystore::{KeyStore, Listed};
use crate::manifest::{PrivateKeyPlace, Status};
use crate::names::{DomainName, Selector};

const DOMAINKEY: &str = "._domainkey.";

/// A key's record, or a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyName {
    selector: Option<Selector>,
    domain: DomainName,
}

impl FromStr for KeyName {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.trim_end_matches('.').split_once(DOMAINKEY) {
            Some((selector, domain)) => {
                Self { selector: Some(Selector::parse(selector)?), domain: DomainName::parse(domain)? }
            }
            None => Self { selector: None, domain: DomainName::parse(text)? },
        })
    }
}

/// Which keys are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scope {
    /// One key, in all domains that have it.
    Key { key_id: KeyId, domains: Vec<DomainName> },
    /// All keys of one.
    Domain(DomainName),
    /// All keys of all.
    Store,
}

impl Scope {
    pub(super) fn of(args: &Args, installation: &Installation) -> anyhow::Result<Self> {
        if let Some(domain) = &args.domain {
            installation.manifest(domain)?;
            return Ok(Self::Domain(domain.clone()));
        }
        let Some(KeyName { selector, domain }) = &args.key else { return Ok(Self::Store) };
        let Some(selector) = selector.as_ref().or(args.selector.as_ref()) else {
            let what = anyhow!("which key of {domain}? --selector names one, --domain {domain} means all");
            return Err(UsageError(what).into());
        };
        let manifest = installation.manifest(domain)?;
        let binding = manifest.binding(selector);
        let binding = binding.with_context(|| {
            format!("{domain} has no key with the selector {selector}; `waxseal show {domain}` lists those it has")
        })?;
        let key_id = binding.key_id();
        let domains = match binding.private_key {
            PrivateKeyPlace::Shared => all_with(key_id, installation)?,
            PrivateKeyPlace::Own | PrivateKeyPlace::None => vec![domain.clone()],
        };
        Ok(Self::Key { key_id, domains })
    }

    /// The domains whose keys are meant; those that are gone are left alone.
    pub(super) fn domains(&self, store: &crate::keystore::Directory) -> anyhow::Result<Vec<DomainName>> {
        match self {
            Self::Key { domains, .. } => Ok(domains.clone()),
            Self::Domain(domain) => Ok(vec![domain.clone()]),
            Self::Store => Ok(super::super::list::all_domains(store)?.0),
        }
    }
}

/// Who has a key that many may have.
fn all_with(key_id: KeyId, installation: &Installation) -> anyhow::Result<Vec<DomainName>> {
    let mut found = Vec::new();
    for listed in installation.store.domains()? {
        let Listed::Domain(domain) = listed? else { continue };
        let manifest = installation.store.manifest(&domain);
        let manifest = manifest.with_context(|| format!("whether {domain} has the key as well cannot be told"))?;
        let has_it = manifest.is_some_and(|manifest| {
            manifest.status() != Status::Gone && manifest.bindings().iter().any(|one| one.key_id() == key_id)
        });
        if has_it {
            found.push(domain);
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_record_or_its_domain() {
        let name = |text: &str| text.parse::<KeyName>().map(|name| (name.selector, name.domain.to_string()));
        let selector = |name: &str| Some(Selector::parse(name).unwrap());
        assert_eq!(name("s1._domainkey.example.com").unwrap(), (selector("s1"), "example.com".into()));
        assert_eq!(name("a.b._domainkey.example.com.").unwrap(), (selector("a.b"), "example.com".into()));
        assert_eq!(name("example.com").unwrap(), (None, "example.com".into()));
        assert!(name("._domainkey.example.com").is_err() && name("").is_err());
    }
}
