//! Patterns of addresses, hosts and peers, as people write them in the configuration and in maps.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use super::glob::glob_matches;
use crate::names::{DomainName, DomainNameError};

/// The longest pattern, in octets: a local part of 64, an `@` and a domain of 253 (RFC 5321 §4.5.3.1), and room for `*`.
const LONGEST: usize = 512;

/// Addresses: `joe@example.com`, `example.com` (everybody of that domain), `*.example.com` (everybody below it),
/// `news-*@example.com`, `*` (everybody).
///
/// `*` stands for any octets, also none and also dots, `?` for one. What has no `@` is about domains. Upper and lower case
/// are the same, U-labels and A-labels too.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AddressPattern {
    /// Lower case; `*` where any will do.
    local_part: Box<str>,
    /// Lower case, in A-labels; `*` where any will do.
    domain: Box<str>,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Nothing was there.
    #[error("a pattern is empty; write an address, a domain, \"*.example.com\" or \"*\"")]
    Empty,
    /// Longer than an address can be.
    #[error("a pattern is {length} octets long; at most {LONGEST} make sense")]
    TooLong {
        /// Octets.
        length: usize,
    },
    /// Nothing before the `@`.
    #[error("{given:?} has nothing before the @; for a whole domain leave the @ out")]
    EmptyLocalPart {
        /// The pattern as given.
        given: String,
    },
    /// A domain that begins with a dot, as other programs write it.
    #[error("{given:?} begins its domain with a dot; write \"*{domain}\" for the names below it")]
    LeadingDot {
        /// The pattern as given.
        given: String,
        /// From its dot on.
        domain: String,
    },
    /// A character that no address has unquoted.
    #[error("{given:?} holds the character {character:?}, which no pattern can have")]
    Character {
        /// The pattern as given.
        given: String,
        /// The character.
        character: char,
    },
    /// A label with both wildcards and letters that must become an A-label.
    #[error("{given:?} has a label with a wildcard and letters beyond ASCII; write the label in A-labels (xn--)")]
    WildUnicode {
        /// The pattern as given.
        given: String,
    },
    /// The part behind the `@` is no domain.
    #[error("{given:?} names no domain: {source}")]
    Domain {
        /// The pattern as given.
        given: String,
        /// Why not.
        source: DomainNameError,
    },
}

impl AddressPattern {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let (local_part, domain) = normalise(text)?;
        Ok(Self { local_part: local_part.into(), domain: domain.into() })
    }

    /// What stands before the `@`, lower case: `*` where any will do.
    pub fn local_part(&self) -> &str {
        &self.local_part
    }

    /// What stands behind it, lower case, in A-labels: `*` where any will do.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Whether an address fits, both parts lower case, the domain in A-labels.
    pub fn matches(&self, local_part: &[u8], domain: &str) -> bool {
        glob_matches(self.domain.as_bytes(), domain.as_bytes()) && glob_matches(self.local_part.as_bytes(), local_part)
    }
}

/// Both parts of a pattern, lower case, the domain in A-labels; `*` for a part that may be anything.
pub(super) fn normalise(text: &str) -> Result<(Cow<'_, str>, Cow<'_, str>), PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if text.len() > LONGEST {
        return Err(PatternError::TooLong { length: text.len() });
    }
    let wrong = |character: &char| {
        character.is_whitespace()
            || character.is_control()
            || matches!(character, '"' | '\\' | '<' | '>' | '(' | ')' | ',')
    };
    if let Some(character) = text.chars().find(wrong) {
        return Err(PatternError::Character { given: text.into(), character });
    }
    let (local_part, domain) = text.rsplit_once('@').unwrap_or(("*", text));
    if local_part.is_empty() {
        return Err(PatternError::EmptyLocalPart { given: text.into() });
    }
    if local_part.contains('@') {
        return Err(PatternError::Character { given: text.into(), character: '@' });
    }
    Ok((lower(local_part), domain_pattern(text, domain)?))
}

