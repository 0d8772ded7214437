//! What is known of the keys: from the key store, from a public manifest, or nothing.

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use super::super::public::{read_public, tell};
use super::super::{ConfigUnusable, Installation, UsageError};
use crate::check::PrivateKeyAccess;
use crate::config::Config;
use crate::files::configuration::DEFAULT_PATH;
use crate::finding::{Chain, Finding, Place, Severity};
use crate::inspect::{SameKeys, Scope, Sharing, Target, TargetKey};
use crate::keystore::{Directory, KeyStore, Listed, StoreError};
use crate::manifest::{Binding, DomainManifest, PrivateKeyPlace, PublicKeys, PublicManifest};
use crate::names::{DomainName, Selector};
use crate::report::DomainReport;

/// What is known, and the settings that go with it.
pub(super) enum Knowledge<'t> {
    /// The keys of this installation.
    Store(Box<Installation>),
    /// Those of a public manifest.
    Manifest { path: PathBuf, manifest: PublicManifest<'t>, config: Box<Config> },
    /// None: DNS alone is looked at.
    Nothing(Box<Config>),
}

/// A domain that is to be looked at, and which of its selectors; all that are known where none is named.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) domain: DomainName,
    pub(super) selectors: Vec<Selector>,
}

impl<'t> Knowledge<'t> {
    /// Takes the manifest, or opens the key store. Without a configuration there must be a manifest or selectors.
    pub(super) fn gather(
        manifest: Option<(&Path, &'t str)>,
        selectors: &[Selector],
        config: &Path,
    ) -> anyhow::Result<Self> {
        let is_optional = config == Path::new(DEFAULT_PATH) && !config.exists();
        let settings = || -> anyhow::Result<Box<Config>> {
            if is_optional {
                return Ok(Config::default_in(config.parent().unwrap_or(Path::new("/"))).into());
            }
            let (config, warnings) = crate::files::configuration::read(config).map_err(ConfigUnusable)?;
            for warning in warnings {
                anstream::eprintln!("{warning}");
            }
            Ok(config.into())
        };
        if let Some((path, text)) = manifest {
            return Ok(Self::Manifest {
                path: path.to_owned(),
                manifest: read_public(path, text)?,
                config: settings()?,
            });
        }
        if is_optional && !selectors.is_empty() {
            return Ok(Self::Nothing(settings()?));
        }
        Installation::open(config).map(|installation| Self::Store(installation.into()))
    }

    /// The configuration, or its defaults.
    pub(super) fn config(&self) -> &Config {
        match self {
            Self::Store(installation) => &installation.config,
            Self::Manifest { config, .. } | Self::Nothing(config) => config,
        }
    }

    /// The domains named, or all that are known.
    pub(super) fn wanted(&self, domains: &[DomainName], selectors: &[Selector]) -> anyhow::Result<Vec<Wanted>> {
        let mut domains = if domains.is_empty() { self.all()? } else { domains.to_vec() };
        domains.sort_unstable();
        domains.dedup();
        if domains.is_empty() {
            return Err(UsageError(anyhow!("no domain is known here; `waxseal generate DOMAIN` makes keys")).into());
        }
        let unknown = domains.iter().find(|domain| selectors.is_empty() && !self.knows(domain));
        if let Some(domain) = unknown {
            let advice = "name a selector with --selector to look at DNS alone";
            return Err(UsageError(anyhow!("no key of {domain} is known here; {advice}")).into());
        }
        if let Self::Manifest { path, manifest, .. } = self {
            let named = domains.iter().filter_map(|domain| manifest.domain(domain));
            let wrong: Vec<_> = named.filter_map(|domain| domain.read().err()).flatten().collect();
            if !wrong.is_empty() {
                tell(path, &wrong);
                return Err(UsageError(anyhow!("{} cannot be used; see above", path.display())).into());
            }
        }
        Ok(domains.into_iter().map(|domain| Wanted { domain, selectors: selectors.to_vec() }).collect())
    }

    fn all(&self) -> anyhow::Result<Vec<DomainName>> {
        match self {
            Self::Store(installation) => {
                let mut domains = Vec::new();
                for listed in installation.store.domains()? {
                    match listed? {
                        Listed::Domain(domain) => domains.push(domain),
                        Listed::Foreign(finding) => anstream::eprintln!("{finding}"),
                    }
                }
                Ok(domains)
            }
            Self::Manifest { manifest, .. } => {
                Ok(manifest.domains().iter().map(|domain| domain.domain().clone()).collect())
            }
            Self::Nothing(_) => Ok(Vec::new()),
        }
    }

    fn knows(&self, domain: &DomainName) -> bool {
        match self {
            // Whether it can be read shows when it is looked at.
            Self::Store(installation) => !matches!(installation.store.stamp(domain), Ok(None)),
            Self::Manifest { manifest, .. } => manifest.domain(domain).is_some(),
            Self::Nothing(_) => false,
        }
    }

    /// The keys that stand more than once among those that are looked at.
    pub(super) fn same_keys(&self, wanted: &[Wanted]) -> SameKeys {
        SameKeys::among(|| {
            wanted.iter().filter_map(|wanted| self.known(&wanted.domain).ok()?).map(|known| known.manifest().clone())
        })
    }

    /// What is to be looked at of one domain; a report of what went wrong if its keys cannot be read.
    pub(super) fn target(&self, wanted: &Wanted, same_keys: &SameKeys) -> Result<Target, DomainReport> {
        let domain = &wanted.domain;
        let known = self.known(domain).map_err(|error| unreadable(domain, &error))?;
        let bindings = known.as_ref().map_or(&[][..], |known| known.manifest().bindings());
        let is_wanted = |selector| wanted.selectors.is_empty() || wanted.selectors.contains(selector);
        let mut keys: Vec<TargetKey> = bindings
            .iter()
            .filter(|binding| is_wanted(&binding.selector))
            .map(|binding| {
                let source = known.as_ref().and_then(|known| known.source(&binding.selector));
                let access = self.access(domain, binding);
                let sharing = known.as_ref().map_or(Sharing::Undeclared, |known| known.sharing(binding));
                TargetKey::of(domain, binding, same_keys, access, sharing, source)
            })
            .collect();
        let is_known = |selector: &&Selector| bindings.iter().any(|binding| binding.selector == **selector);
        keys.extend(wanted.selectors.iter().filter(|name| !is_known(name)).cloned().map(TargetKey::unheld));
        let settings = self.config().domain(domain);
        Ok(Target {
            domain: domain.clone(),
            keys,
            scope: if wanted.selectors.is_empty() { Scope::Whole } else { Scope::Selected },
            signs_subdomains: settings.subdomains,
            auid: settings.identity.as_ref().map(|auid| auid.as_str().to_owned()),
        })
    }

    fn known(&self, domain: &DomainName) -> Result<Option<Known>, StoreError> {
        Ok(match self {
            Self::Store(installation) => {
                let path = installation.store.manifest_path(domain);
                installation.store.manifest(domain)?.map(|manifest| Known::Stored { manifest, path })
            }
            // Read before, so this time it can be read too.
            Self::Manifest { path, manifest, .. } => {
                let keys = manifest.domain(domain).and_then(|domain| domain.read().ok());
                keys.map(|keys| Known::Public { keys, path: path.clone() })
            }
            Self::Nothing(_) => None,
        })
    }

    fn access(&self, domain: &DomainName, binding: &Binding) -> PrivateKeyAccess {
        match self {
            Self::Store(installation) => access(&installation.store, domain, binding),
            _ => PrivateKeyAccess::NotHere,
        }
    }
}

/// What is known of one domain, and where it is written.
enum Known {
    Stored { manifest: DomainManifest, path: PathBuf },
    Public { keys: PublicKeys, path: PathBuf },
}

impl Known {
    fn manifest(&self) -> &DomainManifest {
        match self {
            Self::Stored { manifest, .. } => manifest,
            Self::Public { keys, .. } => &keys.manifest,
        }
    }

