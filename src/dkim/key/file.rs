//! Key files as other programs write them, to be taken in: also encrypted ones, and dkimpy's bare Ed25519 seeds.

use std::fmt;

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use zeroize::Zeroizing;

use super::armour::{self, Armoured};
use super::{Derivation, KeyError, PrivateKey};

/// Most iterations of PBKDF2: about five seconds. OpenSSL writes 2,048; advice goes up to some 100,000s.
const MOST_ITERATIONS: u32 = 10_000_000;

/// Most memory of scrypt, 128 · N · r octets (RFC 7914 §2). OpenSSL writes N=16384, r=8: 16 MiB.
const MOST_SCRYPT_MEMORY: u64 = 256 << 20;

/// Most work of scrypt, N · r · p: some seconds.
const MOST_SCRYPT_WORK: u64 = 1 << 23;

/// A private key as it came from elsewhere.
#[derive(Debug)]
pub enum KeyFile {
    /// Ready to be used.
    Plain(PrivateKey),
    /// To be opened with its passphrase.
    Encrypted(EncryptedKey),
}

impl KeyFile {
    /// Reads a key file: one PEM block of PKCS#8, encrypted or not, or of PKCS#1, or a bare base64 Ed25519 seed.
    ///
    /// # Errors
    /// Says what the file holds instead, and the remedy; never an octet of it.
    pub fn read(file: &[u8]) -> Result<Self, KeyError> {
        match armour::open(file) {
            Ok(Armoured::Pkcs8(der)) => PrivateKey::from_pkcs8(&der).map(Self::Plain),
            Ok(Armoured::Pkcs1(der)) => PrivateKey::from_pkcs1(&der).map(Self::Plain),
            Ok(Armoured::EncryptedPkcs8(der)) => EncryptedKey::new(der).map(Self::Encrypted),
            Err(KeyError::BareSeed) => match armour::bare_seed(file) {
                Some(seed) => PrivateKey::from_seed(&seed).map(Self::Plain),
                None => Err(KeyError::BareSeed),
            },
            Err(error) => Err(error),
        }
    }
}

/// An encrypted private key: PKCS#8 with PBES2 (RFC 5958 §3, RFC 8018 §6.2) that can be opened in bounded time.
pub struct EncryptedKey(Zeroizing<Vec<u8>>);

impl EncryptedKey {
    fn new(der: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        let EncryptionScheme::Pbes2(scheme) = parse(&der)?.encryption_algorithm else {
            return Err(KeyError::Encryption);
        };
        let (found, is_bounded) = match &scheme.kdf {
            Kdf::Pbkdf2(kdf) => {
                let iterations = kdf.iteration_count;
                (Derivation::Pbkdf2 { iterations }, iterations <= MOST_ITERATIONS)
            }
            Kdf::Scrypt(kdf) => {
                let (cost, block_size, parallelization) = (kdf.cost_parameter, kdf.block_size, kdf.parallelization);
                let blocks = cost.saturating_mul(u64::from(block_size));
                let work = blocks.saturating_mul(u64::from(parallelization));
                let is_bounded = blocks.saturating_mul(128) <= MOST_SCRYPT_MEMORY && work <= MOST_SCRYPT_WORK;
                if cost < 2 || !cost.is_power_of_two() || work == 0 {
                    return Err(KeyError::Encryption);
                }
                (Derivation::Scrypt { cost, block_size, parallelization }, is_bounded)
            }
            _ => return Err(KeyError::Encryption),
        };
        if is_bounded { Ok(Self(der)) } else { Err(KeyError::Derivation { found }) }
    }

    /// Opens it. Takes up to some seconds, as its maker chose.
    ///
    /// # Errors
    /// [`KeyError::WrongPassphrase`], or what is wrong with the key inside.
    pub fn decrypt(&self, passphrase: &[u8]) -> Result<PrivateKey, KeyError> {
        let opened = parse(&self.0)?.decrypt(passphrase).map_err(|_| KeyError::WrongPassphrase)?;
        match PrivateKey::from_pkcs8(opened.as_bytes()) {
            // One wrong passphrase in 256 leaves something that looks padded.
            Err(KeyError::Der) => Err(KeyError::WrongPassphrase),
            key => key,
        }
    }
}

