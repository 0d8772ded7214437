//! The names everyone speaks of: domains, selectors, queue ids. Parsed once, valid ever after.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A fully qualified domain name, lower case, in A-label form (RFC 5890 §2.3.2.1), without the final dot.
///
/// At most 253 octets in labels of 1 to 63 octets. Letters, digits, hyphens and underscores only: what a signing
/// domain (RFC 6376 §3.5, d=) can hold, with the underscore that DNS names such as `_domainkey` need.
/// Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainName(Arc<str>);

/// Why a string is no domain name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DomainNameError {
    /// Nothing was there.
    #[error("a domain name is empty; give one such as example.com")]
    Empty,
    /// Longer than DNS can carry.
    #[error("domain name is {length} octets long in A-labels; at most 253 are possible")]
    TooLong {
        /// Octets, in A-label form.
        length: usize,
    },
    /// A label is empty, as in `a..b`.
    #[error("domain name {name:?} has an empty label")]
    EmptyLabel {
        /// The name as given.
        name: String,
    },
    /// A label is longer than 63 octets.
    #[error("label {label:?} of the domain name is longer than 63 octets")]
    LabelTooLong {
        /// The label in A-label form.
        label: String,
    },
    /// An octet that no host name can hold.
    #[error(
        "domain name {name:?} holds the octet 0x{octet:02x} at position {position}; use letters, digits, hyphens and dots"
    )]
    Octet {
        /// The name as given.
        name: String,
        /// The octet that is wrong.
        octet: u8,
        /// Its place, counted from 1.
        position: usize,
    },
    /// A label begins or ends with a hyphen.
    #[error("label {label:?} of the domain name begins or ends with a hyphen")]
    Hyphen {
        /// The label.
        label: String,
    },
    /// UTS 46 has no A-label for it (RFC 8616).
    #[error(
        "domain name {name:?} cannot be written in A-labels (RFC 5891); check it for characters that names cannot hold"
    )]
    NotInternationalizable {
        /// The name as given.
        name: String,
    },
}

impl DomainName {
    /// Parses a name in A-labels, U-labels or both, with or without the final dot.
    pub fn parse(name: &str) -> Result<Self, DomainNameError> {
        let given = name;
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.is_empty() {
            return Err(DomainNameError::Empty);
        }
        if name.is_ascii() {
            let lower = name.to_ascii_lowercase();
            check_labels(&lower, given)?;
            // A-labels must decode, else two spellings could stand for one name.
            if lower.split('.').any(|label| label.starts_with("xn--")) {
                idna::domain_to_ascii_cow(lower.as_bytes(), idna::AsciiDenyList::EMPTY)
                    .map_err(|_| DomainNameError::NotInternationalizable { name: given.into() })?;
            }
            return Ok(Self(lower.into()));
        }
        let ascii = idna::domain_to_ascii_cow(name.as_bytes(), idna::AsciiDenyList::EMPTY)
            .map_err(|_| DomainNameError::NotInternationalizable { name: given.into() })?;
        let ascii = ascii.strip_suffix('.').unwrap_or(&ascii);
        check_labels(ascii, given)?;
        Ok(Self(ascii.into()))
    }

    /// Parses octets from a message or an MTA, which may be UTF-8 (RFC 6531) or not.
    pub fn from_octets(octets: &[u8]) -> Result<Self, DomainNameError> {
        match std::str::from_utf8(octets) {
            Ok(name) => Self::parse(name),
            Err(error) => Err(DomainNameError::Octet {
                name: String::from_utf8_lossy(octets).into_owned(),
                octet: octets[error.valid_up_to()],
                position: error.valid_up_to() + 1,
            }),
        }
    }

    /// The name in A-labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as people read it, in U-labels where they exist.
    pub fn to_unicode(&self) -> String {
        idna::domain_to_unicode(&self.0).0
    }

    /// The name without its first label; none for a name of one label.
    pub fn parent(&self) -> Option<Self> {
        self.0.split_once('.').map(|(_, parent)| Self(parent.into()))
    }

