//! The cryptographic library: aws-lc-rs or ring behind one small face.
//!
//! Both libraries share one interface; what differs is generating RSA keys (ring cannot) and the RSA keys they sign
//! with. The `rsa` crate stands in where the library cannot: generating in the ring build, and signing with imported
//! keys that the library refuses (1024 to 2047 bits; in ring also sizes other than 2048, 3072 and 4096, and exponents below 65537). It
//! blinds with random numbers of the operating system.
//!
//! Architecture invariant: the one place of the pure layers that asks for randomness.

use std::mem::size_of;

use rsa::pkcs1::{DecodeRsaPrivateKey, EncodeRsaPrivateKey};
use zeroize::Zeroizing;

#[cfg(feature = "aws-lc-rs")]
use aws_lc_rs as library;
#[cfg(not(feature = "aws-lc-rs"))]
use ring as library;

use library::digest;
use library::rand::{SecureRandom, SystemRandom};
use library::signature::{
    ED25519, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, RSA_PKCS1_SHA256,
    RsaKeyPair, UnparsedPublicKey,
};

/// SHA-256 over octets that come in pieces (RFC 6376 §3.3).
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// Begins a digest.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Takes the next octets.
    pub fn update(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }

    /// The digest of all octets taken.
    pub fn finish(self) -> [u8; 32] {
        as_array(&self.0.finish())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sha256")
    }
}

/// The SHA-256 digest of `octets`.
pub(crate) fn sha256(octets: &[u8]) -> [u8; 32] {
    as_array(&digest::digest(&digest::SHA256, octets))
}

/// The library refused, and does not say why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused;

/// A private key, parsed, checked for consistency and ready to sign.
pub(super) enum KeyPair {
    Rsa(Box<RsaKeyPair>),
    /// An RSA key that the library does not sign with. Slow: a signature of 1024 bits costs as much as three of the
    /// library with 2048 bits.
    RsaPortable(Box<rsa::PrivateKey>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl KeyPair {
    /// Loads a DER `RSAPrivateKey` (RFC 8017 appendix A.1.2) whose public numbers are these; refuses one whose numbers
    /// contradict each other.
    pub(super) fn rsa(der: &[u8], bits: u32, exponent: &[u8]) -> Result<Self, Refused> {
        if is_native(bits, exponent) {
            check_native(der)?;
            let pair = RsaKeyPair::from_der(der).map_err(|_| Refused)?;
            return Ok(Self::Rsa(Box::new(pair)));
        }
        Ok(Self::RsaPortable(Box::new(portable(der)?)))
    }

    /// Loads an Ed25519 key from its 32 secret octets (RFC 8032 §5.1.5).
    pub(super) fn ed25519(seed: &[u8]) -> Result<Self, Refused> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Refused)?;
        Ok(Self::Ed25519(Box::new(pair)))
    }

    /// The 32 octets of the public key, for Ed25519.
    pub(super) fn ed25519_public(&self) -> Option<&[u8]> {
        match self {
            Self::Ed25519(pair) => Some(pair.public_key().as_ref()),
            Self::Rsa(_) | Self::RsaPortable(_) => None,
        }
    }

    /// RSA: RSASSA-PKCS1-v1_5 with SHA-256 of `octets`. Ed25519: PureEdDSA of `octets` as they are.
    pub(super) fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, Refused> {
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; modulus_octets(pair)];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), octets, &mut signature).map_err(|_| Refused)?;
                Ok(signature)
            }
            Self::RsaPortable(key) => key.pkcs1v15_sign::<rsa::sha2::Sha256>(octets).map_err(|_| Refused),
            Self::Ed25519(pair) => Ok(pair.sign(octets).as_ref().to_vec()),
        }
    }

    /// Octets of memory held, with those that the library allocates outside Rust's sight once the key has signed
    /// (measured: 6 KB for RSA with 2048 bits).
    pub(super) fn memory(&self, bits: u32) -> usize {
        let native = match self {
            Self::Rsa(_) | Self::RsaPortable(_) => 3 * bits as usize,
            Self::Ed25519(_) => size_of::<Ed25519KeyPair>() + 256,
        };
        size_of::<Self>() + native
    }
}

/// Whether `signature` is that of `octets` under a DER `RSAPublicKey` (RFC 8017 appendix A.1.1) of 1024 to 8192 bits:
/// RSASSA-PKCS1-v1_5 with SHA-256.
pub(super) fn verify_rsa(public_key: &[u8], octets: &[u8], signature: &[u8]) -> Result<(), Refused> {
    UnparsedPublicKey::new(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, public_key)
        .verify(octets, signature)
        .map_err(|_| Refused)
}

/// Whether `signature` is that of `octets` under the 32 octets of an Ed25519 public key: PureEdDSA (RFC 8032 §5.1.7).
pub(super) fn verify_ed25519(public_key: &[u8], octets: &[u8], signature: &[u8]) -> Result<(), Refused> {
    UnparsedPublicKey::new(&ED25519, public_key).verify(octets, signature).map_err(|_| Refused)
}

