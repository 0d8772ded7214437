//! Reading: manifests, private keys, the list of domains.

use std::path::PathBuf;

use rustix::fs::FileType;

use super::disk::Dir;
use super::layout::{DOMAINS, MANIFEST, SHARED, finished, is_key_name, within};
use super::modes::Ownership;
use super::root::Directory;
use crate::dkim::key::PrivateKey;
use crate::finding::{Finding, Place, Severity};
use crate::keystore::error::StoreError;
use crate::keystore::store::{KeyStore, Stamp};
use crate::manifest::{Binding, DomainManifest, PrivateKeyPlace};
use crate::names::DomainName;

/// More than ten thousand rotations' tombstones.
const LARGEST_MANIFEST: u64 = 4 << 20;
/// An RSA key of 8192 bits has 6.5 KB.
const LARGEST_KEY: u64 = 64 << 10;

impl KeyStore for Directory {
    fn manifest(&self, domain: &DomainName) -> Result<Option<DomainManifest>, StoreError> {
        self.manifests()?.read(domain)
    }

    fn stamp(&self, domain: &DomainName) -> Result<Option<Stamp>, StoreError> {
        if let Some(stamp) = self.look(domain)? {
            return Ok(Some(stamp));
        }
        // No such domain, no such store, or a lost manifest? Only the first is no error.
        match self.manifest(domain)? {
            Some(_) => self.look(domain),
            None => Ok(None),
        }
    }

    fn private_key(&self, domain: &DomainName, binding: &Binding) -> Result<PrivateKey, StoreError> {
        let Some((directory, name)) = self.layout.private_key(domain, binding) else {
            return Err(StoreError::KeyNotKept { domain: domain.clone(), selector: binding.selector.clone() });
        };
        let path = directory.join(&name);
        let (root, ownership) = self.open_root()?;
        let directory = match binding.private_key {
            PrivateKeyPlace::Shared => Some(self.open_part(&root, SHARED, &ownership)?),
            _ => self.open_part(&root, DOMAINS, &ownership)?.open(domain.as_str(), &ownership)?,
        };
        let Some(directory) = directory else { return Err(StoreError::KeyMissing { path }) };
        read_key(&directory, &name, binding, &ownership)
    }
}

impl Directory {
    /// One system call; none if there is no manifest, for whatever reason.
    fn look(&self, domain: &DomainName) -> Result<Option<Stamp>, StoreError> {
        let path = self.layout.manifest(domain);
        match rustix::fs::lstat(&path) {
            Ok(stat) => Ok(Some(Stamp {
                file: (stat.st_dev, stat.st_ino),
                size: u64::try_from(stat.st_size).unwrap_or(0),
                modified: (stat.st_mtime, stat.st_mtime_nsec.try_into().unwrap_or(0)),
                changed: (stat.st_ctime, stat.st_ctime_nsec.try_into().unwrap_or(0)),
            })),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(StoreError::io("look at", &path, error.into())),
        }
    }

    /// Opens the store to read the manifests of many domains, for a while.
    pub fn manifests(&self) -> Result<Manifests, StoreError> {
        let (root, ownership) = self.open_root()?;
        Ok(Manifests { domains: self.open_part(&root, DOMAINS, &ownership)?, ownership })
    }

    /// All domains in the order of the directory, which is none. Streams: a million domains take no memory.
    pub fn domains(&self) -> Result<Domains, StoreError> {
        let (root, ownership) = self.open_root()?;
        let directory = self.open_part(&root, DOMAINS, &ownership)?;
        match rustix::fs::Dir::read_from(&directory.file) {
            Ok(entries) => Ok(Domains { entries, path: directory.path }),
            Err(error) => Err(StoreError::io("list", &directory.path, error.into())),
        }
    }
}

/// A store that is open, for reading one manifest after the other, from any thread.
#[derive(Debug)]
pub struct Manifests {
    domains: Dir,
    ownership: Ownership,
}

