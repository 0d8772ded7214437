//! The one file that names the mail-auth crate: it reads what stands inside the tags of a signature.
//!
//! The tag list itself is read by [`TagList`]: mail-auth takes the last of two equal tags, and a time or length that is
//! no number as none. So it is given a list written anew, of known tags, each once.

use mail_auth::Error;
use mail_auth::common::crypto::Algorithm as TheirAlgorithm;
use mail_auth::dkim::{self, DkimError};

use super::canonical::{Canonicalization, CanonicalizationPair};
use super::key::Algorithm;
use super::tag_list::TagList;
use super::verifier::InvalidSignature;

/// The tags that need decoding.
pub(super) struct SignatureTags {
    pub(super) algorithm: Algorithm,
    pub(super) canonicalization: CanonicalizationPair,
    /// i=, decoded from quoted-printable; empty where there is none.
    pub(super) auid: String,
    pub(super) body_hash: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// Reads a=, b=, bh=, c= and i=.
pub(super) fn read_signature(tags: &TagList<'_>) -> Result<SignatureTags, InvalidSignature> {
    let mut list = Vec::new();
    for name in ["v", "a", "b", "bh", "c", "d", "h", "i", "s"] {
        if let Some(value) = tags.value(name) {
            list.extend_from_slice(name.as_bytes());
            list.push(b'=');
            list.extend_from_slice(value);
            list.extend_from_slice(b"; ");
        }
    }
    let signature = dkim::Signature::parse(&list).map_err(|error| match error {
        Error::Dkim(DkimError::UnsupportedVersion) => InvalidSignature::Version,
        Error::Dkim(DkimError::UnsupportedCanonicalization) => InvalidSignature::Canonicalization,
        Error::Dkim(_) => InvalidSignature::Algorithm,
        _ => InvalidSignature::Base64,
    })?;
    Ok(SignatureTags {
        algorithm: match signature.a {
            TheirAlgorithm::RsaSha256 => Algorithm::RsaSha256,
            TheirAlgorithm::Ed25519Sha256 => Algorithm::Ed25519Sha256,
            TheirAlgorithm::RsaSha1 => return Err(InvalidSignature::Sha1),
        },
        canonicalization: CanonicalizationPair {
            header: canonicalization(signature.ch),
            body: canonicalization(signature.cb),
        },
        auid: signature.i,
        body_hash: signature.bh,
        signature: signature.b,
    })
}

fn canonicalization(theirs: dkim::Canonicalization) -> Canonicalization {
    match theirs {
        dkim::Canonicalization::Simple => Canonicalization::Simple,
        dkim::Canonicalization::Relaxed => Canonicalization::Relaxed,
    }
}
