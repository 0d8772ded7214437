//! The PEM armour of key files (RFC 7468).

use std::str;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pem::{EncodeConfig, LineEnding, Pem};
use zeroize::Zeroizing;

use super::{KeyError, UnusableKind};

/// The label of PKCS#8 (RFC 7468 §10).
const PKCS8_LABEL: &str = "PRIVATE KEY";

/// The DER of a private key, as its label names it.
pub(super) enum Armoured {
    Pkcs8(Zeroizing<Vec<u8>>),
    /// Encrypted PKCS#8 (RFC 5958 §3).
    EncryptedPkcs8(Zeroizing<Vec<u8>>),
    /// PKCS#1, as OpenSSL wrote it before 3.0 and opendkim-genkey with it.
    Pkcs1(Zeroizing<Vec<u8>>),
}

/// Takes the only block out of a file. Text around it is allowed, a second block is not.
pub(super) fn open(file: &[u8]) -> Result<Armoured, KeyError> {
    if file.trim_ascii().is_empty() {
        return Err(KeyError::Empty);
    }
    let begins = count(file, b"-----BEGIN ");
    if begins == 0 {
        return Err(if is_bare_seed(file) { KeyError::BareSeed } else { KeyError::NoPem });
    }
    if begins > count(file, b"-----END ") {
        return Err(KeyError::Truncated);
    }
    let mut blocks =
        pem::parse_many(file).map_err(|_| if has_encryption_header(file) { encrypted() } else { KeyError::Armour })?;
    let count = blocks.len();
    let Some(block) = blocks.pop() else { return Err(KeyError::Armour) };
    let label = block.tag().to_owned();
    let is_encrypted = block.headers().get("Proc-Type").is_some_and(|value| value.contains("ENCRYPTED"));
    let der = Zeroizing::new(block.into_contents());
    for other in blocks {
        drop(Zeroizing::new(other.into_contents()));
    }
    if count > 1 {
        return Err(KeyError::SeveralBlocks { count });
    }
    if is_encrypted {
        return Err(encrypted());
    }
    let found = match label.as_str() {
        PKCS8_LABEL => return Ok(Armoured::Pkcs8(der)),
        "RSA PRIVATE KEY" => return Ok(Armoured::Pkcs1(der)),
        "ENCRYPTED PRIVATE KEY" => return Ok(Armoured::EncryptedPkcs8(der)),
        "PUBLIC KEY" | "RSA PUBLIC KEY" => UnusableKind::PublicKey,
        "CERTIFICATE"
        | "X509 CERTIFICATE"
        | "TRUSTED CERTIFICATE"
        | "CERTIFICATE REQUEST"
        | "NEW CERTIFICATE REQUEST" => UnusableKind::Certificate,
        "EC PRIVATE KEY" | "EC PARAMETERS" => UnusableKind::EllipticCurve,
        "DSA PRIVATE KEY" => UnusableKind::Dsa,
        "OPENSSH PRIVATE KEY" => UnusableKind::OpenSsh,
        _ => UnusableKind::OtherLabel,
    };
    Err(KeyError::Unusable { found })
}

/// Armours PKCS#8 DER; lines end in LF.
pub(super) fn close(pkcs8: &[u8]) -> Zeroizing<String> {
    let block = Pem::new(PKCS8_LABEL, pkcs8);
    let text = pem::encode_config(&block, EncodeConfig::new().set_line_ending(LineEnding::LF));
    drop(Zeroizing::new(block.into_contents()));
    Zeroizing::new(text)
}

fn encrypted() -> KeyError {
    KeyError::Unusable { found: UnusableKind::TraditionallyEncrypted }
}

fn has_encryption_header(file: &[u8]) -> bool {
    count(file, b"Proc-Type: 4,ENCRYPTED") > 0
}

fn count(file: &[u8], text: &[u8]) -> usize {
    memchr::memmem::find_iter(file, text).count()
}

fn is_bare_seed(file: &[u8]) -> bool {
    bare_seed(file).is_some()
}

/// The 32 octets that dkimpy's dknewkey writes in base64 for an Ed25519 key; none if there is something else.
pub(super) fn bare_seed(file: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = str::from_utf8(file.trim_ascii()).ok()?;
    let octets = Zeroizing::new(STANDARD.decode(text).ok()?);
    (octets.len() == 32).then_some(octets)
}
