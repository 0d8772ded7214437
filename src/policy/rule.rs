//! Rules: what is to be done with mail of some senders, in place of what holds for all.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::pattern::AddressPattern;
use crate::dkim::{CanonicalizationPair, HeaderSelection};
use crate::finding::Place;
use crate::names::{DomainName, DomainNameError, Selector, SelectorError};

/// One `[[rule]]`: for whom, and what.
///
/// Of several rules the first that fits decides, and of a rule's patterns the first: in the order of the file, those in
/// `from` before the lines of its maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What logs call it; its place where unset.
    pub name: Option<String>,
    /// Where it stands.
    pub spot: Spot,
    /// The authors it is for; with no pattern and no map it is for all.
    pub from: Vec<AddressPattern>,
    /// Maps with more of them.
    pub from_maps: Vec<PathBuf>,
    /// It is only for messages to at least one of these recipients; with no pattern and no map for all.
    pub to: Vec<AddressPattern>,
    /// Maps with more of them.
    pub to_maps: Vec<PathBuf>,
    /// What becomes of the message.
    pub action: RuleAction,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleAction {
    /// The message passes unsigned.
    Never,
    /// It is signed, so far as this differs from what holds for all.
    Sign(Box<RuleSettings>),
}

/// How a rule's messages are signed. What is unset is as the signing domain has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RuleSettings {
    /// Who signs in place of the author's domain, if anybody.
    pub sign: Vec<Signer>,
    /// Who signs as well.
    pub also: Vec<Signer>,
    /// i=
    pub identity: Option<Identity>,
    /// c=
    pub canonicalization: Option<CanonicalizationPair>,
    /// x=
    pub lifetime: Option<Lifetime>,
    /// The lists of header fields, in place of those that hold for all.
    pub headers: Option<Arc<HeaderSelection>>,
    /// Header fields that are left out beside those that the signing domain leaves out.
    pub leave_out: Vec<String>,
    /// Whether mail trusted only for coming from this machine is signed though it was received before.
    pub sign_relayed: Option<bool>,
}

/// How long signatures are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// No x=.
    Unlimited,
    /// x= so long after t=.
    Limited(Duration),
}

/// Where a rule stands in the configuration. It is no part of what the rule says: two that differ only there are equal.
#[derive(Debug, Clone)]
pub struct Spot {
    /// Counted from 1 in the order of the file.
    pub number: usize,
    /// The file and the line.
    pub place: Place,
}

impl PartialEq for Spot {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Spot {}

impl Rule {
    /// What logs and explanations call it.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("rule {}", self.spot.number))
    }

    /// Whether it is for all authors.
    pub fn is_for_all_authors(&self) -> bool {
        self.from.is_empty() && self.from_maps.is_empty()
    }

    /// Whether it is for all recipients, who then need not be known.
    pub fn is_for_all_recipients(&self) -> bool {
        self.to.is_empty() && self.to_maps.is_empty()
    }
}

/// Who signs: a domain with all its active keys (`example.com`), or with one of them
/// (`selector._domainkey.example.com`).
///
/// A selector is a wish, not a condition: when that key no longer signs, as after a rotation, the domain's other active
/// keys do, and it is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Signer {
    /// d=
    pub domain: DomainName,
    /// s=, where only one key is to sign.
    pub selector: Option<Selector>,
}

/// Why a text is no signer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignerError {
    /// The domain.
    #[error("{given:?} is no signing domain: {source}")]
    Domain {
        /// The text as given.
        given: String,
        /// Why not.
        source: DomainNameError,
    },
    /// The selector.
    #[error("{given:?} is no name of a key record: {source}")]
    Selector {
        /// The text as given.
        given: String,
        /// Why not.
        source: SelectorError,
    },
}

impl FromStr for Signer {
    type Err = SignerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const BETWEEN: &str = "._domainkey.";
        let at = text.to_ascii_lowercase().find(BETWEEN);
        let (selector, domain) = match at {
            Some(at) => (text.get(..at), text.get(at + BETWEEN.len()..).unwrap_or_default()),
            None => (None, text),
        };
        let given = || text.to_owned();
        let selector = selector.map(Selector::parse).transpose();
        Ok(Self {
            selector: selector.map_err(|source| SignerError::Selector { given: given(), source })?,
            domain: DomainName::parse(domain).map_err(|source| SignerError::Domain { given: given(), source })?,
        })
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.selector {
            Some(selector) => f.write_str(&selector.record_name(&self.domain)),
            None => self.domain.fmt(f),
        }
    }
}

/// i= of a rule's signatures. It is left out of a signature whose domain it is not within.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The author's address.
    Author,
    /// `@` and the author's domain.
    AuthorDomain,
    /// This one: `@example.com` or `joe@example.com`.
    Fixed(String),
}

/// Why a text is no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no i=; write \"@example.com\", \"joe@example.com\", \"author\" or \"author-domain\"")]
pub struct IdentityError {
    given: String,
}

impl FromStr for Identity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || IdentityError { given: text.into() };
        match text {
            "author" => Ok(Self::Author),
            "author-domain" => Ok(Self::AuthorDomain),
            _ => {
                let (local_part, domain) = text.rsplit_once('@').ok_or_else(fail)?;
                let domain = DomainName::parse(domain).map_err(|_| fail())?;
                let is_plain = local_part.bytes().all(is_plain_in_auid) && local_part.len() <= 64;
                if is_plain { Ok(Self::Fixed(format!("{local_part}@{domain}"))) } else { Err(fail()) }
            }
        }
    }
}

/// Octets of a local part that stand in i= as they are (RFC 6376 §2.11); of verifiers few decode others.
pub(super) fn is_plain_in_auid(octet: u8) -> bool {
    octet.is_ascii_graphic() && !matches!(octet, b';' | b'=' | b'@')
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Author => "author",
            Self::AuthorDomain => "author-domain",
            Self::Fixed(text) => text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signer_is_a_domain_or_one_of_its_key_records() {
        for (text, shown) in [
            ("Example.COM", "example.com"),
            ("S1._DomainKey.Example.com", "s1._domainkey.example.com"),
            ("a.b._domainkey.example.com.", "a.b._domainkey.example.com"),
        ] {
            assert_eq!(text.parse::<Signer>().unwrap().to_string(), shown);
        }
        for wrong in ["", "s1._domainkey.", "._domainkey.example.com", "a b", "@example.com"] {
            assert!(wrong.parse::<Signer>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_identity_is_an_address_or_a_word() {
        for text in ["author", "author-domain", "@example.com", "joe@example.com"] {
            assert_eq!(text.parse::<Identity>().unwrap().to_string(), text);
        }
        for wrong in ["", "joe", "joe@", "j=oe@example.com", "a b@example.com", "\u{fc}@example.com"] {
            assert!(wrong.parse::<Identity>().is_err(), "{wrong}");
        }
    }
}
