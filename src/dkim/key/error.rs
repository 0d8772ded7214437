//! Why a key cannot be used. None of these carries an octet of a key.

use super::{Algorithm, KeyId, MAX_RSA_BITS, MIN_RSA_BITS};

/// Why no usable private or public key came of what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file is empty.
    #[error("the key file is empty; generate a key anew or restore the file from a backup")]
    Empty,
    /// No PEM block anywhere.
    #[error(
        "no PEM block found; a key file holds -----BEGIN PRIVATE KEY----- (for a key in DER, convert it with \
         `openssl pkey -inform DER -in FILE -out NEW`)"
    )]
    NoPem,
    /// A base64 line of 32 octets and nothing else, as dkimpy's dknewkey writes Ed25519 keys.
    #[error(
        "this is a bare Ed25519 seed as dkimpy writes it, not PEM; convert it with `(printf \
         '\\060\\056\\002\\001\\000\\060\\005\\006\\003\\053\\145\\160\\004\\042\\004\\040'; base64 -d FILE) | openssl pkey \
         -inform DER -out NEW`"
    )]
    BareSeed,
    /// A block begins and does not end.
    #[error("the PEM block is cut off: its END line is missing; restore the file from a backup")]
    Truncated,
    /// The armour is there, but what stands in it is not base64, or BEGIN and END differ.
    #[error("the PEM block is damaged: its base64 or its END line is wrong; restore the file from a backup")]
    Armour,
    /// More than one block.
    #[error("the file holds {count} PEM blocks; leave one private key in it and nothing else")]
    SeveralBlocks {
        /// Blocks found.
        count: usize,
    },
    /// Something else than a private key for DKIM.
    #[error("{found}; {}", .found.remedy())]
    Unusable {
        /// What it is.
        found: UnusableKind,
    },
    /// The DER in the armour is not what its label says.
    #[error("the key's DER is damaged or cut off; restore the file from a backup")]
    Der,
    /// The parts of the key contradict each other.
    #[error("the parts of this {} key do not belong together; restore the file from a backup", .algorithm.k_tag())]
    Inconsistent {
        /// The key's algorithm.
        algorithm: Algorithm,
    },
    /// Too short to be secure, or too long to be verified.
    #[error("an RSA key of {bits} bits cannot be used; DKIM takes {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, use 2048")]
    RsaSize {
        /// Bits of the modulus.
        bits: u32,
    },
    /// Even, 1, or above 2^33 - 1.
    #[error("the RSA key's public exponent cannot be used (it is even, 1 or longer than 33 bits); generate a key anew")]
    RsaExponent,
    /// What the passphrase opened is no key.
    #[error("the passphrase is wrong, or the encrypted key is damaged; try the passphrase again")]
    WrongPassphrase,
    /// Deriving the key would take longer, or more memory, than any honest file asks for.
    #[error(
        "the passphrase is stretched by {found}, which is more than is done for a key file; decrypt it with `openssl \
         pkey -in FILE -out NEW`, keep NEW at mode 0600, and take that"
    )]
    Derivation {
        /// What the file asks for.
        found: Derivation,
    },
    /// Encrypted by something other than PBES2 with AES or Triple DES in CBC mode (RFC 8018).
    #[error(
        "the key is encrypted in a way that is not read here (PBES2 with AES or Triple DES is); convert it with `openssl \
         pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out NEW`"
    )]
    Encryption,
    /// Not a size that is generated.
    #[error("RSA keys of {bits} bits are not generated; use 2048, 3072 or 4096")]
    NotGenerated {
        /// Bits asked for.
        bits: u32,
    },
    /// The operating system gave no random numbers, or the backend failed.
    #[error("generating an {} key failed in the cryptographic library; try again", .algorithm.k_tag())]
    Generate {
        /// What was to be generated.
        algorithm: Algorithm,
    },
}

/// How a passphrase is made into a key (RFC 8018 §5, RFC 7914).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Derivation {
    /// PBKDF2.
    Pbkdf2 {
        /// Its iteration count.
        iterations: u32,
    },
    /// scrypt.
    Scrypt {
        /// N.
        cost: u64,
        /// r.
        block_size: u16,
        /// p.
        parallelization: u16,
    },
}

impl std::fmt::Display for Derivation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pbkdf2 { iterations } => write!(f, "{iterations} iterations of PBKDF2"),
            Self::Scrypt { cost, block_size, parallelization } => {
                write!(f, "scrypt with N={cost}, r={block_size}, p={parallelization}")
            }
        }
    }
}

/// What was found where a private key for DKIM belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnusableKind {
    /// `PUBLIC KEY` or `RSA PUBLIC KEY`.
    PublicKey,
    /// `CERTIFICATE` and its kin.
    Certificate,
    /// `ENCRYPTED PRIVATE KEY`: PKCS#8.
    Encrypted,
    /// `Proc-Type: 4,ENCRYPTED`, as OpenSSL wrote it long ago: one round of MD5 stands before the passphrase.
    TraditionallyEncrypted,
    /// An elliptic-curve key (ECDSA).
    EllipticCurve,
    /// A key restricted to RSASSA-PSS.
    RsaPss,
    /// OpenSSH's own format.
    OpenSsh,
    /// A DSA key.
    Dsa,
    /// A key of an algorithm DKIM does not have (Ed448, X25519 and others).
    OtherAlgorithm,
    /// An RSA key of more than two primes.
    MultiPrime,
    /// A PEM label that names no key.
    OtherLabel,
}

impl UnusableKind {
    fn remedy(self) -> &'static str {
        match self {
            Self::PublicKey => "put the private key of the pair here",
            Self::Certificate => "DKIM uses no certificates: put the private key here",
            Self::Encrypted => {
                "`waxseal import key` takes it in, or decrypt it with `openssl pkey -in FILE -out NEW` and keep NEW at mode \
                 0600"
            }
            Self::TraditionallyEncrypted => {
                "convert it with `openssl pkcs8 -topk8 -in FILE -out NEW`, and let `waxseal import key` take NEW"
            }
            Self::OpenSsh => "DKIM keys are PKCS#8 or PKCS#1: generate one with `waxseal generate`",
            Self::EllipticCurve | Self::RsaPss | Self::Dsa | Self::OtherAlgorithm | Self::MultiPrime => {
                "DKIM signs with RSA (PKCS#1 v1.5) and Ed25519: generate such a key with `waxseal generate`"
            }
            Self::OtherLabel => "a key file holds -----BEGIN PRIVATE KEY-----",
        }
    }
}

impl std::fmt::Display for UnusableKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PublicKey => "this is a public key",
            Self::Certificate => "this is a certificate",
            Self::Encrypted => "this private key is encrypted",
            Self::TraditionallyEncrypted => "this private key is encrypted in OpenSSL's traditional form",
            Self::EllipticCurve => "this is an elliptic-curve (ECDSA) key",
            Self::RsaPss => "this RSA key is restricted to PSS signatures",
            Self::OpenSsh => "this is an OpenSSH key",
            Self::Dsa => "this is a DSA key",
            Self::OtherAlgorithm => "this key is of an algorithm that DKIM does not have",
            Self::MultiPrime => "this RSA key has more than two primes",
            Self::OtherLabel => "this PEM block holds no key",
        })
    }
}

/// Signing failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The library refused: the key failed its own check after signing, or there were no random numbers.
    #[error("signing with {algorithm} key {} failed in the cryptographic library", .key.short())]
    Library {
        /// The key's algorithm.
        algorithm: Algorithm,
        /// Which key.
        key: KeyId,
    },
}

/// A signature is not that of the octets under the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not belong to these octets and this key")]
pub struct VerifyError;
