//! The few ASN.1 structures of key files, in DER (ITU-T X.690): just enough to tell what a key is and to find its
//! public part. The backend checks the rest.

use zeroize::Zeroizing;

use super::{KeyError, UnusableKind};

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const NULL: u8 = 0x05;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `publicKey [1]` of RFC 5958, as the standard has it and as ring writes it.
const PUBLIC_KEY: [u8; 2] = [0x81, 0xa1];

/// 1.2.840.113549.1.1.1 (RFC 8017 appendix A.1).
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// 1.2.840.113549.1.1.10.
const RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];
/// 1.3.101.112 (RFC 8410 §3).
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// 1.2.840.10045.2.1 (RFC 5480 §2.1.1).
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.2.840.10040.4.1.
const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 0x04, 0x01];

/// The key inside a PKCS#8 structure; borrows the secret.
pub(super) enum Pkcs8<'a> {
    /// A DER `RSAPrivateKey`.
    Rsa(&'a [u8]),
    /// The secret octets, and the public ones where the file carries them (version 2).
    Ed25519 { seed: &'a [u8], public: Option<&'a [u8]> },
}

/// The public numbers of an RSA key, big-endian without leading zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RsaPublic<'a> {
    pub(super) modulus: &'a [u8],
    pub(super) exponent: &'a [u8],
}

impl RsaPublic<'_> {
    /// Bits of the modulus.
    pub(super) fn bits(self) -> u32 {
        let Some(first) = self.modulus.first() else { return 0 };
        let bits = (self.modulus.len() * 8).saturating_sub(first.leading_zeros() as usize);
        u32::try_from(bits).unwrap_or(u32::MAX)
    }
}

/// Reads `PrivateKeyInfo` (RFC 5208) or `OneAsymmetricKey` (RFC 5958).
pub(super) fn read_pkcs8(der: &[u8]) -> Result<Pkcs8<'_>, KeyError> {
    let mut outer = Reader(der);
    let mut info = Reader(outer.value(SEQUENCE)?);
    outer.end()?;
    info.value(INTEGER)?;
    let algorithm = Reader(info.value(SEQUENCE)?).value(OBJECT_IDENTIFIER)?;
    let key = info.value(OCTET_STRING)?;
    match algorithm {
        RSA_ENCRYPTION => Ok(Pkcs8::Rsa(key)),
        ED25519 => {
            let mut inner = Reader(key);
            let seed = inner.value(OCTET_STRING)?;
            inner.end()?;
            if seed.len() != 32 {
                return Err(KeyError::Der);
            }
            let mut public = None;
            while let Some((tag, value)) = info.next()? {
                if PUBLIC_KEY.contains(&tag) {
                    let bits = if tag == PUBLIC_KEY[1] { Reader(value).value(BIT_STRING)? } else { value };
                    public = Some(whole_octets(bits)?);
                }
            }
            Ok(Pkcs8::Ed25519 { seed, public })
        }
        EC_PUBLIC_KEY => Err(unusable(UnusableKind::EllipticCurve)),
        RSASSA_PSS => Err(unusable(UnusableKind::RsaPss)),
        DSA => Err(unusable(UnusableKind::Dsa)),
        _ => Err(unusable(UnusableKind::OtherAlgorithm)),
    }
}

/// Reads the public numbers of an `RSAPrivateKey` (RFC 8017 appendix A.1.2).
pub(super) fn read_rsa_private(der: &[u8]) -> Result<RsaPublic<'_>, KeyError> {
    let mut outer = Reader(der);
    let mut key = Reader(outer.value(SEQUENCE)?);
    outer.end()?;
    match key.value(INTEGER)? {
        [0] => {}
        [1] => return Err(unusable(UnusableKind::MultiPrime)),
        _ => return Err(KeyError::Der),
    }
    let public = RsaPublic { modulus: key.unsigned()?, exponent: key.unsigned()? };
    // d, p, q, d mod p-1, d mod q-1, the coefficient: the backend holds them against each other.
    for _ in 0..6 {
        key.value(INTEGER)?;
    }
    key.end()?;
    Ok(public)
}

