//! Private keys: the secret as it is stored, and the form that signs.

use std::fmt;
use std::mem::size_of;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::armour::{self, Armoured};
use super::der::{self, Pkcs8};
use super::public::check_rsa;
use super::{Algorithm, KeyError, KeyId, KeyKind, PublicKey, STRONG_RSA_BITS, SignError, UnusableKind};
use crate::dkim::backend::{self, KeyPair};

/// A private key with its public part. Its octets are wiped when it is dropped.
pub struct PrivateKey {
    pkcs8: Zeroizing<Vec<u8>>,
    public: PublicKey,
    pair: Arc<KeyPair>,
}

impl PrivateKey {
    /// Makes a key. RSA takes 30 to 1100 ms: not for a runtime thread.
    ///
    /// # Errors
    /// [`KeyError::NotGenerated`] for RSA sizes other than 2048, 3072 and 4096, [`KeyError::Generate`] if the library
    /// or the operating system fails.
    pub fn generate(kind: KeyKind) -> Result<Self, KeyError> {
        let failed = |_| KeyError::Generate { algorithm: kind.algorithm() };
        match kind {
            KeyKind::Rsa { bits } => {
                KeyKind::rsa(bits)?;
                Self::from_pkcs8(&backend::generate_rsa(bits).map_err(failed)?)
            }
            KeyKind::Ed25519 => Self::from_seed(backend::generate_ed25519().map_err(failed)?.as_slice()),
        }
    }

    /// Reads a key file: one PEM block of PKCS#8 (`PRIVATE KEY`) or PKCS#1 (`RSA PRIVATE KEY`).
    ///
    /// # Errors
    /// Says what the file holds instead, and the remedy; never an octet of it.
    pub fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        match armour::open(pem)? {
            Armoured::Pkcs8(der) => Self::from_pkcs8(&der),
            Armoured::Pkcs1(der) => Self::from_pkcs1(&der),
            Armoured::EncryptedPkcs8(_) => Err(KeyError::Unusable { found: UnusableKind::Encrypted }),
        }
    }

    /// The key as PKCS#8 in PEM, lines ending in LF. Ed25519 in version 1, which every OpenSSL reads.
    pub fn to_pem(&self) -> Zeroizing<String> {
        armour::close(&self.pkcs8)
    }

    /// The public part.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The form that signs. Cheap: the key was parsed and checked when it was read.
    pub fn signing_key(&self) -> Result<SigningKey, KeyError> {
        Ok(SigningKey { pair: Arc::clone(&self.pair), public: self.public.clone() })
    }

    pub(super) fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        match der::read_pkcs8(der)? {
            Pkcs8::Rsa(key) => Self::from_pkcs1(key),
            Pkcs8::Ed25519 { seed, public } => {
                let key = Self::from_seed(seed)?;
                if public.is_some_and(|public| public != key.public.octets()) {
                    return Err(KeyError::Inconsistent { algorithm: Algorithm::Ed25519Sha256 });
                }
                Ok(key)
            }
        }
    }

    pub(super) fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        let algorithm = Algorithm::RsaSha256;
        let numbers = der::read_rsa_private(der)?;
        let bits = check_rsa(numbers)?;
        let public = PublicKey::from_octets(algorithm, &der::write_rsa_spki(numbers))?;
        let pair = KeyPair::rsa(der, bits, numbers.exponent).map_err(|_| KeyError::Inconsistent { algorithm })?;
        Ok(Self { pkcs8: der::write_rsa_pkcs8(der), public, pair: Arc::new(pair) })
    }

    pub(super) fn from_seed(seed: &[u8]) -> Result<Self, KeyError> {
        let algorithm = Algorithm::Ed25519Sha256;
        let pair = KeyPair::ed25519(seed).map_err(|_| KeyError::Inconsistent { algorithm })?;
        let public = PublicKey::from_octets(algorithm, pair.ed25519_public().unwrap_or_default())?;
        Ok(Self { pkcs8: der::write_ed25519_pkcs8(seed), public, pair: Arc::new(pair) })
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, {})", self.public.algorithm(), self.public.id().short())
    }
}

/// A private key parsed and ready to sign, from any thread. Cloning is cheap.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<KeyPair>,
    public: PublicKey,
}

