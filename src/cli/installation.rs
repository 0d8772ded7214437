//! What most commands work on: the configuration and its key store.

use std::path::Path;

use anyhow::{Context, bail};

use crate::config::Config;
use crate::files::configuration::{self, ConfigError};
use crate::keystore::{Directory, KeyStore};
use crate::manifest::{Binding, DomainManifest};
use crate::names::DomainName;
use crate::record_format::PublishedRecord;

/// A configuration that was read and the store it names.
#[derive(Debug)]
pub struct Installation {
    /// The configuration.
    pub config: Config,
    /// The store.
    pub store: Directory,
}

/// The configuration cannot be used: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ConfigUnusable(#[from] pub ConfigError);

impl Installation {
    /// Reads the configuration and opens the store.
    pub fn open(config: &Path) -> anyhow::Result<Self> {
        let (config, warnings) = configuration::read(config).map_err(ConfigUnusable)?;
        for warning in warnings {
            anstream::eprintln!("{warning}");
        }
        let store = Directory::open(&config.keys.store)?;
        Ok(Self { config, store })
    }

    /// A key's record as it is to stand in DNS, and where.
    pub fn record(&self, domain: &DomainName, binding: &Binding) -> PublishedRecord {
        let target = self.config.target_of(domain, &binding.selector);
        PublishedRecord::of(domain, binding).at(target.as_ref())
    }

    /// The manifest of a domain that the store must know.
    pub fn manifest(&self, domain: &DomainName) -> anyhow::Result<DomainManifest> {
        let manifest = self.store.manifest(domain).with_context(|| format!("the keys of {domain} cannot be read"))?;
        let Some(manifest) = manifest else {
            bail!("the key store has no domain {domain}; `waxseal generate {domain}` makes keys for it");
        };
        Ok(manifest)
    }
}