fn domain_pattern<'t>(given: &str, domain: &'t str) -> Result<Cow<'t, str>, PatternError> {
    if domain.starts_with('.') {
        return Err(PatternError::LeadingDot { given: given.into(), domain: domain.into() });
    }
    let fail = |source| PatternError::Domain { given: given.into(), source };
    if !is_wild(domain) {
        let name = DomainName::parse(domain).map_err(fail)?;
        return Ok(if name.as_str() == domain { Cow::Borrowed(domain) } else { Cow::Owned(name.as_str().to_owned()) });
    }
    if domain == "*" {
        return Ok(Cow::Borrowed(domain));
    }
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let mut labels = Vec::new();
    for label in domain.split('.') {
        if !is_wild(label) {
            labels.push(DomainName::parse(label).map_err(fail)?.as_str().to_owned());
        } else if label.is_ascii() {
            // What stands beside the wildcards must be what names are made of.
            let literal: String =
                label.chars().map(|letter| if matches!(letter, '*' | '?') { 'x' } else { letter }).collect();
            let edges_free = literal.trim_matches('-');
            DomainName::parse(edges_free).map_err(fail)?;
            labels.push(label.to_ascii_lowercase());
        } else {
            return Err(PatternError::WildUnicode { given: given.into() });
        }
    }
    Ok(Cow::Owned(labels.join(".")))
}

/// Whether a text has wildcards.
pub(super) fn is_wild(text: &str) -> bool {
    text.bytes().any(|octet| matches!(octet, b'*' | b'?'))
}

fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|octet| octet.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if &*self.local_part == "*" {
            f.write_str(&self.domain)
        } else {
            write!(f, "{}@{}", self.local_part, self.domain)
        }
    }
}

impl fmt::Debug for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl FromStr for AddressPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// The names of hosts: `mail.example.com`, or `*.example.com` for all below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostPattern {
    /// That host.
    Exactly(DomainName),
    /// The hosts below that name.
    Below(DomainName),
}

/// Why a text is no pattern of hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no host; write a name such as \"mail.example.com\", or \"*.example.com\" for all below it")]
pub struct HostPatternError {
    given: String,
    source: DomainNameError,
}

