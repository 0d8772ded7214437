//! One signature against the message and the published key (RFC 6376 §6.1.2, §6.1.3).

use std::collections::HashMap;

use jiff::Timestamp;

use super::body::hash_beginning;
use super::parse::{InvalidSignature, ParsedSignature, signatures};
use crate::dkim::body_hash::{BodyHasher, BodyHashes};
use crate::dkim::canonical;
use crate::dkim::key::{Algorithm, KeyError, PublicKey};
use crate::dkim::key_record::{KeyRecord, KeyRecordError, KeyType};
use crate::message::{Headers, Spacing};

/// Signatures of one message that are verified; more cost time and prove nothing.
pub const MAX_SIGNATURES: usize = 20;

/// What the DNS holds at the name of a signature's key record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// TXT records, the strings of each joined; none if there is none, or not even the name.
    Records(Vec<Vec<u8>>),
    /// It could not be found out.
    Unavailable,
}

/// What became of one signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    /// The signature; none where its field states none ([`PermError::Signature`]).
    pub signature: Option<ParsedSignature>,
    /// The published key, where there is one to use: its bits are telling.
    pub key: Option<PublicKey>,
    /// Whether the key record says that the domain is testing (t=y): a failure must not be held against it.
    pub is_testing: bool,
    /// The result.
    pub outcome: Outcome,
}

/// The result of one verification, in the words of RFC 8601 §2.7.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The signature is valid.
    Pass,
    /// The signature could be checked, and is not valid.
    Fail(FailReason),
    /// The key record could not be found out; trying again later may help.
    TempError,
    /// The signature can never be checked.
    PermError(PermError),
}

/// Why a signature is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FailReason {
    /// The body is not the one that was signed.
    #[error("the body was changed: its hash is not that of the signature")]
    BodyHash,
    /// l= says more octets than the body has.
    #[error("the body was cut: it is shorter than the signature says")]
    BodyTooShort,
    /// The header is not the one that was signed, or the key is another.
    #[error("a signed header field was changed, or the published key is not the one that signed")]
    Signature,
    /// x= has passed.
    #[error("the signature expired at {at}")]
    Expired {
        /// x=
        at: Timestamp,
    },
}