    /// Whether this is `ancestor` or a name below it.
    pub fn is_within(&self, ancestor: &Self) -> bool {
        self.0.strip_suffix(ancestor.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// The registrable domain above this name (the public suffix and one label), if it has one.
    pub fn registrable(&self) -> Option<Self> {
        psl::domain_str(&self.0).map(|name| Self(name.into()))
    }
}

fn check_labels(name: &str, given: &str) -> Result<(), DomainNameError> {
    for label in name.split('.') {
        if label.is_empty() {
            return Err(DomainNameError::EmptyLabel { name: given.into() });
        }
        if let Some(at) =
            label.bytes().position(|octet| !octet.is_ascii_alphanumeric() && octet != b'-' && octet != b'_')
        {
            let octet = label.as_bytes()[at];
            let position = given.bytes().position(|other| other == octet).unwrap_or(0) + 1;
            return Err(DomainNameError::Octet { name: given.into(), octet, position });
        }
        if label.len() > 63 {
            return Err(DomainNameError::LabelTooLong { label: label.into() });
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(DomainNameError::Hyphen { label: label.into() });
        }
    }
    if name.len() > 253 {
        return Err(DomainNameError::TooLong { length: name.len() });
    }
    Ok(())
}

/// A selector (RFC 6376 §3.1): one or more labels below which, at `_domainkey`, a public key is published.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector(Arc<str>);

/// Why a string is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("selector {given:?} is not valid: {source}")]
pub struct SelectorError {
    given: String,
    source: DomainNameError,
}

impl Selector {
    /// Parses a selector; upper case becomes lower case, U-labels become A-labels (RFC 8616 §4).
    pub fn parse(selector: &str) -> Result<Self, SelectorError> {
        match DomainName::parse(selector) {
            Ok(name) => Ok(Self(name.0)),
            Err(source) => Err(SelectorError { given: selector.into(), source }),
        }
    }

    /// The selector in A-labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where its key record stands: `<selector>._domainkey.<domain>` (RFC 6376 §3.6.2.1), without the final dot.
    pub fn record_name(&self, domain: &DomainName) -> String {
        format!("{}._domainkey.{}", self.0, domain)
    }
}

/// The name by which a host identifies itself in Authentication-Results (RFC 8601 §2.5).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AuthservId(Arc<str>);

impl AuthservId {
    /// Parses an authserv-id; host names only, which every reader understands.
    pub fn parse(id: &str) -> Result<Self, DomainNameError> {
        DomainName::parse(id).map(|name| Self(name.0))
    }

    /// The id as it stands in the field.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An MTA's name for a message: printable ASCII, at most 64 octets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(Box<str>);

impl QueueId {
    /// Takes what the MTA sent; anything that could break a log line becomes `?`, anything too long is cut.
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        if octets.is_empty() {
            return None;
        }
        let clean: String =
            octets.iter().take(64).map(|&octet| if octet.is_ascii_graphic() { octet as char } else { '?' }).collect();
        Some(Self(clean.into()))
    }

    /// The queue id as it stands in the MTA's log.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for DomainName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Display, Debug, FromStr and serde as the plain string, for each name.
macro_rules! as_string {
    ($($name:ident parsed by $error:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_string!(
    DomainName parsed by DomainNameError,
    Selector parsed by SelectorError,
    AuthservId parsed by DomainNameError
);

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str) -> DomainName {
        DomainName::parse(name).unwrap()
    }

    #[test]
    fn names_become_lower_case_a_labels_without_the_final_dot() {
        assert_eq!(domain("Example.COM.").as_str(), "example.com");
        assert_eq!(domain("bücher.example").as_str(), "xn--bcher-kva.example");
        assert_eq!(domain("XN--bcher-kva.example"), domain("BÜCHER.example"));
        assert_eq!(domain("xn--bcher-kva.example").to_unicode(), "bücher.example");
        assert_eq!(domain("_spf.example.com").as_str(), "_spf.example.com");
    }

    #[test]
    fn the_wrong_octet_is_named_with_its_place() {
        assert_eq!(
            DomainName::parse("exa mple.com"),
            Err(DomainNameError::Octet { name: "exa mple.com".into(), octet: b' ', position: 4 })
        );
        assert!(matches!(
            DomainName::from_octets(b"a\xff.com"),
            Err(DomainNameError::Octet { octet: 0xff, position: 2, .. })
        ));
    }

    #[test]
    fn what_dns_cannot_carry_is_refused() {
        assert_eq!(DomainName::parse(""), Err(DomainNameError::Empty));
        assert_eq!(DomainName::parse("."), Err(DomainNameError::Empty));
        assert!(matches!(DomainName::parse("a..b"), Err(DomainNameError::EmptyLabel { .. })));
        assert!(matches!(DomainName::parse("-a.b"), Err(DomainNameError::Hyphen { .. })));
        assert!(matches!(DomainName::parse(&"a".repeat(64)), Err(DomainNameError::LabelTooLong { .. })));
        assert!(matches!(DomainName::parse(&"a.".repeat(130)), Err(DomainNameError::TooLong { .. })));
        assert!(DomainName::parse("../../etc/passwd").is_err());
        assert!(DomainName::parse("xn--\u{301}.example").is_err());
    }

    #[test]
    fn ancestors_are_whole_labels() {
        assert!(domain("a.example.com").is_within(&domain("example.com")));
        assert!(domain("example.com").is_within(&domain("example.com")));
        assert!(!domain("notexample.com").is_within(&domain("example.com")));
        assert_eq!(domain("a.b.co.uk").registrable(), Some(domain("b.co.uk")));
        assert_eq!(domain("co.uk").registrable(), None);
    }

    #[test]
    fn a_selector_names_its_record() {
        let selector = Selector::parse("20261123r").unwrap();
        assert_eq!(selector.record_name(&domain("example.com")), "20261123r._domainkey.example.com");
        assert!(Selector::parse("a b").is_err());
        assert!(Selector::parse("").is_err());
    }

    #[test]
    fn a_queue_id_cannot_break_a_log_line() {
        assert_eq!(QueueId::from_octets(b"4F\n\x1b[31m").unwrap().as_str(), "4F??[31m");
        assert_eq!(QueueId::from_octets(&[b'x'; 100]).unwrap().as_str().len(), 64);
        assert_eq!(QueueId::from_octets(b""), None);
    }
}