impl HostPattern {
    /// Whether a host's name fits.
    pub fn matches(&self, host: &DomainName) -> bool {
        match self {
            Self::Exactly(name) => host == name,
            Self::Below(name) => host != name && host.is_within(name),
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |source| HostPatternError { given: text.into(), source };
        match text.strip_prefix("*.") {
            Some(name) => DomainName::parse(name).map(Self::Below).map_err(fail),
            None => DomainName::parse(text).map(Self::Exactly).map_err(fail),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(name) => name.fmt(f),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

/// Clients of the MTA: by network, or by the name that the MTA found for their address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerPattern {
    /// By address.
    Network(IpNet),
    /// By name.
    Host(HostPattern),
}

/// Why a text is no pattern of clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerPatternError {
    /// Neither form.
    #[error("{given:?} is no client; write a network such as \"192.0.2.0/24\", an address, or a host's name")]
    Form {
        /// The text as given.
        given: String,
    },
    /// More of the address is given than the prefix says.
    #[error("network {given:?} has bits set beyond its prefix; write \"{network}\" for the network, \"{}\" for the one address", network.addr())]
    HostBits {
        /// The text as given.
        given: String,
        /// The network alone.
        network: IpNet,
    },
}

impl PeerPattern {
    /// Whether a client fits. The address is in its canonical form (no IPv4 in IPv6).
    pub fn matches(&self, address: Option<IpAddr>, host: Option<&DomainName>) -> bool {
        match self {
            Self::Network(network) => address.is_some_and(|address| network.contains(&address)),
            Self::Host(pattern) => host.is_some_and(|host| pattern.matches(host)),
        }
    }
}

impl FromStr for PeerPattern {
    type Err = PeerPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        if let Ok(network) = text.parse::<IpNet>() {
            if network.trunc() != network {
                return Err(PeerPatternError::HostBits { given: text.into(), network: network.trunc() });
            }
            return Ok(Self::Network(network));
        }
        // Numbers and dots alone are an address gone wrong, and no host has such a name.
        let is_name = text.bytes().any(|octet| octet.is_ascii_alphabetic()) && !text.contains(['/', ':']);
        let host = if is_name { text.parse().ok() } else { None };
        host.map(Self::Host).ok_or_else(|| PeerPatternError::Form { given: text.into() })
    }
}

impl fmt::Display for PeerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Host(host) => host.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        AddressPattern::parse(text).unwrap().to_string()
    }

    #[test]
    fn patterns_become_lower_case_a_labels() {
        assert_eq!(shown("Joe@Example.COM"), "joe@example.com");
        assert_eq!(shown("*@Bücher.example"), "xn--bcher-kva.example");
        assert_eq!(shown("*.bücher.example."), "*.xn--bcher-kva.example");
        assert_eq!(shown("news-*@*.Example.com"), "news-*@*.example.com");
        assert_eq!(shown("*"), "*");
        assert_eq!(shown("joe@*"), "joe@*");
        assert_eq!(shown("mail?-x.example.com"), "mail?-x.example.com");
        assert_eq!(shown("*-shop.example"), "*-shop.example");
    }

    #[test]
    fn what_is_no_pattern_is_said_with_what_to_write() {
        let error = |text: &str| AddressPattern::parse(text).unwrap_err().to_string();
        assert!(error(".example.com").contains("write \"*.example.com\""));
        assert!(error("@example.com").contains("leave the @ out"));
        assert!(error("joe@.example.com").contains("\"*.example.com\""));
        assert!(error("joe @example.com").contains("' '"));
        assert!(error("a@b@example.com").contains('@'));
        assert!(error("b\u{fc}*.example").contains("xn--"));
        assert!(error("exa$mple.com").contains("octet"));
        assert!(error("").contains("empty"));
        assert!(error(&"a".repeat(600)).contains("600"));
        assert!(AddressPattern::parse("a\0@example.com").is_err());
        assert!(AddressPattern::parse("*..com").is_err());
    }

    #[test]
    fn a_pattern_of_domains_is_exact_unless_it_has_wildcards() {
        let matches = |pattern: &str, local: &str, domain: &str| {
            AddressPattern::parse(pattern).unwrap().matches(local.as_bytes(), domain)
        };
        assert!(matches("example.com", "joe", "example.com"));
        assert!(!matches("example.com", "joe", "a.example.com"));
        assert!(matches("*.example.com", "joe", "a.b.example.com"));
        assert!(!matches("*.example.com", "joe", "example.com"));
        assert!(!matches("*.example.com", "joe", "badexample.com"));
        assert!(matches("news-*@example.com", "news-1", "example.com"));
        assert!(!matches("news-*@example.com", "old-news-1", "example.com"));
        assert!(!matches("a@*", "a@b", "example.com"));
    }

    #[test]
    fn clients_are_networks_or_names() {
        let shown = |text: &str| text.parse::<PeerPattern>().map(|pattern| pattern.to_string());
        assert_eq!(shown("192.0.2.0/24").as_deref(), Ok("192.0.2.0/24"));
        assert_eq!(shown("::1").as_deref(), Ok("::1/128"));
        assert_eq!(shown("*.Example.com").as_deref(), Ok("*.example.com"));
        assert!(shown("127.0.0.1/8").unwrap_err().to_string().contains("\"127.0.0.0/8\""));
        for wrong in ["", "192.0.2", "192.0.2.0/33", "a/8", "*"] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
        let host = DomainName::parse("mx.example.com").unwrap();
        assert!("*.example.com".parse::<PeerPattern>().unwrap().matches(None, Some(&host)));
        assert!(!"example.com".parse::<PeerPattern>().unwrap().matches(None, Some(&host)));
    }
}