/// Makes an RSA key of 2048, 3072 or 4096 bits; gives its PKCS#8 DER.
#[cfg(feature = "aws-lc-rs")]
pub(super) fn generate_rsa(bits: u32) -> Result<Zeroizing<Vec<u8>>, Refused> {
    use library::encoding::AsDer;
    use library::rsa::KeySize;

    let size = match bits {
        2048 => KeySize::Rsa2048,
        3072 => KeySize::Rsa3072,
        4096 => KeySize::Rsa4096,
        _ => return Err(Refused),
    };
    let pair = RsaKeyPair::generate(size).map_err(|_| Refused)?;
    let der = pair.as_der().map_err(|_| Refused)?;
    Ok(Zeroizing::new(der.as_ref().to_vec()))
}

/// Makes an RSA key of 2048, 3072 or 4096 bits; gives its PKCS#8 DER.
#[cfg(not(feature = "aws-lc-rs"))]
pub(super) fn generate_rsa(bits: u32) -> Result<Zeroizing<Vec<u8>>, Refused> {
    use rsa::pkcs8::EncodePrivateKey;

    let key = rsa::PrivateKey::new(&mut rng::SystemRng::new(), bits as usize).map_err(|_| Refused)?;
    Ok(key.to_pkcs8_der().map_err(|_| Refused)?.to_bytes())
}

/// Readies the calling thread for its first signature: RSA blinds with random numbers, and aws-lc takes some 50 ms to
/// seed a thread's generator. What fails here will fail again, and be reported, when there is something to sign.
pub fn ready_thread() {
    let _ = SystemRandom::new().fill(&mut [0]);
}

/// Makes the 32 secret octets of an Ed25519 key.
pub(super) fn generate_ed25519() -> Result<Zeroizing<[u8; 32]>, Refused> {
    let mut seed = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(seed.as_mut()).map_err(|_| Refused)?;
    Ok(seed)
}

/// A random number; none if the operating system gives none.
pub fn random_number() -> Option<u64> {
    let mut octets = [0; 8];
    SystemRandom::new().fill(&mut octets).ok()?;
    Some(u64::from_ne_bytes(octets))
}

/// Whether the library signs with such RSA keys.
#[cfg(feature = "aws-lc-rs")]
fn is_native(bits: u32, _exponent: &[u8]) -> bool {
    bits >= 2048
}

/// Whether the library signs with such RSA keys.
#[cfg(not(feature = "aws-lc-rs"))]
fn is_native(bits: u32, exponent: &[u8]) -> bool {
    (2048..=4096).contains(&bits) && bits.is_multiple_of(1024) && exponent.len() > 2
}

/// aws-lc-rs holds all numbers against each other while it loads them.
#[cfg(feature = "aws-lc-rs")]
fn check_native(_der: &[u8]) -> Result<(), Refused> {
    Ok(())
}

/// ring looks at some of the numbers only; it would load a damaged key and then not sign with it.
#[cfg(not(feature = "aws-lc-rs"))]
fn check_native(der: &[u8]) -> Result<(), Refused> {
    portable(der).map(drop)
}

fn portable(der: &[u8]) -> Result<rsa::PrivateKey, Refused> {
    let key = rsa::PrivateKey::from_pkcs1_der(der).map_err(|_| Refused)?;
    // The crate computes the exponents and the coefficient of the primes anew; those of the file must be the same.
    if key.to_pkcs1_der().map_err(|_| Refused)?.as_bytes() != der {
        return Err(Refused);
    }
    Ok(key)
}

#[cfg(feature = "aws-lc-rs")]
fn modulus_octets(pair: &RsaKeyPair) -> usize {
    pair.public_modulus_len()
}

#[cfg(not(feature = "aws-lc-rs"))]
fn modulus_octets(pair: &RsaKeyPair) -> usize {
    pair.public().modulus_len()
}

fn as_array(digest: &digest::Digest) -> [u8; 32] {
    let mut array = [0; 32];
    array.copy_from_slice(digest.as_ref());
    array
}

/// ring's random numbers in the shape that the `rsa` crate asks for.
#[cfg(not(feature = "aws-lc-rs"))]
mod rng {
    use rsa::rand_core::{TryCryptoRng, TryRng};

    use super::{SecureRandom, SystemRandom};

    pub(super) struct SystemRng(SystemRandom);

    /// The operating system gave no random numbers.
    #[derive(Debug, thiserror::Error)]
    #[error("the operating system gave no random numbers")]
    pub(super) struct NoRandomness;

    impl SystemRng {
        pub(super) fn new() -> Self {
            Self(SystemRandom::new())
        }
    }

    impl TryRng for SystemRng {
        type Error = NoRandomness;

        fn try_next_u32(&mut self) -> Result<u32, NoRandomness> {
            let mut octets = [0; 4];
            self.try_fill_bytes(&mut octets)?;
            Ok(u32::from_ne_bytes(octets))
        }

        fn try_next_u64(&mut self) -> Result<u64, NoRandomness> {
            let mut octets = [0; 8];
            self.try_fill_bytes(&mut octets)?;
            Ok(u64::from_ne_bytes(octets))
        }

        fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), NoRandomness> {
            self.0.fill(octets).map_err(|_| NoRandomness)
        }
    }

    impl TryCryptoRng for SystemRng {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_does_not_depend_on_the_pieces() {
        let mut pieces = Sha256::new();
        pieces.update(b"a");
        pieces.update(b"");
        pieces.update(b"bc");
        assert_eq!(pieces.finish(), sha256(b"abc"));
        assert_eq!(sha256(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