impl SigningKey {
    /// The algorithm of its signatures.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// Bits of the modulus; 256 for Ed25519.
    pub fn bits(&self) -> u32 {
        self.public.bits()
    }

    /// Whether it is an RSA key of fewer than 2048 bits (RFC 8301 §3.2): it signs, and callers warn.
    pub fn is_weak(&self) -> bool {
        self.algorithm() == Algorithm::RsaSha256 && self.bits() < STRONG_RSA_BITS
    }

    /// Its name.
    pub fn id(&self) -> KeyId {
        self.public.id()
    }

    /// The public part.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Octets of memory held, the library's own included; for bounding a cache.
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.public.octets().len() + self.pair.memory(self.bits())
    }

    /// Signs. RSA: RSASSA-PKCS1-v1_5 with SHA-256 of `octets` (RFC 6376 §3.3.2). Ed25519: PureEdDSA on the SHA-256 digest
    /// of `octets` (RFC 8463 §3).
    pub fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = match self.algorithm() {
            Algorithm::RsaSha256 => self.pair.sign(octets),
            Algorithm::Ed25519Sha256 => self.pair.sign(&backend::sha256(octets)),
        };
        signature.map_err(|_| SignError::Library { algorithm: self.algorithm(), key: self.id() })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, {} bits, {})", self.algorithm(), self.bits(), self.id().short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::key::UnusableKind;

    /// RFC 8463 appendix A.2, in PKCS#8 version 1.
    const ED25519_V1: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    /// The same in version 2 (RFC 5958).
    const ED25519_V2: &str = "-----BEGIN PRIVATE KEY-----\n\
        MFECAQEwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
        gSEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PRIVATE KEY-----\n";
    /// Generated for this test by OpenSSL 3.0; signs nothing else.
    const RSA_1024_PKCS1: &str = include_str!("../../../tests/data/keys/rsa-1024-pkcs1.pem");
    const RSA_2048_PKCS8: &str = include_str!("../../../tests/data/keys/rsa-2048-pkcs8.pem");

    fn refused(pem: &str) -> KeyError {
        PrivateKey::from_pem(pem.as_bytes()).unwrap_err()
    }

    fn assert_signs(key: &PrivateKey) {
        let signing = key.signing_key().unwrap();
        let signature = signing.sign(b"octets").unwrap();
        key.public().verify(b"octets", &signature).unwrap();
        assert!(key.public().verify(b"octetz", &signature).is_err());
        let read = PublicKey::from_octets(signing.algorithm(), key.public().octets()).unwrap();
        assert_eq!(read, *key.public());
        assert_eq!(read.id(), signing.id());
    }

    #[test]
    fn generated_keys_sign_and_read_back() {
        for kind in [KeyKind::Ed25519, KeyKind::default()] {
            let key = PrivateKey::generate(kind).unwrap();
            assert_signs(&key);
            let pem = key.to_pem();
            assert!(!pem.contains('\r'));
            assert_eq!(PrivateKey::from_pem(pem.as_bytes()).unwrap().public(), key.public());
        }
        assert_eq!(
            PrivateKey::generate(KeyKind::Rsa { bits: 1024 }).unwrap_err(),
            KeyError::NotGenerated { bits: 1024 }
        );
    }

    #[test]
    fn both_versions_of_an_ed25519_file_are_the_same_key() {
        let key = PrivateKey::from_pem(ED25519_V1.as_bytes()).unwrap();
        assert_signs(&key);
        assert_eq!(key.public().octets()[..4], [0xd7, 0x5a, 0x98, 0x01]);
        assert_eq!(PrivateKey::from_pem(ED25519_V2.as_bytes()).unwrap().public(), key.public());
        assert_eq!(*key.to_pem(), ED25519_V1);
    }

    #[test]
    fn an_ed25519_file_with_the_wrong_public_key_is_refused() {
        let wrong = ED25519_V2.replace("7hcvPapi", "7hcvPapj");
        assert_eq!(refused(&wrong), KeyError::Inconsistent { algorithm: Algorithm::Ed25519Sha256 });
    }

    #[test]
    fn imported_short_rsa_keys_sign_and_are_called_weak() {
        let key = PrivateKey::from_pem(RSA_1024_PKCS1.as_bytes()).unwrap();
        assert_signs(&key);
        let signing = key.signing_key().unwrap();
        assert_eq!(signing.bits(), 1024);
        assert!(signing.is_weak());
        let strong = PrivateKey::from_pem(RSA_2048_PKCS8.as_bytes()).unwrap();
        assert_signs(&strong);
        assert!(!strong.signing_key().unwrap().is_weak());
        assert!(strong.signing_key().unwrap().memory() > 6000);
    }

    #[test]
    fn pkcs1_becomes_pkcs8() {
        let key = PrivateKey::from_pem(RSA_1024_PKCS1.as_bytes()).unwrap();
        let pem = key.to_pem();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert_eq!(PrivateKey::from_pem(pem.as_bytes()).unwrap().public(), key.public());
    }

    #[test]
    fn an_rsa_key_whose_parts_contradict_each_other_is_refused() {
        use base64::Engine;
        use base64::engine::general_purpose::STANDARD;

        for pem in [RSA_1024_PKCS1, RSA_2048_PKCS8] {
            let [first, .., last] = pem.lines().collect::<Vec<_>>()[..] else { panic!("a PEM file has lines") };
            let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            let der = STANDARD.decode(body).unwrap();
            // The coefficient, the exponents of the primes, the primes, d, the modulus.
            for part in 1..9 {
                let mut der = der.clone();
                let at = der.len() - part * der.len() / 10;
                der[at] ^= 2;
                let broken = format!("{first}\n{}\n{last}\n", STANDARD.encode(der));
                assert_eq!(refused(&broken), KeyError::Inconsistent { algorithm: Algorithm::RsaSha256 }, "part {part}");
            }
        }
    }

    #[test]
    fn what_is_no_private_key_is_named() {
        let block = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
        for (label, found) in [
            ("PUBLIC KEY", UnusableKind::PublicKey),
            ("RSA PUBLIC KEY", UnusableKind::PublicKey),
            ("CERTIFICATE", UnusableKind::Certificate),
            ("ENCRYPTED PRIVATE KEY", UnusableKind::Encrypted),
            ("EC PRIVATE KEY", UnusableKind::EllipticCurve),
            ("OPENSSH PRIVATE KEY", UnusableKind::OpenSsh),
            ("SHOPPING LIST", UnusableKind::OtherLabel),
        ] {
            assert_eq!(refused(&block(label)), KeyError::Unusable { found });
        }
        let legacy = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
                      -----END RSA PRIVATE KEY-----\n";
        assert_eq!(refused(legacy), KeyError::Unusable { found: UnusableKind::TraditionallyEncrypted });
        assert!(refused(legacy).to_string().contains("openssl pkcs8 -topk8"));
        assert!(refused(&block("ENCRYPTED PRIVATE KEY")).to_string().contains("openssl pkey"));
    }

    #[test]
    fn damaged_files_are_told_apart() {
        assert_eq!(refused(" \n"), KeyError::Empty);
        assert_eq!(refused("hello"), KeyError::NoPem);
        assert_eq!(refused("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n"), KeyError::BareSeed);
        assert_eq!(refused(&RSA_2048_PKCS8[..800]), KeyError::Truncated);
        assert_eq!(refused(&ED25519_V1.replace("MC4C", "M!4C")), KeyError::Armour);
        assert_eq!(refused(&ED25519_V1.replace("END PRIVATE", "END PUBLIC")), KeyError::Armour);
        assert_eq!(refused(&format!("{ED25519_V1}{ED25519_V2}")), KeyError::SeveralBlocks { count: 2 });
        assert_eq!(refused(&ED25519_V1.replace("MC4C", "MC8C")), KeyError::Der);
        assert!(PrivateKey::from_pem(ED25519_V1.replace('\n', "\r\n").as_bytes()).is_ok());
        assert!(PrivateKey::from_pem(format!("a note\n{ED25519_V1}").as_bytes()).is_ok());
    }

    #[test]
    fn nothing_shown_holds_the_secret() {
        let key = PrivateKey::from_pem(ED25519_V1.as_bytes()).unwrap();
        let shown = format!("{key:?} {:?} {:?}", key.signing_key().unwrap(), key.public());
        assert!(!shown.contains("9d61") && !shown.contains("157, 97"), "{shown}");
    }

    #[test]
    fn arbitrary_files_do_not_panic() {
        proptest::proptest!(|(octets: Vec<u8>)| {
            let _ = PrivateKey::from_pem(&octets);
        });
    }
}
