//! The DKIM-Signature field, read for verifying (RFC 6376 §3.5, §6.1.1).

use jiff::Timestamp;

use crate::dkim::canonical::CanonicalizationPair;
use crate::dkim::key::Algorithm;
use crate::dkim::mail_auth::read_signature;
use crate::dkim::tag_list::{TagList, TagListError, items};
use crate::message::{Field, Headers};
use crate::names::{DomainName, DomainNameError, Selector, SelectorError};

/// A signature as its field states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedSignature {
    /// Which field of the header it is, counted from 0 at the top.
    pub place: usize,
    /// a=
    pub algorithm: Algorithm,
    /// d=
    pub domain: DomainName,
    /// s=
    pub selector: Selector,
    /// i=, decoded; `@` and the signing domain where there is none.
    pub auid: String,
    /// The domain of i=: the signing domain or below it.
    pub auid_domain: DomainName,
    /// c=
    pub canonicalization: CanonicalizationPair,
    /// h=, as written.
    pub signed_fields: Vec<String>,
    /// l=: octets of the canonical body that are signed; none means all.
    pub body_length: Option<u64>,
    /// t=
    pub timestamp: Option<Timestamp>,
    /// x=
    pub expiration: Option<Timestamp>,
    /// bh=, decoded.
    pub body_hash: Vec<u8>,
    /// b=, decoded.
    pub signature: Vec<u8>,
}

/// Why a DKIM-Signature field states no signature that can be verified (RFC 6376 §6.1.1: PERMFAIL).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSignature {
    /// The syntax is wrong.
    #[error("the signature is no tag list: {0}")]
    Syntax(#[from] TagListError),
    /// A required tag is missing or empty.
    #[error("the signature has no `{tag}=`")]
    Missing {
        /// The tag's name.
        tag: &'static str,
    },
    /// v= is not 1.
    #[error("the signature's version is not 1")]
    Version,
    /// a= is rsa-sha1, which must not be accepted (RFC 8301 §3.1).
    #[error("the signature uses rsa-sha1, which is no longer accepted")]
    Sha1,
    /// a= names no algorithm known here.
    #[error("the signature's algorithm is unknown")]
    Algorithm,
    /// c= names no canonicalization known here.
    #[error("the signature's canonicalization is unknown")]
    Canonicalization,
    /// b= or bh= is not base64.
    #[error("the signature's `b=` or `bh=` is not base64")]
    Base64,
    /// d= is no domain name.
    #[error("the signature's `d=` is not valid: {0}")]
    Domain(#[source] DomainNameError),
    /// s= is no selector.
    #[error("the signature's `s=` is not valid: {0}")]
    Selector(#[source] SelectorError),
    /// i= has no `@` or no valid domain.
    #[error("the signature's `i=` is not valid")]
    Auid,
    /// The domain of i= is neither d= nor below it.
    #[error("the domain of the signature's `i=` is neither {domain} nor below it")]
    AuidOutside {
        /// d=
        domain: DomainName,
    },
    /// From is not among the signed fields (RFC 6376 §5.4).
    #[error("the signature does not cover the From field")]
    FromNotSigned,
    /// q= leaves out the only method there is.
    #[error("the signature's `q=` does not hold dns/txt")]
    QueryMethod,
    /// l=, t= or x= is no number, or too long a one.
    #[error("the signature's `{tag}=` is not a number")]
    Number {
        /// The tag's name.
        tag: &'static str,
    },
    /// x= is not after t=.
    #[error("the signature expires before it was made")]
    ExpiresBeforeTimestamp,
}

/// All DKIM-Signature fields of a header, top to bottom.
pub fn signatures(headers: &Headers) -> Vec<Result<ParsedSignature, InvalidSignature>> {
    first_signatures(headers, usize::MAX)
}

/// The first DKIM-Signature fields of a header, top to bottom, at most so many.
pub fn first_signatures(headers: &Headers, most: usize) -> Vec<Result<ParsedSignature, InvalidSignature>> {
    let is_signature = |field: &Field<'_>| field.name().eq_ignore_ascii_case(b"dkim-signature");
    let fields = headers.iter().enumerate().filter(|(_, field)| is_signature(field));
    fields.take(most).map(|(place, field)| ParsedSignature::parse(place, field.value())).collect()
}

impl ParsedSignature {
    /// Where its key record stands, without the final dot.
    pub fn record_name(&self) -> String {
        self.selector.record_name(&self.domain)
    }

    fn parse(place: usize, value: &[u8]) -> Result<Self, InvalidSignature> {
        let tags = TagList::parse(value)?;
        for tag in ["v", "a", "b", "bh", "d", "h", "s"] {
            if tags.value(tag).is_none_or(<[u8]>::is_empty) {
                return Err(InvalidSignature::Missing { tag });
            }
        }
        if tags.value("v") != Some(b"1") {
            return Err(InvalidSignature::Version);
        }
        let read = read_signature(&tags)?;
        let octets = |tag| tags.value(tag).unwrap_or_default();
        let domain = DomainName::from_octets(octets("d")).map_err(InvalidSignature::Domain)?;
        let selector = Selector::parse(&String::from_utf8_lossy(octets("s"))).map_err(InvalidSignature::Selector)?;
        let auid = if tags.value("i").is_some() { read.auid } else { format!("@{domain}") };
        let auid_domain = auid_domain(&auid, &domain)?;
        let signed_fields = items(octets("h"));
        if !signed_fields.iter().any(|name| name.eq_ignore_ascii_case("from")) {
            return Err(InvalidSignature::FromNotSigned);
        }
        if tags.value("q").is_some_and(|methods| !items(methods).iter().any(|method| method == "dns/txt")) {
            return Err(InvalidSignature::QueryMethod);
        }
        let timestamp = number(&tags, "t")?.map(at);
        let expiration = number(&tags, "x")?.map(at);
        if let (Some(timestamp), Some(expiration)) = (timestamp, expiration)
            && expiration <= timestamp
        {
            return Err(InvalidSignature::ExpiresBeforeTimestamp);
        }
        Ok(Self {
            place,
            algorithm: read.algorithm,
            domain,
            selector,
            auid,
            auid_domain,
            canonicalization: read.canonicalization,
            signed_fields,
            body_length: number(&tags, "l")?,
            timestamp,
            expiration,
            body_hash: read.body_hash,
            signature: read.signature,
        })
    }
}

fn auid_domain(auid: &str, domain: &DomainName) -> Result<DomainName, InvalidSignature> {
    let (_, name) = auid.rsplit_once('@').ok_or(InvalidSignature::Auid)?;
    let name = DomainName::parse(name).map_err(|_| InvalidSignature::Auid)?;
    if name.is_within(domain) { Ok(name) } else { Err(InvalidSignature::AuidOutside { domain: domain.clone() }) }
}

/// Digits only; at most 2^64 - 1, where RFC 6376 would allow 76 digits for l=.
fn number(tags: &TagList<'_>, tag: &'static str) -> Result<Option<u64>, InvalidSignature> {
    let Some(value) = tags.value(tag) else { return Ok(None) };
    let invalid = InvalidSignature::Number { tag };
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(invalid);
    }
    let digits = std::str::from_utf8(value).map_err(|_| invalid.clone())?;
    digits.parse().map(Some).map_err(|_| invalid)
}

/// A point in time; those after the year 9999 are its end.
fn at(seconds: u64) -> Timestamp {
    i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).unwrap_or(Timestamp::MAX)
}
