//! Signature algorithms and kinds of keys.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{KeyError, STRONG_RSA_BITS};

/// A signature algorithm (a= of a signature, RFC 6376 §3.3, RFC 8463 §3). rsa-sha1 is not one (RFC 8301 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 6376 §3.3.2).
    #[serde(rename = "rsa-sha256")]
    RsaSha256,
    /// PureEdDSA on the SHA-256 digest (RFC 8463 §3).
    #[serde(rename = "ed25519-sha256")]
    Ed25519Sha256,
}

/// A string that names no algorithm Waxseal signs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown signature algorithm; use rsa-sha256 or ed25519-sha256")]
pub struct UnknownAlgorithm;

impl Algorithm {
    /// Its name in a= of a signature.
    pub fn a_tag(self) -> &'static str {
        match self {
            Self::RsaSha256 => "rsa-sha256",
            Self::Ed25519Sha256 => "ed25519-sha256",
        }
    }

    /// Its name in k= of a key record.
    pub fn k_tag(self) -> &'static str {
        match self {
            Self::RsaSha256 => "rsa",
            Self::Ed25519Sha256 => "ed25519",
        }
    }

    /// The letter that ends the selectors Waxseal makes for it.
    pub fn letter(self) -> char {
        match self {
            Self::RsaSha256 => 'r',
            Self::Ed25519Sha256 => 'e',
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.a_tag())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    /// Parses a= (case-insensitive, as RFC 5234 §2.3 reads the literals of RFC 6376 §3.5).
    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        [Self::RsaSha256, Self::Ed25519Sha256]
            .into_iter()
            .find(|algorithm| algorithm.a_tag().eq_ignore_ascii_case(name))
            .ok_or(UnknownAlgorithm)
    }
}

/// What key to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// RSA with 2048, 3072 or 4096 bits.
    Rsa {
        /// Bits of the modulus.
        bits: u32,
    },
    /// Ed25519.
    Ed25519,
}

impl KeyKind {
    /// The algorithm such a key signs with.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::RsaSha256,
            Self::Ed25519 => Algorithm::Ed25519Sha256,
        }
    }

    /// An RSA kind, if it may be generated: fewer than 2048 bits are weak (RFC 8301 §3.2), and verifiers need not
    /// take more than 4096.
    pub fn rsa(bits: u32) -> Result<Self, KeyError> {
        match bits {
            2048 | 3072 | 4096 => Ok(Self::Rsa { bits }),
            _ => Err(KeyError::NotGenerated { bits }),
        }
    }
}

impl Default for KeyKind {
    /// RSA with 2048 bits: what every verifier takes and one TXT record carries in one UDP answer.
    fn default() -> Self {
        Self::Rsa { bits: STRONG_RSA_BITS }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa { bits } => write!(f, "rsa-{bits}"),
            Self::Ed25519 => f.write_str("ed25519"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_named_as_the_standards_name_it() {
        assert_eq!(Algorithm::RsaSha256.a_tag(), "rsa-sha256");
        assert_eq!(Algorithm::Ed25519Sha256.k_tag(), "ed25519");
        assert_eq!("RSA-SHA256".parse(), Ok(Algorithm::RsaSha256));
        assert_eq!("rsa-sha1".parse::<Algorithm>(), Err(UnknownAlgorithm));
        assert_eq!(serde_json::to_string(&Algorithm::Ed25519Sha256).unwrap(), r#""ed25519-sha256""#);
    }

    #[test]
    fn weak_and_odd_sizes_are_not_generated() {
        assert_eq!(KeyKind::rsa(2048).unwrap(), KeyKind::default());
        for bits in [0, 512, 1024, 2047, 2049, 8192] {
            assert!(matches!(KeyKind::rsa(bits), Err(KeyError::NotGenerated { .. })));
        }
    }
}
