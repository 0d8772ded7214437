//! The key, and whether an answer is to be believed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::tsig::{TsigAlgorithm, TsigError};
use hickory_resolver::proto::rr::{TSigVerifier, TSigner};
use jiff::SignedDuration;
use zeroize::Zeroizing;

use super::super::CredentialsProblem;
use crate::config::TsigHash;
use crate::dns::name::{absolute, plain};

/// How far the clocks may be apart, in seconds (RFC 8945 §10 recommends 300).
const FUDGE: u16 = 300;

/// A key shared with a name server. Its secret is never shown.
#[derive(Clone)]
pub struct TsigKey {
    signer: TSigner,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TsigKeyError {
    /// The name cannot be one.
    #[error("{name:?} is no name of a TSIG key")]
    Name {
        /// As given.
        name: String,
    },
    /// The secret is no base64. It is not shown.
    #[error("the secret of the TSIG key {name} is not base64; give the value of `secret` as tsig-keygen prints it")]
    Encoding {
        /// The key's name.
        name: String,
    },
    /// The secret has hardly any octets. It is not shown.
    #[error("the secret of the TSIG key {name} is only {octets} octets long; make one with tsig-keygen")]
    Short {
        /// The key's name.
        name: String,
        /// Its length.
        octets: usize,
    },
}

impl TsigKey {
    /// A key of this name, with a secret in base64; white space around the secret is not part of it.
    ///
    /// # Errors
    /// When the name is none, or the secret is no base64 or shorter than 16 octets.
    pub fn new(name: &str, hash: TsigHash, secret: &[u8]) -> Result<Self, TsigKeyError> {
        let Some(owner) = absolute(name) else { return Err(TsigKeyError::Name { name: name.into() }) };
        let Ok(octets) = STANDARD.decode(secret.trim_ascii()).map(Zeroizing::new) else {
            return Err(TsigKeyError::Encoding { name: name.into() });
        };
        if octets.len() < 16 {
            return Err(TsigKeyError::Short { name: name.into(), octets: octets.len() });
        }
        let algorithm = match hash {
            TsigHash::Sha256 => TsigAlgorithm::HmacSha256,
            TsigHash::Sha384 => TsigAlgorithm::HmacSha384,
            TsigHash::Sha512 => TsigAlgorithm::HmacSha512,
        };
        let signer = TSigner::new(octets.to_vec(), algorithm, owner, FUDGE);
        let Ok(signer) = signer else { return Err(TsigKeyError::Name { name: name.into() }) };
        Ok(Self { signer })
    }

    /// Its name, without the final dot.
    pub fn name(&self) -> String {
        plain(self.signer.signer_name())
    }

    pub(super) fn signer(&self) -> &TSigner {
        &self.signer
    }
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TsigKey").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// What an answer to a signed message says, once it is believed.
///
/// `asked_at` is the time in the question's signature, in seconds since 1970. An error without a signature is passed on: it
/// claims nothing that could do harm, and PowerDNS signs none (RFC 8945 §5.3.2 asks for it).
pub(super) fn believe(
    octets: &[u8],
    mut verifier: TSigVerifier,
    asked_at: u64,
) -> Result<Message, Result<CredentialsProblem, String>> {
    let message = Message::from_vec(octets).map_err(|error| Err(error.to_string()))?;
    let Some(signature) = message.signature() else {
        return match message.metadata.response_code {
            ResponseCode::Refused
            | ResponseCode::NotAuth
            | ResponseCode::NotZone
            | ResponseCode::ServFail
            | ResponseCode::NotImp
            | ResponseCode::FormErr => Ok(message),
            _ => Err(Ok(CredentialsProblem::Unsigned)),
        };
    };
    match signature.data.error {
        None | Some(TsigError::Unknown(0)) => match verifier.verify(octets) {
            Ok(_) => Ok(message),
            Err(_) => Err(Ok(CredentialsProblem::Forged)),
        },
        Some(TsigError::BadKey) => Err(Ok(CredentialsProblem::UnknownKey)),
        Some(TsigError::BadSig) => Err(Ok(CredentialsProblem::WrongSecret)),
        Some(TsigError::BadTrunc) => Err(Ok(CredentialsProblem::Truncated)),
        // The server's time stands in Other Data, 48 bits (RFC 8945 §5.2.3).
        Some(TsigError::BadTime) => {
            let ahead = match (verifier.verify(octets), signature.data.other.as_slice()) {
                (Ok(_), [a, b, c, d, e, f]) => {
                    Some(difference(u64::from_be_bytes([0, 0, *a, *b, *c, *d, *e, *f]), asked_at))
                }
                _ => None,
            };
            Err(Ok(CredentialsProblem::Clock { ahead }))
        }
        Some(TsigError::Unknown(code)) => Err(Ok(CredentialsProblem::Other(code))),
    }
}

/// How far the server is ahead. Both fit 48 bits, or nearly.
fn difference(server: u64, here: u64) -> SignedDuration {
    let seconds = i64::try_from(i128::from(server) - i128::from(here)).unwrap_or(i64::MAX);
    SignedDuration::from_secs(seconds)
}
