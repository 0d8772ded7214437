//! Public keys and their names.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::der::{self, RsaPublic};
use super::{Algorithm, KeyError, MAX_RSA_BITS, MIN_RSA_BITS, VerifyError};
use crate::dkim::backend;

/// A key's name: the SHA-256 of what p= of its record holds, decoded. In hexadecimal: 64 digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

/// A string that is no key id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key id is 64 hexadecimal digits")]
pub struct KeyIdError;

impl KeyId {
    /// The name of the key whose record has these octets in p=, whatever they are.
    pub fn of(octets: &[u8]) -> Self {
        Self(backend::sha256(octets))
    }

    /// The 32 octets.
    pub fn as_octets(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight digits: enough to tell keys apart for people.
    pub fn short(&self) -> String {
        hex(&self.0[..4])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(KeyIdError);
        }
        let mut id = [0; 32];
        for (octet, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let [high, low] = [nibble(pair[0])?, nibble(pair[1])?];
            *octet = high << 4 | low;
        }
        Ok(Self(id))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A public key that signatures can be verified with. Cloning is cheap.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    bits: u32,
    octets: Arc<[u8]>,
    id: KeyId,
}

impl PublicKey {
    /// Takes what p= of a record holds, decoded: for RSA a `SubjectPublicKeyInfo` or a bare `RSAPublicKey`, for Ed25519
    /// the 32 octets (RFC 8463 §4.2).
    ///
    /// # Errors
    /// [`KeyError::Der`] and [`KeyError::Unusable`] for anything else, [`KeyError::RsaSize`] and
    /// [`KeyError::RsaExponent`] for keys that must not verify (RFC 8301 §3.2).
    pub fn from_octets(algorithm: Algorithm, octets: &[u8]) -> Result<Self, KeyError> {
        let bits = match algorithm {
            Algorithm::RsaSha256 => check_rsa(der::read_rsa_public(der::find_rsa_public(octets)?)?)?,
            Algorithm::Ed25519Sha256 if octets.len() == 32 => 256,
            Algorithm::Ed25519Sha256 => return Err(KeyError::Der),
        };
        Ok(Self { algorithm, bits, octets: octets.into(), id: KeyId::of(octets) })
    }

    /// The algorithm of its signatures.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Bits of the modulus; 256 for Ed25519.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// What p= of its record holds, decoded.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whether both are the same key, even where one is published as a `SubjectPublicKeyInfo` and the other bare.
    pub fn is_same(&self, other: &Self) -> bool {
        let numbers = |key: &Self| der::find_rsa_public(&key.octets).map(<[u8]>::to_vec);
        self == other
            || self.algorithm == other.algorithm
                && self.algorithm == Algorithm::RsaSha256
                && matches!((numbers(self), numbers(other)), (Ok(mine), Ok(theirs)) if mine == theirs)
    }

    /// Whether `signature` is that of `octets` under this key; see [`super::SigningKey::sign`].
    pub fn verify(&self, octets: &[u8], signature: &[u8]) -> Result<(), VerifyError> {
        let verified = match self.algorithm {
            Algorithm::RsaSha256 => {
                let key = der::find_rsa_public(&self.octets).map_err(|_| VerifyError)?;
                backend::verify_rsa(key, octets, signature)
            }
            Algorithm::Ed25519Sha256 => backend::verify_ed25519(&self.octets, &backend::sha256(octets), signature),
        };
        verified.map_err(|_| VerifyError)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {} bits, {})", self.algorithm, self.bits, self.id.short())
    }
}

/// Checks what can be said of an RSA key by its public numbers alone; gives the bits of its modulus.
pub(super) fn check_rsa(public: RsaPublic<'_>) -> Result<u32, KeyError> {
    let bits = public.bits();
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        return Err(KeyError::RsaSize { bits });
    }
    let exponent = public.exponent;
    let is_even = exponent.last().is_none_or(|last| last % 2 == 0);
    let is_long = exponent.len() > 5 || exponent.len() == 5 && exponent[0] > 1;
    if is_even || is_long || exponent == [1] {
        return Err(KeyError::RsaExponent);
    }
    Ok(bits)
}

fn hex(octets: &[u8]) -> String {
    use fmt::Write;

    let mut digits = String::with_capacity(octets.len() * 2);
    for octet in octets {
        let _ = write!(digits, "{octet:02x}");
    }
    digits
}

fn nibble(digit: u8) -> Result<u8, KeyIdError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(KeyIdError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_reads_back_from_its_digits() {
        let id = PublicKey::from_octets(Algorithm::Ed25519Sha256, &[9; 32]).unwrap().id();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.short(), id.to_string()[..8]);
        assert_eq!(serde_json::from_str::<KeyId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
        assert_eq!("xyz".parse::<KeyId>(), Err(KeyIdError));
        assert_eq!("ü".repeat(32).parse::<KeyId>(), Err(KeyIdError));
    }

    #[test]
    fn a_bare_public_key_is_the_same_key() {
        let spki = der::write_rsa_spki(RsaPublic { modulus: &[0xc1; 256], exponent: &[1, 0, 1] });
        let bare = der::find_rsa_public(&spki).unwrap();
        let [published, ours] =
            [bare, &spki].map(|octets| PublicKey::from_octets(Algorithm::RsaSha256, octets).unwrap());
        assert!(published.is_same(&ours));
        assert_ne!(published.id(), ours.id());
    }

    #[test]
    fn exponents_that_make_no_key_are_refused() {
        let modulus = [0xc1; 256];
        let exponents: [(&[u8], bool); 8] = [
            (&[1], false),
            (&[2], false),
            (&[3], true),
            (&[37], true),
            (&[1, 0, 1], true),
            (&[1, 0, 0], false),
            (&[1, 0xff, 0xff, 0xff, 0xff], true),
            (&[2, 0, 0, 0, 1], false),
        ];
        for (exponent, usable) in exponents {
            let spki = der::write_rsa_spki(RsaPublic { modulus: &modulus, exponent });
            assert_eq!(PublicKey::from_octets(Algorithm::RsaSha256, &spki).is_ok(), usable, "{exponent:?}");
        }
    }

    #[test]
    fn sizes_that_must_not_verify_are_refused() {
        for (octets, bits) in [(64, 512), (127, 1016), (1025, 8200)] {
            let modulus = vec![0xc1; octets];
            let spki = der::write_rsa_spki(RsaPublic { modulus: &modulus, exponent: &[3] });
            assert_eq!(PublicKey::from_octets(Algorithm::RsaSha256, &spki), Err(KeyError::RsaSize { bits }));
        }
        assert_eq!(PublicKey::from_octets(Algorithm::Ed25519Sha256, &[0; 31]), Err(KeyError::Der));
    }
}
