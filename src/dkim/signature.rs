//! The DKIM-Signature field (RFC 6376 §3.5): what it says, and its lines.

use std::fmt;

use jiff::Timestamp;

use super::canonical::CanonicalizationPair;
use crate::names::{DomainName, DomainNameError, Selector};

/// What one signature will say, save what comes from the message and the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureSpec {
    /// d=, the signing domain.
    pub domain: DomainName,
    /// s=
    pub selector: Selector,
    /// i=, left out where there is none.
    pub auid: Option<Auid>,
    /// c=
    pub canonicalization: CanonicalizationPair,
    /// t=, in whole seconds; times before 1970 count as 1970.
    pub timestamp: Timestamp,
    /// x=, left out where there is none. Verifiers may refuse a signature that is older than this.
    pub expiration: Option<Timestamp>,
}

/// The agent or user identifier, i= (RFC 6376 §3.5): an optional local part and a domain within d=.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Auid {
    /// As it stands in the field.
    text: String,
}

/// Why a string is no i= for a signing domain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuidError {
    /// There is no `@`.
    #[error("i= needs an @, before which the local part may be left out, as in @example.com")]
    NoAt,
    /// Longer than a local part can be (RFC 5321 §4.5.3.1.1).
    #[error("the local part of i= is {length} octets long; at most 64 are possible")]
    LocalPartTooLong {
        /// Octets.
        length: usize,
    },
    /// No domain name after the `@`.
    #[error("the domain of i= is not valid")]
    Domain(#[from] DomainNameError),
    /// Verifiers would refuse the signature (RFC 6376 §6.1.1).
    #[error("the domain {domain} of i= is neither the signing domain {signing_domain} nor below it")]
    NotWithin {
        /// The domain of i=.
        domain: DomainName,
        /// d=
        signing_domain: DomainName,
    },
}

/// A finished DKIM-Signature field, to be inserted above all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureField {
    value: String,
}

/// The name of the field, as it is written.
pub(super) const FIELD_NAME: &str = "DKIM-Signature";

impl Auid {
    /// Parses an identifier such as `joe@mail.example.com` or `@example.com`, for signatures of one domain.
    ///
    /// The local part is taken as it is, and may be UTF-8; the last `@` ends it.
    pub fn parse(text: &str, signing_domain: &DomainName) -> Result<Self, AuidError> {
        let (local_part, domain) = text.rsplit_once('@').ok_or(AuidError::NoAt)?;
        if local_part.len() > 64 {
            return Err(AuidError::LocalPartTooLong { length: local_part.len() });
        }
        let domain = DomainName::parse(domain)?;
        if !domain.is_within(signing_domain) {
            return Err(AuidError::NotWithin { domain, signing_domain: signing_domain.clone() });
        }
        Ok(Self { text: format!("{}@{domain}", QuotedPrintable(local_part)) })
    }

    /// The identifier as it stands in i=.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Auid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

/// dkim-quoted-printable (RFC 6376 §2.11), with `@` encoded too, so that i= holds one.
struct QuotedPrintable<'a>(&'a str);

impl fmt::Display for QuotedPrintable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for octet in self.0.bytes() {
            match octet {
                b';' | b'=' | b'@' => write!(f, "={octet:02X}")?,
                b'!'..=b'~' => write!(f, "{}", char::from(octet))?,
                _ => write!(f, "={octet:02X}")?,
            }
        }
        Ok(())
    }
}

impl SignatureField {
    /// `DKIM-Signature`.
    pub fn name(&self) -> &'static str {
        FIELD_NAME
    }

    /// Everything after the colon: begins with a space, folds are CRLF and a tab, without the final CRLF.
    ///
    /// Exactly these octets must follow the colon in the message: simple canonicalization covers them.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The value with folds of LF and a tab, as milters hand values to an MTA.
    pub fn to_lf(&self) -> String {
        self.value.replace("\r\n", "\n")
    }
}

/// Columns of a line, a tab counted as eight (RFC 5322 §2.1.1 recommends 78).
const COLUMNS: usize = 78;
/// Columns of a fold's tab.
const TAB: usize = 8;
/// Base64 characters that must fit behind `b=`, else it begins a line.
const FIRST_BASE64: usize = 16;

