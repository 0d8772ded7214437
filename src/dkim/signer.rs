//! Signing (RFC 6376 §3.7, §5): the octets a key signs, and the field that says so.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;

use super::canonical::{self, Canonicalization};
use super::header_selection::SelectedFields;
use super::key::{Algorithm, SignError, SigningKey};
use super::signature::{FIELD_NAME, SignatureField, SignatureSpec, TagWriter};
use crate::message::Headers;

/// A signature that lacks only its key's work: the field up to `b=`, and the octets to be signed.
///
/// It owns all it needs, so that it can be handed to another thread.
pub struct Prepared {
    algorithm: Algorithm,
    octets: Vec<u8>,
    field: TagWriter,
}

/// Why a prepared signature was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The key is of another algorithm than a= says.
    #[error("a signature prepared for {prepared} cannot be made by a key for {key}")]
    Algorithm {
        /// What a= says.
        prepared: Algorithm,
        /// What the key does.
        key: Algorithm,
    },
    /// The key could not sign.
    #[error(transparent)]
    Key(#[from] SignError),
}

/// Prepares one signature: writes the field without its b=, and gathers what is to be signed.
///
/// `selection` must have been made from `headers`, and `body_hash` in the body canonicalization of `spec`. Signatures
/// of one message do not cover each other.
pub fn prepare(
    spec: &SignatureSpec,
    algorithm: Algorithm,
    selection: &SelectedFields,
    headers: &Headers,
    body_hash: &[u8; 32],
) -> Prepared {
    let mut field = TagWriter::new();
    field.tag("v", "1");
    field.tag("a", algorithm.a_tag());
    field.tag("c", spec.canonicalization.as_str());
    field.tag("d", spec.domain.as_str());
    field.tag("s", spec.selector.as_str());
    field.tag("t", &seconds(spec.timestamp));
    if let Some(expiration) = spec.expiration {
        field.tag("x", &seconds(expiration));
    }
    if let Some(auid) = &spec.auid {
        field.tag("i", auid.as_str());
    }
    field.names(selection.names());
    field.tag("bh", &STANDARD.encode(body_hash));
    field.begin_signature();

    let mut octets = Vec::with_capacity(headers.octets() + 1024);
    selection.canonical(headers, spec.canonicalization.header, &mut octets);
    // Our own field comes last, its b= empty, without the final CRLF (RFC 6376 §3.7).
    match spec.canonicalization.header {
        Canonicalization::Simple => {
            octets.extend_from_slice(FIELD_NAME.as_bytes());
            octets.push(b':');
            octets.extend_from_slice(field.value().as_bytes());
        }
        Canonicalization::Relaxed => {
            octets.extend_from_slice(b"dkim-signature:");
            canonical::relaxed_value(&mut octets, field.value().as_bytes());
        }
    }
    Prepared { algorithm, octets, field }
}

impl Prepared {
    /// The algorithm that a= names.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Octets of the field's value so far: all but what the key has to say, of which h= may be the most.
    pub fn field_octets(&self) -> usize {
        self.field.value().len()
    }

    /// The octets to be signed.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Has the key sign.
    ///
    /// Takes as long as the key takes: microseconds for Ed25519, hundreds of them for RSA.
    ///
    /// # Errors
    ///
    /// When the key is of another algorithm, or cannot sign.
    pub fn sign(self, key: &SigningKey) -> Result<SignatureField, SignatureError> {
        if key.algorithm() != self.algorithm {
            return Err(SignatureError::Algorithm { prepared: self.algorithm, key: key.algorithm() });
        }
        let signature = key.sign(&self.octets)?;
        Ok(self.field.finish(&STANDARD.encode(signature)))
    }
}

fn seconds(timestamp: Timestamp) -> String {
    timestamp.as_second().max(0).to_string()
}

#[cfg(test)]
mod tests;
