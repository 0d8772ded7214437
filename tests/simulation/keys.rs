//! Keys that are ids: public parts made of a number, and no private part.

use std::sync::Arc;

use waxseal::dkim::key::{KeyId, PublicKey};
use waxseal::dkim::{Algorithm, KeyRecord};

/// SubjectPublicKeyInfo of a 1024-bit RSA key up to its modulus, and from there on: 128 octets are put in between.
const RSA_HEAD: [u8; 29] = [
    0x30, 0x81, 0x9f, 0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x03,
    0x81, 0x8d, 0x00, 0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00,
];
const RSA_TAIL: [u8; 5] = [0x02, 0x03, 0x01, 0x00, 0x01];

/// A public key like no other of its number.
pub(crate) fn key(algorithm: Algorithm, number: u64) -> PublicKey {
    let octets = match algorithm {
        Algorithm::RsaSha256 => {
            let mut modulus = [0xc1; 128];
            modulus[8..16].copy_from_slice(&number.to_be_bytes());
            [&RSA_HEAD[..], &modulus, &RSA_TAIL].concat()
        }
        Algorithm::Ed25519Sha256 => {
            let mut octets = [7; 32];
            octets[..8].copy_from_slice(&number.to_be_bytes());
            octets.to_vec()
        }
    };
    PublicKey::from_octets(algorithm, &octets).unwrap()
}

/// What is known of a key that was ever bound, under its selector.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    pub(crate) id: KeyId,
    pub(crate) public: PublicKey,
    /// The text of its record.
    pub(crate) text: Arc<str>,
    /// The text of its record when it is revoked.
    pub(crate) revoked: Arc<str>,
    /// The record's name.
    pub(crate) name: Arc<str>,
}

impl Bound {
    /// A key under a name.
    pub(crate) fn new(public: PublicKey, name: String) -> Self {
        let text = KeyRecord::of(&public).to_string().into();
        let revoked = KeyRecord::revoked(public.algorithm()).to_string().into();
        Self { id: public.id(), text, revoked, name: name.into(), public }
    }

    /// Whether a record with this text publishes it.
    pub(crate) fn is_published_by(&self, text: &str) -> bool {
        *text == *self.text || KeyRecord::parse(text.as_bytes()).is_ok_and(|record| record.matches(&self.public))
    }

    /// Whether a record with this text is ours to change.
    pub(crate) fn is_ours(&self, text: &str) -> bool {
        self.is_published_by(text) || KeyRecord::parse(text.as_bytes()).is_ok_and(|record| record.is_revoked())
    }
}

#[test]
fn keys_of_different_numbers_differ() {
    for algorithm in [Algorithm::RsaSha256, Algorithm::Ed25519Sha256] {
        let bound = |number| Bound::new(key(algorithm, number), "a".into());
        assert_eq!(key(algorithm, 1), key(algorithm, 1));
        assert_ne!(key(algorithm, 1).id(), key(algorithm, 2).id());
        assert!(bound(1).is_published_by(&bound(1).text) && !bound(1).is_published_by(&bound(2).text));
        assert!(bound(1).is_ours(&bound(2).revoked) && !bound(1).is_published_by(&bound(1).revoked));
    }
}