/// Writes the tags of a signature, folded where RFC 6376 §3.2 and §3.5 allow white space: between tags, after the colons
/// of h=, and within b=. What cannot be folded may be longer than a line.
pub(super) struct TagWriter {
    value: String,
    column: usize,
}

impl TagWriter {
    pub(super) fn new() -> Self {
        Self { value: String::with_capacity(1024), column: FIELD_NAME.len() + 1 }
    }

    /// Writes one tag with its semicolon.
    pub(super) fn tag(&mut self, name: &str, text: &str) {
        self.between_tags(name.len() + text.len() + 2);
        self.write(&[name, "=", text, ";"]);
    }

    /// Writes h=; a fold may follow each colon.
    pub(super) fn names<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let mut names = names.peekable();
        let mut start = "h=";
        while let Some(name) = names.next() {
            let end = if names.peek().is_some() { ":" } else { ";" };
            let length = start.len() + name.len() + 1;
            if start.is_empty() {
                self.fold_before(length);
            } else {
                self.between_tags(length);
            }
            self.write(&[start, name, end]);
            start = "";
        }
    }

    /// Writes `b=`, so that some of its value fits on the line.
    pub(super) fn begin_signature(&mut self) {
        self.between_tags(2 + FIRST_BASE64);
        self.write(&["b="]);
    }

    /// What is written so far, after the colon.
    pub(super) fn value(&self) -> &str {
        &self.value
    }

    /// Writes the value of b= in base64; the field is done.
    pub(super) fn finish(mut self, base64: &str) -> SignatureField {
        let mut rest = base64;
        while !rest.is_empty() {
            // Base64 is ASCII: it can be split anywhere.
            let (line, after) = rest.split_at(rest.len().min(COLUMNS.saturating_sub(self.column)));
            self.write(&[line]);
            rest = after;
            if !rest.is_empty() {
                self.fold();
            }
        }
        SignatureField { value: self.value }
    }

    /// White space before a tag: a space where the tag fits on the line, else a fold.
    fn between_tags(&mut self, length: usize) {
        if self.column + 1 + length > COLUMNS && !self.value.is_empty() {
            self.fold();
        } else {
            self.write(&[" "]);
        }
    }

    fn fold_before(&mut self, length: usize) {
        if self.column + length > COLUMNS {
            self.fold();
        }
    }

    fn fold(&mut self) {
        self.value.push_str("\r\n\t");
        self.column = TAB;
    }

    fn write(&mut self, parts: &[&str]) {
        for part in parts {
            self.value.push_str(part);
            self.column += part.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auid(text: &str) -> Result<String, AuidError> {
        Auid::parse(text, &DomainName::parse("example.com").unwrap()).map(|auid| auid.to_string())
    }

    #[test]
    fn the_local_part_of_an_auid_may_be_empty() {
        assert_eq!(auid("@example.com").unwrap(), "@example.com");
        assert_eq!(auid("joe@Mail.Example.COM").unwrap(), "joe@mail.example.com");
    }

    #[test]
    fn odd_octets_of_an_auid_are_quoted_printable() {
        assert_eq!(auid("a;b=c d@e@example.com").unwrap(), "a=3Bb=3Dc=20d=40e@example.com");
        assert_eq!(auid("j\u{f6}\r\n@example.com").unwrap(), "j=C3=B6=0D=0A@example.com");
    }

    #[test]
    fn the_domain_of_an_auid_lies_within_the_signing_domain() {
        assert!(matches!(auid("@notexample.com"), Err(AuidError::NotWithin { .. })));
        assert!(matches!(auid("@com"), Err(AuidError::NotWithin { .. })));
        assert!(matches!(auid("joe@"), Err(AuidError::Domain(_))));
        assert_eq!(auid("example.com"), Err(AuidError::NoAt));
        assert_eq!(auid(&format!("{}@example.com", "x".repeat(65))), Err(AuidError::LocalPartTooLong { length: 65 }));
    }
}