/// Finds the `RSAPublicKey` (RFC 8017 appendix A.1.1) in what p= of a record holds: a `SubjectPublicKeyInfo` (RFC 5280
/// §4.1.2.7), as everyone publishes, or the bare structure, as RFC 6376 §3.6.1 says.
pub(super) fn find_rsa_public(octets: &[u8]) -> Result<&[u8], KeyError> {
    let mut outer = Reader(octets);
    let mut first = Reader(outer.value(SEQUENCE)?);
    outer.end()?;
    if first.0.first() != Some(&SEQUENCE) {
        return Ok(octets);
    }
    match Reader(first.value(SEQUENCE)?).value(OBJECT_IDENTIFIER)? {
        RSA_ENCRYPTION => {}
        EC_PUBLIC_KEY => return Err(unusable(UnusableKind::EllipticCurve)),
        RSASSA_PSS => return Err(unusable(UnusableKind::RsaPss)),
        _ => return Err(unusable(UnusableKind::OtherAlgorithm)),
    }
    let key = whole_octets(first.value(BIT_STRING)?)?;
    first.end()?;
    Ok(key)
}

/// How many octets a SEQUENCE says it has, its own head included, whether they are there or not; none where no SEQUENCE
/// begins.
pub(super) fn declared_length(octets: &[u8]) -> Option<usize> {
    match octets {
        [SEQUENCE, length @ 0..=0x7f, ..] => Some(usize::from(*length) + 2),
        [SEQUENCE, 0x81, length, ..] => Some(usize::from(*length) + 3),
        [SEQUENCE, 0x82, high, low, ..] => Some((usize::from(*high) << 8 | usize::from(*low)) + 4),
        _ => None,
    }
}

/// Reads an `RSAPublicKey` (RFC 8017 appendix A.1.1).
pub(super) fn read_rsa_public(der: &[u8]) -> Result<RsaPublic<'_>, KeyError> {
    let mut outer = Reader(der);
    let mut key = Reader(outer.value(SEQUENCE)?);
    outer.end()?;
    let public = RsaPublic { modulus: key.unsigned()?, exponent: key.unsigned()? };
    key.end()?;
    Ok(public)
}

/// The `SubjectPublicKeyInfo` of an RSA key.
pub(super) fn write_rsa_spki(public: RsaPublic<'_>) -> Vec<u8> {
    let key = element(SEQUENCE, &[unsigned(public.modulus).as_slice(), &unsigned(public.exponent)]);
    element(SEQUENCE, &[rsa_algorithm().as_slice(), &element(BIT_STRING, &[&[0], key.as_slice()])]).to_vec()
}

/// PKCS#8 around an `RSAPrivateKey`.
pub(super) fn write_rsa_pkcs8(key: &[u8]) -> Zeroizing<Vec<u8>> {
    element(SEQUENCE, &[&[INTEGER, 1, 0], rsa_algorithm().as_slice(), &element(OCTET_STRING, &[key])])
}

/// PKCS#8 version 1 around the secret octets of an Ed25519 key, as OpenSSL writes it (RFC 8410 §7).
pub(super) fn write_ed25519_pkcs8(seed: &[u8]) -> Zeroizing<Vec<u8>> {
    let algorithm = element(SEQUENCE, &[&element(OBJECT_IDENTIFIER, &[ED25519])]);
    let key = element(OCTET_STRING, &[&element(OCTET_STRING, &[seed])]);
    element(SEQUENCE, &[&[INTEGER, 1, 0], algorithm.as_slice(), &key])
}

fn rsa_algorithm() -> Zeroizing<Vec<u8>> {
    element(SEQUENCE, &[element(OBJECT_IDENTIFIER, &[RSA_ENCRYPTION]).as_slice(), &[NULL, 0]])
}

fn unusable(found: UnusableKind) -> KeyError {
    KeyError::Unusable { found }
}

