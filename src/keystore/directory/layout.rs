//! The names in a key store. The picture is at the head of the folder.

use std::path::{Path, PathBuf};

use crate::dkim::key::KeyId;
use crate::manifest::{Binding, PrivateKeyPlace};
use crate::names::{DomainName, Selector};

pub(super) const DOMAINS: &str = "domains";
pub(super) const SHARED: &str = "shared";
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const MANIFEST_NEW: &str = ".manifest.json.new";

/// The paths of one store.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
}

impl Layout {
    pub(super) fn domains(&self) -> PathBuf {
        self.root.join(DOMAINS)
    }

    pub(super) fn shared(&self) -> PathBuf {
        self.root.join(SHARED)
    }

    pub(super) fn domain(&self, domain: &DomainName) -> PathBuf {
        self.domains().join(domain.as_str())
    }

    pub(super) fn manifest(&self, domain: &DomainName) -> PathBuf {
        self.domain(domain).join(MANIFEST)
    }

    /// The directory and the name of a binding's private key; none if it is not kept.
    pub(super) fn private_key(&self, domain: &DomainName, binding: &Binding) -> Option<(PathBuf, String)> {
        match binding.private_key {
            PrivateKeyPlace::Own => Some((self.domain(domain), own_key_name(&binding.selector, binding.key_id()))),
            PrivateKeyPlace::Shared => Some((self.shared(), shared_key_name(binding.key_id()))),
            PrivateKeyPlace::None => None,
        }
    }
}

pub(super) fn own_key_name(selector: &Selector, key_id: KeyId) -> String {
    format!("{selector}.{}.pem", key_id.short())
}

pub(super) fn shared_key_name(key_id: KeyId) -> String {
    format!("{key_id}.pem")
}

/// The mark of a key file whose commit is not done.
pub(super) fn unfinished(key_name: &str) -> String {
    format!(".{key_name}.new")
}

/// The key file that a mark is about; none for any other name.
pub(super) fn finished(mark: &str) -> Option<&str> {
    let name = mark.strip_prefix('.')?.strip_suffix(".new")?;
    is_key_name(name).then_some(name)
}

/// Whether a name is one that a key file of a domain, or a shared one, has.
pub(super) fn is_key_name(name: &str) -> bool {
    let Some(stem) = name.strip_suffix(".pem") else { return false };
    let hex = |digits: &str| digits.bytes().all(|octet| matches!(octet, b'0'..=b'9' | b'a'..=b'f'));
    match stem.rsplit_once('.') {
        Some((selector, id)) => id.len() == 8 && hex(id) && Selector::parse(selector).is_ok(),
        None => stem.len() == 64 && hex(stem),
    }
}

/// The path of a name in a directory, for messages.
pub(super) fn within(directory: &Path, name: &str) -> PathBuf {
    directory.join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_key_names() {
        assert!(is_key_name("20261123r.0123abcd.pem"));
        assert!(is_key_name("a.b.0123abcd.pem"));
        assert!(is_key_name(&format!("{}.pem", "0a".repeat(32))));
        assert!(!is_key_name("20261123r.pem"));
        assert!(!is_key_name("20261123r.0123ABCD.pem"));
        assert!(!is_key_name("mail.private"));
        assert!(!is_key_name(".0123abcd.pem"));
    }

    #[test]
    fn a_mark_names_its_key_file() {
        let name = "20261123r.0123abcd.pem";
        assert_eq!(finished(&unfinished(name)), Some(name));
        assert_eq!(finished(MANIFEST_NEW), None);
        assert_eq!(finished(name), None);
    }
}
