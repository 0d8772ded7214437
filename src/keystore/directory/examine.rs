//! Looking a store over: does every private key belong to its manifest, may only its owner and readers see it, is
//! something left over.

use std::collections::HashSet;

use super::disk::Dir;
use super::layout::{DOMAINS, MANIFEST, MANIFEST_NEW, SHARED, finished, is_key_name, within};
use super::lock::lock;
use super::modes::Ownership;
use super::root::Directory;
use crate::dkim::key::KeyId;
use crate::finding::{Chain, Finding, Place, Severity};
use crate::keystore::error::StoreError;
use crate::keystore::store::KeyStore;
use crate::manifest::{Binding, DomainManifest, PrivateKeyPlace};
use crate::names::{DomainName, Selector};

/// What was found in one domain.
#[derive(Debug, Default)]
pub struct Examined {
    /// Private keys that were read.
    pub keys: usize,
    /// The shared keys that the domain binds.
    pub shared: Vec<KeyId>,
    /// Whether its manifest could be read, so that `shared` is all.
    pub is_readable: bool,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Directory {
    /// Looks one domain over: its manifest, every private key that is kept, and what else lies in its directory. A
    /// domain that is not there is none of its findings.
    pub fn examine(&self, domain: &DomainName) -> Examined {
        let mut examined = Examined::default();
        match self.manifest(domain) {
            Ok(manifest) => {
                examined.is_readable = true;
                let bindings = manifest.as_ref().map(DomainManifest::bindings).unwrap_or_default();
                for binding in bindings.iter().filter(|binding| binding.private_key != PrivateKeyPlace::None) {
                    self.examine_key(domain, binding, &mut examined);
                }
                if let Err(error) = self.examine_names(domain, &mut examined.findings) {
                    examined.findings.push(finding_of(&error, domain, None));
                }
            }
            Err(error) => examined.findings.push(finding_of(&error, domain, None)),
        }
        examined
    }

    /// The same for a domain that must be there.
    pub fn examine_named(&self, domain: &DomainName) -> Examined {
        let mut examined = self.examine(domain);
        if examined.findings.is_empty() && matches!(self.manifest(domain), Ok(None)) {
            examined.findings.push(Finding::new(
                "keystore-no-such-domain",
                Severity::Error,
                place(domain, None),
                "the key store has no such domain",
                format!("`waxseal generate {domain}` makes keys for it"),
            ));
        }
        examined
    }

    /// Looks the shared keys over: leftovers, and keys that are not among those that domains bind. Without `bound` it is
    /// not known who binds what, and only leftovers are told.
    pub fn examine_shared(&self, bound: Option<&HashSet<KeyId>>) -> Vec<Finding> {
        let examine = || -> Result<Vec<Finding>, StoreError> {
            let (root, ownership) = self.open_root()?;
            let shared = lock(|| self.open_part(&root, SHARED, &ownership))?;
            let mut findings = Vec::new();
            for name in shared.names()? {
                if finished(&name).is_some() {
                    findings.push(leftover(&shared, &name));
                    continue;
                }
                let id = name.strip_suffix(".pem").and_then(|id| id.parse::<KeyId>().ok());
                match (id, bound) {
                    (Some(id), Some(bound)) if !bound.contains(&id) => findings.push(Finding::new(
                        "keystore-unbound-shared-key",
                        Severity::Warning,
                        Place::Path { path: within(&shared.path, &name) },
                        "no domain uses this shared private key",
                        "remove it if no domain is to use it",
                    )),
                    (Some(_), _) => {}
                    (None, _) => findings.push(foreign(&shared, &name)),
                }
            }
            Ok(findings)
        };
        examine().unwrap_or_else(|error| {
            let place = Place::Path { path: self.layout.shared() };
            vec![Finding::new(rule_of(&error), Severity::Error, place, Chain(&error).to_string(), "")]
        })
    }

    /// Reading it checks all there is: mode, owner, form, and whose key it is.
    fn examine_key(&self, domain: &DomainName, binding: &Binding, examined: &mut Examined) {
        examined.keys += 1;
        if binding.private_key == PrivateKeyPlace::Shared {
            examined.shared.push(binding.key_id());
        }
        if let Err(error) = self.private_key(domain, binding) {
            examined.findings.push(finding_of(&error, domain, Some(&binding.selector)));
        }
    }

    /// The names beside the manifest, while no writer is at work.
    fn examine_names(&self, domain: &DomainName, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
        let (root, ownership) = self.open_root()?;
        let domains = self.open_part(&root, DOMAINS, &ownership)?;
        if domains.open(domain.as_str(), &ownership)?.is_none() {
            return Ok(());
        }
        let open = || {
            let directory = domains.open(domain.as_str(), &ownership)?;
            directory.ok_or_else(|| StoreError::Missing { path: self.layout.domain(domain) })
        };
        let directory = lock(open)?;
        // Again, for a writer may have been at work until now.
        let manifest = super::read::read_manifest(&directory, domain, &ownership)?;
        let kept = |name: &String| {
            let bindings = manifest.as_ref().map(DomainManifest::bindings).unwrap_or_default();
            bindings.iter().any(|binding| self.layout.private_key(domain, binding).is_some_and(|(_, key)| key == *name))
        };
        for name in directory.names()? {
            if name == MANIFEST_NEW || finished(&name).is_some() {
                findings.push(leftover(&directory, &name));
            } else if is_key_name(&name) && !kept(&name) {
                findings.push(orphan(&directory, &name));
            } else if name != MANIFEST && !kept(&name) {
                findings.push(foreign(&directory, &name));
            } else {
                self.examine_mode(&directory, &name, &ownership, findings);
            }
        }
        Ok(())
    }

    /// Keys were checked when they were read; this is for who owns what is there.
    fn examine_mode(&self, directory: &Dir, name: &str, ownership: &Ownership, findings: &mut Vec<Finding>) {
        let path = within(&directory.path, name);
        if let Ok(stat) = rustix::fs::lstat(&path)
            && stat.st_uid != ownership.owner
        {
            findings.push(Finding::new(
                "keystore-owner",
                Severity::Warning,
                Place::Path { path },
                format!("belongs to user id {}, the key store to {}", stat.st_uid, ownership.owner),
                "give it to the owner of the key store with chown",
            ));
        }
    }
}

fn place(domain: &DomainName, selector: Option<&Selector>) -> Place {
    Place::Domain { domain: domain.clone(), selector: selector.cloned(), server: None }
}

fn finding_of(error: &StoreError, domain: &DomainName, selector: Option<&Selector>) -> Finding {
    Finding::new(rule_of(error), Severity::Error, place(domain, selector), Chain(error).to_string(), "")
}

fn rule_of(error: &StoreError) -> &'static str {
    match error {
        StoreError::WideMode { .. } | StoreError::ForeignGroup { .. } => "keystore-mode",
        StoreError::Manifest { .. } | StoreError::OtherDomain { .. } | StoreError::ManifestMissing { .. } => {
            "keystore-manifest"
        }
        StoreError::KeyMissing { .. } => "keystore-key-missing",
        StoreError::KeyBroken { .. } | StoreError::TooLarge { .. } | StoreError::KeyUnusable { .. } => {
            "keystore-key-broken"
        }
        StoreError::KeyWrongType { .. } | StoreError::KeyMismatch { .. } => "keystore-key-mismatch",
        _ => "keystore-unreadable",
    }
}

fn leftover(directory: &Dir, name: &str) -> Finding {
    Finding::new(
        "keystore-leftover",
        Severity::Info,
        Place::Path { path: within(&directory.path, name) },
        "is left over from a write that was cut short",
        "the next change there removes it",
    )
}

fn orphan(directory: &Dir, name: &str) -> Finding {
    Finding::new(
        "keystore-orphaned-key",
        Severity::Warning,
        Place::Path { path: within(&directory.path, name) },
        "is a private key that the manifest does not name",
        "remove it, or restore the manifest that names it",
    )
}

fn foreign(directory: &Dir, name: &str) -> Finding {
    Finding::new(
        "keystore-foreign-entry",
        Severity::Warning,
        Place::Path { path: within(&directory.path, name) },
        "is nothing that belongs there",
        "move it out of the key store",
    )
}
