//! A record as it is to stand in DNS.

use serde::Serialize;

use crate::dkim::{Algorithm, KeyRecord};
use crate::manifest::{Binding, StateName};
use crate::names::{DomainName, Selector};

/// A record as it is to stand in DNS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublishedRecord {
    /// The owner's name, without the final dot.
    pub name: String,
    /// Always TXT.
    #[serde(rename = "type")]
    pub rr_type: &'static str,
    /// Seconds.
    pub ttl: u32,
    /// The text, all strings joined.
    pub value: String,
    /// The domain.
    pub domain: DomainName,
    /// The selector.
    pub selector: Selector,
    /// a= of the key's signatures.
    pub algorithm: Algorithm,
    /// The selector's own name, where that is to be a CNAME to `name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// The text as the character-strings of a TXT record, at most 255 octets each.
    #[serde(skip)]
    pub strings: Vec<String>,
}

impl PublishedRecord {
    /// The record of one binding; with an empty p= once it is revoked.
    pub fn of(domain: &DomainName, binding: &Binding) -> Self {
        match binding.state.name() {
            StateName::Revoked => Self::revoked(domain, binding),
            _ => Self::with_key(domain, binding),
        }
    }

    /// The record that has the binding's key, whatever its state.
    pub fn with_key(domain: &DomainName, binding: &Binding) -> Self {
        Self::saying(&KeyRecord::of(&binding.public_key), domain, binding)
    }

    /// The record that revokes the binding's key, whatever its state.
    pub fn revoked(domain: &DomainName, binding: &Binding) -> Self {
        Self::saying(&KeyRecord::revoked(binding.algorithm()), domain, binding)
    }

    /// The same record where the CNAME of a fixed slot leads, if the selector is one.
    #[must_use]
    pub fn at(self, target: Option<&DomainName>) -> Self {
        match target {
            Some(target) => Self { name: target.to_string(), alias: Some(self.name), ..self },
            None => self,
        }
    }

    fn saying(record: &KeyRecord, domain: &DomainName, binding: &Binding) -> Self {
        Self {
            name: binding.selector.record_name(domain),
            rr_type: "TXT",
            ttl: binding.record_ttl,
            value: record.to_string(),
            domain: domain.clone(),
            selector: binding.selector.clone(),
            algorithm: binding.algorithm(),
            alias: None,
            strings: record.txt_strings(),
        }
    }
}
