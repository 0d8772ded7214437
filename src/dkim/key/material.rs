//! What octets are that were published as a key, whatever the record says they are.

use super::UnusableKind;
use super::der::{self, RsaPublic};
use crate::dkim::key::KeyError;

/// The `SubjectPublicKeyInfo` of an Ed25519 key up to the 32 octets themselves (RFC 8410 §4).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What octets look like. Nothing is said of whether such a key is any good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyMaterial<'a> {
    /// An RSA public key; numbers big-endian, above zero, without leading zeros.
    Rsa {
        /// n.
        modulus: &'a [u8],
        /// e.
        exponent: &'a [u8],
        /// What is around it.
        wrapping: RsaWrapping,
    },
    /// 32 octets, as RFC 8463 §4.2 publishes Ed25519 keys.
    Ed25519(&'a [u8]),
    /// The 32 octets of an Ed25519 key out of a `SubjectPublicKeyInfo`.
    Ed25519Wrapped(&'a [u8]),
    /// A public key of another algorithm.
    OtherAlgorithm(UnusableKind),
    /// A private key, which is private no more.
    PrivateKey,
    /// DER that says it is longer than it is.
    CutOff {
        /// Octets it should have.
        declared: usize,
    },
    /// Something else.
    Unknown,
}

/// The ASN.1 around an RSA public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RsaWrapping {
    /// `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7), as everyone publishes.
    SubjectPublicKeyInfo,
    /// None: a bare `RSAPublicKey` (RFC 8017 appendix A.1.1).
    Bare,
}

impl<'a> KeyMaterial<'a> {
    /// Looks at what p= of a record holds, decoded.
    pub fn of(octets: &'a [u8]) -> Self {
        if octets.len() == 32 {
            return Self::Ed25519(octets);
        }
        if let Some(key) = octets.strip_prefix(&ED25519_SPKI).filter(|key| key.len() == 32) {
            return Self::Ed25519Wrapped(key);
        }
        if let Some(declared) = der::declared_length(octets).filter(|declared| *declared > octets.len()) {
            return Self::CutOff { declared };
        }
        match der::find_rsa_public(octets) {
            Ok(key) => match der::read_rsa_public(key) {
                Ok(RsaPublic { modulus, exponent }) => {
                    let is_bare = key.len() == octets.len();
                    let wrapping = if is_bare { RsaWrapping::Bare } else { RsaWrapping::SubjectPublicKeyInfo };
                    Self::Rsa { modulus, exponent, wrapping }
                }
                Err(_) if der::read_pkcs8(octets).is_ok() || der::read_rsa_private(octets).is_ok() => Self::PrivateKey,
                Err(_) => Self::Unknown,
            },
            Err(KeyError::Unusable { found }) => Self::OtherAlgorithm(found),
            Err(_) => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::key::{KeyKind, PrivateKey};

    #[test]
    fn keys_are_told_from_one_another() {
        let rsa = PrivateKey::generate(KeyKind::default()).unwrap();
        let spki = rsa.public().octets();
        let bare = der::find_rsa_public(spki).unwrap();
        assert!(matches!(KeyMaterial::of(spki), KeyMaterial::Rsa { exponent: [1, 0, 1], .. }));
        assert!(matches!(KeyMaterial::of(bare), KeyMaterial::Rsa { wrapping: RsaWrapping::Bare, .. }));
        assert_eq!(KeyMaterial::of(&spki[..150]), KeyMaterial::CutOff { declared: spki.len() });
        assert_eq!(KeyMaterial::of(&[7; 32]), KeyMaterial::Ed25519(&[7; 32]));
        let wrapped = [ED25519_SPKI.as_slice(), &[7; 32]].concat();
        assert_eq!(KeyMaterial::of(&wrapped), KeyMaterial::Ed25519Wrapped(&[7; 32]));
        assert_eq!(KeyMaterial::of(&der::write_ed25519_pkcs8(&[7; 32])), KeyMaterial::PrivateKey);
        for other in [b"".as_slice(), b"ABC", &[0x30, 0], &[7; 31]] {
            assert_eq!(KeyMaterial::of(other), KeyMaterial::Unknown, "{other:?}");
        }
    }

    #[test]
    fn arbitrary_octets_do_not_panic() {
        proptest::proptest!(|(octets: Vec<u8>)| {
            KeyMaterial::of(&octets);
            KeyMaterial::of(&[&[0x30, 0x82], octets.as_slice()].concat());
        });
    }
}
