//! Canonical forms of header fields (RFC 6376 §3.4.1, §3.4.2) and the names of canonicalizations.
//!
//! Those of bodies (§3.4.3, §3.4.4) are made while they stream, in [`body_hash`](super::body_hash).

use std::fmt;
use std::str::FromStr;

use crate::message::Field;

/// How a header or a body is made equal before it is hashed (RFC 6376 §3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Canonicalization {
    /// Hardly any change survives.
    Simple,
    /// White space may change, and the case of field names.
    Relaxed,
}

/// The canonicalizations of header and body, as c= names them (RFC 6376 §3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CanonicalizationPair {
    /// For header fields.
    pub header: Canonicalization,
    /// For the body.
    pub body: Canonicalization,
}

/// A canonicalization that RFC 6376 does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("canonicalization {given:?} is unknown; use simple or relaxed, or a pair such as relaxed/simple")]
pub struct CanonicalizationError {
    given: String,
}

/// Appends the canonical form of one header field, with its CRLF.
///
/// In the simple form that is the field as it stands. In the relaxed form the name is in lower case, folds are gone, each
/// run of white space is one space, and there is none around the colon and at the end; a CR or LF alone is an ordinary
/// octet.
pub fn field(out: &mut Vec<u8>, field: Field<'_>, how: Canonicalization) {
    match how {
        Canonicalization::Simple => out.extend_from_slice(field.raw()),
        Canonicalization::Relaxed => {
            out.extend(field.name().iter().map(u8::to_ascii_lowercase));
            out.push(b':');
            relaxed_value(out, field.value());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// RFC 6376 §3.4.2, all but the name.
pub(super) fn relaxed_value(out: &mut Vec<u8>, value: &[u8]) {
    out.reserve(value.len());
    let start = out.len();
    let mut space = false;
    let mut rest = value;
    while let [octet, tail @ ..] = rest {
        match (octet, tail) {
            (b' ' | b'\t', _) => {
                space = true;
                rest = tail;
            }
            (b'\r', [b'\n', after @ ..]) => rest = after,
            _ => {
                if space && out.len() > start {
                    out.push(b' ');
                }
                space = false;
                out.push(*octet);
                // Most octets come in words.
                let word = tail.iter().position(|octet| matches!(octet, b' ' | b'\t' | b'\r')).unwrap_or(tail.len());
                out.extend_from_slice(&tail[..word]);
                rest = &tail[word..];
            }
        }
    }
}

impl Canonicalization {
    /// As it is called in c=.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::Relaxed => "relaxed",
        }
    }
}

impl CanonicalizationPair {
    /// As c= says it, both halves always named.
    pub fn as_str(self) -> &'static str {
        use Canonicalization::{Relaxed, Simple};
        match (self.header, self.body) {
            (Simple, Simple) => "simple/simple",
            (Simple, Relaxed) => "simple/relaxed",
            (Relaxed, Simple) => "relaxed/simple",
            (Relaxed, Relaxed) => "relaxed/relaxed",
        }
    }
}

/// relaxed/relaxed, which survives what MTAs do to white space.
impl Default for CanonicalizationPair {
    fn default() -> Self {
        Self { header: Canonicalization::Relaxed, body: Canonicalization::Relaxed }
    }
}

impl fmt::Display for Canonicalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for CanonicalizationPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Canonicalization {
    type Err = CanonicalizationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Simple, Self::Relaxed]
            .into_iter()
            .find(|how| how.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| CanonicalizationError { given: text.into() })
    }
}

/// One name alone is the header's; the body's is then simple (RFC 6376 §3.5).
impl FromStr for CanonicalizationPair {
    type Err = CanonicalizationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (header, body) = text.split_once('/').unwrap_or((text, "simple"));
        match (header.parse(), body.parse()) {
            (Ok(header), Ok(body)) => Ok(Self { header, body }),
            _ => Err(CanonicalizationError { given: text.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Canonicalization::{Relaxed, Simple};
    use super::*;
    use crate::message::Headers;

    fn canonical(raw: &[u8], how: Canonicalization) -> Vec<u8> {
        let mut headers = Headers::new();
        headers.push_raw(raw).unwrap();
        let mut out = Vec::new();
        field(&mut out, headers.field(0).unwrap(), how);
        out
    }

    #[test]
    fn the_examples_of_rfc_6376_3_4_5_come_out() {
        assert_eq!(canonical(b"A: X", Relaxed), b"a:X\r\n");
        assert_eq!(canonical(b"B : Y\t\r\n\tZ  ", Relaxed), b"b:Y Z\r\n");
        assert_eq!(canonical(b"A: X", Simple), b"A: X\r\n");
        assert_eq!(canonical(b"B : Y\t\r\n\tZ  ", Simple), b"B : Y\t\r\n\tZ  \r\n");
    }

    #[test]
    fn relaxed_fields_keep_every_octet_that_is_no_white_space() {
        assert_eq!(canonical(b"X-Y: \xff\0\x0b \rz\r", Relaxed), b"x-y:\xff\0\x0b \rz\r\r\n");
    }

    #[test]
    fn empty_and_blank_values_are_empty() {
        assert_eq!(canonical(b"A:", Relaxed), b"a:\r\n");
        assert_eq!(canonical(b"A: \t \r\n ", Relaxed), b"a:\r\n");
        assert_eq!(canonical(b"A:", Simple), b"A:\r\n");
    }

    #[test]
    fn pairs_are_read_as_c_says_them() {
        let pair = |text: &str| text.parse::<CanonicalizationPair>();
        assert_eq!(pair("relaxed/simple"), Ok(CanonicalizationPair { header: Relaxed, body: Simple }));
        assert_eq!(pair("relaxed"), pair("relaxed/simple"));
        assert_eq!(pair("Simple/RELAXED").unwrap().to_string(), "simple/relaxed");
        assert_eq!(CanonicalizationPair::default().to_string(), "relaxed/relaxed");
        for wrong in ["", "/", "relaxed/", "/simple", "nowsp", "relaxed/relaxed/relaxed", " relaxed"] {
            assert!(pair(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(serde_json::to_string(&pair("simple").unwrap()).unwrap(), "\"simple/simple\"");
        assert_eq!(serde_json::from_str::<CanonicalizationPair>("\"relaxed\"").unwrap(), pair("relaxed").unwrap());
    }

    /// RFC 6376 §3.4.2, one step after the other.
    fn naive(value: &[u8]) -> Vec<u8> {
        let text: String = value.iter().copied().map(char::from).collect();
        let words: Vec<_> = text.replace("\r\n", "").replace('\t', " ").split(' ').map(str::to_owned).collect();
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words.join(" ").chars().map(|char| char as u8).collect()
    }

    proptest! {
        #[test]
        fn relaxed_values_equal_the_steps_of_the_standard(value in proptest::collection::vec(
            prop_oneof![proptest::sample::select(&b"ab \t\r\n"[..]), any::<u8>()], 0..80)) {
            let mut out = b"before ".to_vec();
            relaxed_value(&mut out, &value);
            prop_assert_eq!(&out[7..], naive(&value));
        }
    }
}