    fn source(&self, selector: &Selector) -> Option<Place> {
        Some(match self {
            Self::Stored { path, .. } => Place::Path { path: path.clone() },
            Self::Public { keys, path } => Place::Line { path: path.clone(), line: keys.line(selector)?, column: 1 },
        })
    }

    fn sharing(&self, binding: &Binding) -> Sharing {
        let is_shared = match self {
            Self::Stored { .. } => binding.private_key == PrivateKeyPlace::Shared,
            Self::Public { keys, .. } => keys.is_shared(&binding.selector),
        };
        if is_shared { Sharing::Declared } else { Sharing::Undeclared }
    }
}

/// Who can read a private key. That it cannot be read here, by whoever looks at DNS, is no fault.
fn access(store: &Directory, domain: &DomainName, binding: &Binding) -> PrivateKeyAccess {
    match store.private_key(domain, binding) {
        Ok(_) => PrivateKeyAccess::Safe,
        Err(error @ (StoreError::WideMode { .. } | StoreError::ForeignGroup { .. })) => PrivateKeyAccess::Exposed {
            path: store.key_path(domain, binding).unwrap_or_default(),
            detail: error.to_string(),
        },
        Err(_) => PrivateKeyAccess::NotHere,
    }
}

fn unreadable(domain: &DomainName, error: &StoreError) -> DomainReport {
    let place = Place::Domain { domain: domain.clone(), selector: None, server: None };
    let finding = Finding::new("manifest", Severity::Error, place, Chain(error).to_string(), "");
    DomainReport { domain: domain.clone(), findings: vec![finding], keys: Vec::new() }
}