impl Manifests {
    /// The manifest of a domain, as [`KeyStore::manifest`] gives it.
    pub fn read(&self, domain: &DomainName) -> Result<Option<DomainManifest>, StoreError> {
        match self.domains.open(domain.as_str(), &self.ownership)? {
            Some(directory) => read_manifest(&directory, domain, &self.ownership),
            None => Ok(None),
        }
    }
}

/// The domains of a store, one after the other.
#[derive(Debug)]
pub struct Domains {
    entries: rustix::fs::Dir,
    path: PathBuf,
}

/// What was found among the domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// A domain. Its directory may still be empty.
    Domain(DomainName),
    /// Something that is no domain's directory and is never read.
    Foreign(Finding),
}

impl Iterator for Domains {
    type Item = Result<Listed, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.entries.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(StoreError::io("list", &self.path, error.into()))),
            };
            let name = entry.file_name().to_string_lossy();
            if name == "." || name == ".." {
                continue;
            }
            let is_directory = matches!(entry.file_type(), FileType::Directory | FileType::Unknown);
            return Some(Ok(match DomainName::parse(&name) {
                Ok(domain) if is_directory && domain.as_str() == name => Listed::Domain(domain),
                Ok(domain) if is_directory => self.foreign(&name, format!("is never read: the name is not {domain}")),
                Ok(_) => self.foreign(&name, "is no directory".to_owned()),
                Err(error) => self.foreign(&name, error.to_string()),
            }));
        }
    }
}

impl Domains {
    fn foreign(&self, name: &str, evidence: String) -> Listed {
        Listed::Foreign(Finding::new(
            "keystore-foreign-entry",
            Severity::Warning,
            Place::Path { path: self.path.join(name) },
            evidence,
            "move it out of the key store",
        ))
    }
}

/// The manifest in a domain's directory; none if the domain never had one.
pub(super) fn read_manifest(
    directory: &Dir,
    domain: &DomainName,
    ownership: &Ownership,
) -> Result<Option<DomainManifest>, StoreError> {
    let path = within(&directory.path, MANIFEST);
    let Some(json) = directory.read(MANIFEST, LARGEST_MANIFEST, ownership)? else {
        // A first commit that was cut short leaves marked keys. Others had a manifest once: that domain is not to pass
        // for one that was never signed.
        let names = directory.names()?;
        let is_marked = |key: &String| names.iter().any(|name| finished(name) == Some(key));
        let lost = names.iter().any(|name| is_key_name(name) && !is_marked(name));
        // A commit may have finished between the two looks.
        return if lost && !names.iter().any(|name| name == MANIFEST) {
            Err(StoreError::ManifestMissing { path })
        } else {
            Ok(None)
        };
    };
    let manifest = DomainManifest::parse(&json).map_err(|source| StoreError::manifest(&path, source))?;
    if manifest.domain() != domain {
        let (domain, found) = (domain.clone(), manifest.domain().clone());
        return Err(StoreError::OtherDomain { path, domain, found });
    }
    Ok(Some(manifest))
}

fn read_key(directory: &Dir, name: &str, binding: &Binding, ownership: &Ownership) -> Result<PrivateKey, StoreError> {
    let path = within(&directory.path, name);
    let Some(pem) = directory.read(name, LARGEST_KEY, ownership)? else {
        return Err(StoreError::KeyMissing { path });
    };
    let key = PrivateKey::from_pem(&pem).map_err(|source| StoreError::KeyBroken { path: path.clone(), source })?;
    let found = key.public();
    if found.algorithm() != binding.algorithm() {
        return Err(StoreError::KeyWrongType { path, expected: binding.algorithm(), found: found.algorithm() });
    }
    if found.id() != binding.key_id() {
        return Err(StoreError::KeyMismatch { path, expected: binding.key_id(), found: found.id() });
    }
    Ok(key)
}