/// Why a signature can never be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PermError {
    /// The field states no signature.
    #[error(transparent)]
    Signature(#[from] InvalidSignature),
    /// The message has more than [`MAX_SIGNATURES`], and this is one of the rest.
    #[error("the message has more than {MAX_SIGNATURES} signatures; this one was not looked at")]
    TooManySignatures,
    /// No TXT record.
    #[error("there is no key record")]
    NoRecord,
    /// Several TXT records (RFC 6376 §3.6.2.2: undefined).
    #[error("there are {count} TXT records where one key record belongs")]
    SeveralRecords {
        /// Records found.
        count: usize,
    },
    /// The record is no key record.
    #[error(transparent)]
    Record(#[from] KeyRecordError),
    /// k= is not the type of a=.
    #[error("the key record is for {published} keys, the signature is {signed}")]
    KeyType {
        /// k=
        published: KeyType,
        /// a=
        signed: Algorithm,
    },
    /// h= of the record leaves out sha256.
    #[error("the key record does not allow sha256 (h=)")]
    HashAlgorithm,
    /// s= of the record leaves out e-mail.
    #[error("the key record is not for e-mail (s=)")]
    ServiceType,
    /// t=s, and the domain of i= is below d=.
    #[error("the key record does not allow subdomains of the signing domain in i= (t=s)")]
    AuidNotDomain,
    /// p= is empty.
    #[error("the key is revoked (p= is empty)")]
    Revoked,
    /// p= is no key that may verify; RSA keys below 1024 bits are among these (RFC 8301 §3.2).
    #[error("the published key cannot be used: {0}")]
    Key(#[source] KeyError),
}

/// Verifies all signatures of a message, top to bottom. `published` is asked for the name of a signature's key record,
/// once for each signature; `now` is held against x=.
pub fn verify(
    headers: &Headers,
    body: &[u8],
    published: impl Fn(&str) -> Published,
    now: Timestamp,
) -> Vec<Verification> {
    let signatures = signatures(headers);
    let whole = signatures.iter().take(MAX_SIGNATURES).flatten().filter(|signature| signature.body_length.is_none());
    let mut hasher = BodyHasher::new(whole.map(|signature| signature.canonicalization.body));
    hasher.update(body);
    let hashes = hasher.finish();
    let verify_one = |(index, signature): (usize, Result<ParsedSignature, InvalidSignature>)| match signature {
        Err(error) => not_looked_at(None, PermError::Signature(error)),
        Ok(signature) if index >= MAX_SIGNATURES => not_looked_at(Some(signature), PermError::TooManySignatures),
        Ok(signature) => {
            let published = published(&signature.record_name());
            let mut verification =
                Verification { signature: None, key: None, is_testing: false, outcome: Outcome::Pass };
            let message = Message { headers, body, hashes: &hashes };
            if let Err(outcome) = check(&signature, &message, &published, now, &mut verification) {
                verification.outcome = outcome;
            }
            Verification { signature: Some(signature), ..verification }
        }
    };
    signatures.into_iter().enumerate().map(verify_one).collect()
}

impl ParsedSignature {
    /// Whether that key made the signature over this header, in which it stands. Nothing is said about the body.
    pub fn is_made_by(&self, key: &PublicKey, headers: &Headers) -> bool {
        self.algorithm == key.algorithm() && key.verify(&signed_octets(self, headers), &self.signature).is_ok()
    }
}

struct Message<'a> {
    headers: &'a Headers,
    body: &'a [u8],
    hashes: &'a BodyHashes,
}

fn not_looked_at(signature: Option<ParsedSignature>, error: PermError) -> Verification {
    Verification { signature, key: None, is_testing: false, outcome: Outcome::PermError(error) }
}

/// Notes in `seen` what it learns of the key.
fn check(
    signature: &ParsedSignature,
    message: &Message<'_>,
    published: &Published,
    now: Timestamp,
    seen: &mut Verification,
) -> Result<(), Outcome> {
    let Published::Records(records) = published else { return Err(Outcome::TempError) };
    let record = only_record(records)?;
    seen.is_testing = record.is_testing();
    let key = usable_key(&record, signature)?;
    seen.key = Some(key.clone());
    if let Some(at) = signature.expiration.filter(|at| *at < now) {
        return Err(Outcome::Fail(FailReason::Expired { at }));
    }
    let body_hash = match signature.body_length {
        None => message.hashes.of(signature.canonicalization.body).copied(),
        Some(length) => hash_beginning(message.body, signature.canonicalization.body, length),
    };
    let body_hash = body_hash.ok_or(Outcome::Fail(FailReason::BodyTooShort))?;
    if signature.body_hash != body_hash {
        return Err(Outcome::Fail(FailReason::BodyHash));
    }
    let octets = signed_octets(signature, message.headers);
    key.verify(&octets, &signature.signature).map_err(|_| Outcome::Fail(FailReason::Signature))
}

fn only_record(records: &[Vec<u8>]) -> Result<KeyRecord, PermError> {
    match records {
        [] => Err(PermError::NoRecord),
        [record] => Ok(KeyRecord::parse(record)?),
        _ => Err(PermError::SeveralRecords { count: records.len() }),
    }
}

/// RFC 6376 §6.1.2, from step 4 on.
fn usable_key(record: &KeyRecord, signature: &ParsedSignature) -> Result<PublicKey, PermError> {
    if !record.allows_sha256() {
        return Err(PermError::HashAlgorithm);
    }
    if record.key_type != KeyType::from(signature.algorithm) {
        return Err(PermError::KeyType { published: record.key_type.clone(), signed: signature.algorithm });
    }
    if !record.allows_email() {
        return Err(PermError::ServiceType);
    }
    if record.is_strict() && signature.auid_domain != signature.domain {
        return Err(PermError::AuidNotDomain);
    }
    record.key().ok_or(PermError::Revoked)?.map_err(PermError::Key)
}

/// What b= signs (RFC 6376 §3.7): the fields of h=, each name the lowest instance not yet taken, absent ones nothing
/// (§5.4.2); then the signature's own field with b= empty, without the final CRLF.
pub(super) fn signed_octets(signature: &ParsedSignature, headers: &Headers) -> Vec<u8> {
    let how = signature.canonicalization.header;
    let mut instances: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
    for (index, field) in headers.iter().enumerate() {
        instances.entry(field.name().to_ascii_lowercase()).or_default().push(index);
    }
    let mut octets = Vec::with_capacity(headers.octets());
    for name in &signature.signed_fields {
        let lowest = instances.get_mut(name.to_ascii_lowercase().as_bytes()).and_then(Vec::pop);
        if let Some(field) = lowest.and_then(|index| headers.field(index)) {
            canonical::field(&mut octets, field, how);
        }
    }
    let mut own = Headers::new();
    if let Some(field) = headers.field(signature.place) {
        let name = &field.raw()[..field.raw().len() - field.value().len() - 1];
        own.push(name, &without_signature(field.value()), Spacing::AsReceived);
    }
    for field in own.iter() {
        canonical::field(&mut octets, field, how);
    }
    octets.truncate(octets.len().saturating_sub(2));
    octets
}

/// The field's value with everything between `b=` and the next semicolon deleted.
fn without_signature(value: &[u8]) -> Vec<u8> {
    let mut left = Vec::with_capacity(value.len());
    for (index, spec) in value.split(|octet| *octet == b';').enumerate() {
        if index > 0 {
            left.push(b';');
        }
        match memchr::memchr(b'=', spec) {
            Some(equals) if spec[..equals].trim_ascii() == b"b" => left.extend_from_slice(&spec[..=equals]),
            _ => left.extend_from_slice(spec),
        }
    }
    left
}

impl From<PermError> for Outcome {
    fn from(error: PermError) -> Self {
        Self::PermError(error)
    }
}

impl Outcome {
    /// The result as RFC 8601 §2.7.1 names it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "fail",
            Self::TempError => "temperror",
            Self::PermError(_) => "permerror",
        }
    }
}