/// The octets of a BIT STRING without unused bits.
fn whole_octets(bits: &[u8]) -> Result<&[u8], KeyError> {
    bits.strip_prefix(&[0]).ok_or(KeyError::Der)
}

/// Walks the elements of one DER value.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The next element's tag and value; none at the end.
    fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, KeyError> {
        let [tag, rest @ ..] = self.0 else { return Ok(None) };
        let (length, rest) = match rest {
            [length @ 0..=0x7f, rest @ ..] => (usize::from(*length), rest),
            [0x81, length @ 0x80..=0xff, rest @ ..] => (usize::from(*length), rest),
            [0x82, high @ 1..=0xff, low, rest @ ..] => (usize::from(*high) << 8 | usize::from(*low), rest),
            _ => return Err(KeyError::Der),
        };
        let (value, rest) = rest.split_at_checked(length).ok_or(KeyError::Der)?;
        self.0 = rest;
        Ok(Some((*tag, value)))
    }

    /// The value of the next element, which must have this tag.
    fn value(&mut self, tag: u8) -> Result<&'a [u8], KeyError> {
        match self.next()? {
            Some((found, value)) if found == tag => Ok(value),
            _ => Err(KeyError::Der),
        }
    }

    /// An INTEGER above zero, without its sign octet.
    fn unsigned(&mut self) -> Result<&'a [u8], KeyError> {
        match self.value(INTEGER)? {
            [0, rest @ ..] if rest.first().is_some_and(|first| *first >= 0x80) => Ok(rest),
            value @ [1..=0x7f, ..] => Ok(value),
            _ => Err(KeyError::Der),
        }
    }

    /// Nothing may follow.
    fn end(&self) -> Result<(), KeyError> {
        if self.0.is_empty() { Ok(()) } else { Err(KeyError::Der) }
    }
}

/// One element; its capacity is exact, so that no copy of a secret stays behind.
fn element(tag: u8, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Zeroizing::new(Vec::with_capacity(length + 6));
    out.push(tag);
    match length {
        0..=0x7f => out.push(length as u8),
        0x80..=0xff => out.extend([0x81, length as u8]),
        0x100..=0xffff => out.extend([0x82, (length >> 8) as u8, length as u8]),
        _ => out.extend([0x83, (length >> 16) as u8, (length >> 8) as u8, length as u8]),
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

fn unsigned(value: &[u8]) -> Zeroizing<Vec<u8>> {
    let sign: &[u8] = if value.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    element(INTEGER, &[sign, value])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let modulus = [0xc1; 256];
        let public = RsaPublic { modulus: &modulus, exponent: &[1, 0, 1] };
        let spki = write_rsa_spki(public);
        assert_eq!(read_rsa_public(find_rsa_public(&spki).unwrap()).unwrap(), public);
        assert_eq!(public.bits(), 2048);
        let seed = [7; 32];
        let pkcs8 = write_ed25519_pkcs8(&seed);
        assert!(matches!(read_pkcs8(&pkcs8), Ok(Pkcs8::Ed25519 { seed: read, public: None }) if read == seed));
    }

    #[test]
    fn any_cut_or_extra_octet_is_refused() {
        let pkcs8 = write_ed25519_pkcs8(&[7; 32]);
        for length in 0..pkcs8.len() {
            assert!(read_pkcs8(&pkcs8[..length]).is_err());
        }
        let spki = write_rsa_spki(RsaPublic { modulus: &[0xc1; 256], exponent: &[3] });
        for length in 0..spki.len() {
            assert!(find_rsa_public(&spki[..length]).is_err());
        }
        let longer = [spki.as_slice(), &[0]].concat();
        assert_eq!(find_rsa_public(&longer), Err(KeyError::Der));
    }

    #[test]
    fn arbitrary_octets_do_not_panic() {
        proptest::proptest!(|(octets: Vec<u8>)| {
            let _ = read_pkcs8(&octets);
            let _ = read_rsa_private(&octets);
            let _ = find_rsa_public(&octets).and_then(read_rsa_public);
        });
    }
}