impl fmt::Debug for EncryptedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptedKey")
    }
}

fn parse(der: &[u8]) -> Result<EncryptedPrivateKeyInfoRef<'_>, KeyError> {
    EncryptedPrivateKeyInfoRef::try_from(der).map_err(|_| KeyError::Encryption)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::key::{Algorithm, UnusableKind};

    /// Written by OpenSSL 3.0, passphrase "correct horse": the Ed25519 key of RFC 8463 appendix A.2.
    const ENCRYPTED: &str = include_str!("../../../tests/data/keys/ed25519-encrypted.pem");
    const COSTLY_SCRYPT: &str = include_str!("../../../tests/data/keys/ed25519-scrypt-costly.pem");

    fn encrypted(pem: &str) -> EncryptedKey {
        match KeyFile::read(pem.as_bytes()) {
            Ok(KeyFile::Encrypted(key)) => key,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_alone() {
        let key = encrypted(ENCRYPTED);
        let opened = key.decrypt(b"correct horse").unwrap();
        assert_eq!(opened.public().algorithm(), Algorithm::Ed25519Sha256);
        assert_eq!(opened.public().octets()[..4], [0xd7, 0x5a, 0x98, 0x01]);
        for wrong in [&b""[..], b"correct horse\n", b"wrong"] {
            assert_eq!(key.decrypt(wrong).unwrap_err(), KeyError::WrongPassphrase);
        }
        assert_eq!(format!("{key:?}"), "EncryptedKey");
    }

    #[test]
    fn a_key_of_the_store_is_not_encrypted() {
        assert_eq!(
            PrivateKey::from_pem(ENCRYPTED.as_bytes()).unwrap_err(),
            KeyError::Unusable { found: UnusableKind::Encrypted }
        );
    }

    #[test]
    fn a_bare_seed_is_taken_in() {
        let Ok(KeyFile::Plain(key)) = KeyFile::read(b"nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=\n") else {
            panic!()
        };
        assert_eq!(key.public().octets()[..4], [0xd7, 0x5a, 0x98, 0x01]);
    }

    #[test]
    fn work_that_no_honest_file_asks_for_is_not_done() {
        let error = KeyFile::read(COSTLY_SCRYPT.as_bytes()).unwrap_err();
        assert!(matches!(error, KeyError::Derivation { found: Derivation::Scrypt { cost: 4194304, .. } }), "{error:?}");
        assert!(error.to_string().contains("N=4194304") && error.to_string().contains("openssl pkey"), "{error}");
        let iterations = |count: u32| {
            use base64::Engine;
            use base64::engine::general_purpose::STANDARD;

            let body: String = ENCRYPTED.lines().filter(|line| !line.starts_with('-')).collect();
            let mut der = STANDARD.decode(body).unwrap();
            // INTEGER 0x010001, the count that the file was written with.
            let at = der.windows(5).position(|octets| octets == [2, 3, 1, 0, 1]).unwrap();
            der[at + 2..at + 5].copy_from_slice(&count.to_be_bytes()[1..]);
            format!(
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\n{}\n-----END ENCRYPTED PRIVATE KEY-----\n",
                STANDARD.encode(der)
            )
        };
        assert!(KeyFile::read(iterations(0x7f_ffff).as_bytes()).is_ok());
        // As an INTEGER this is negative: not a count at all.
        assert_eq!(KeyFile::read(iterations(0xff_ffff).as_bytes()).unwrap_err(), KeyError::Encryption);
    }

    #[test]
    fn arbitrary_files_do_not_panic() {
        proptest::proptest!(|(octets: Vec<u8>, at in 0usize..400, octet: u8)| {
            let _ = KeyFile::read(&octets);
            let mut sound = ENCRYPTED.as_bytes().to_vec();
            let index = at % sound.len();
            sound[index] = octet;
            // Read only: what is derived from it is bounded, but not cheap.
            let _ = KeyFile::read(&sound);
        });
    }
}
