//! Key records (RFC 6376 §3.6.1, RFC 8463 §4): what the TXT record at `<selector>._domainkey.<domain>` says.

use std::fmt;

use base64::Engine;

use super::key::{Algorithm, KeyError, PublicKey};
use super::tag_list::{BASE64, TagList, TagListError, items};

/// Most octets of one character-string of a TXT record (RFC 1035 §3.3).
const MAX_STRING: usize = 255;

/// A key record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// v=: whether it says `DKIM1` or leaves that to be understood.
    pub version: RecordVersion,
    /// k=.
    pub key_type: KeyType,
    /// p=, decoded; empty when the key is revoked.
    pub public_key: Vec<u8>,
    /// h=: acceptable hash algorithms; none means all.
    pub hash_algorithms: Option<Vec<String>>,
    /// s=: service types the key is for; none means all.
    pub service_types: Option<Vec<String>>,
    /// t=: flags.
    pub flags: Vec<String>,
    /// n=: a note for people, in quoted-printable (RFC 6376 §2.11) as it stands there.
    pub notes: Option<String>,
    /// Tags that the standards do not define, in their order.
    pub unknown: Vec<(String, String)>,
}

/// v= of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordVersion {
    /// `v=DKIM1`.
    Dkim1,
    /// No v=, which means the same.
    Implied,
}

/// k= of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyType {
    /// `rsa`, also where k= is missing.
    Rsa,
    /// `ed25519` (RFC 8463 §4.1).
    Ed25519,
    /// One that is not known here; such a record must be ignored (RFC 6376 §6.1.2).
    Other(String),
}

/// Why a TXT record is no key record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyRecordError {
    /// The syntax is wrong.
    #[error("the record is no tag list: {0}")]
    Syntax(#[from] TagListError),
    /// v= stands somewhere else than first.
    #[error("`v=` must be the first tag of the record")]
    VersionNotFirst,
    /// v= is not `DKIM1`, to the letter.
    #[error("the record's version is {version:?}; only `v=DKIM1` is a key record")]
    Version {
        /// What stands there.
        version: String,
    },
    /// p= is missing.
    #[error("the record has no `p=`")]
    NoPublicKey,
    /// p= is not base64.
    #[error("the record's `p=` is not base64; look for quotes, backslashes or a lost character")]
    PublicKeyBase64,
}

impl KeyRecord {
    /// The record that publishes a key, as Waxseal writes it.
    pub fn of(key: &PublicKey) -> Self {
        Self { public_key: key.octets().to_vec(), ..Self::revoked(key.algorithm()) }
    }

    /// The record that revokes a key: p= is empty.
    pub fn revoked(algorithm: Algorithm) -> Self {
        Self {
            version: RecordVersion::Dkim1,
            key_type: algorithm.into(),
            public_key: Vec::new(),
            hash_algorithms: None,
            service_types: None,
            flags: Vec::new(),
            notes: None,
            unknown: Vec::new(),
        }
    }

    /// Parses the joined character-strings of a TXT record.
    ///
    /// # Errors
    /// A record with any of these errors must be ignored by verifiers (RFC 6376 §6.1.2).
    pub fn parse(octets: &[u8]) -> Result<Self, KeyRecordError> {
        let tags = TagList::parse(octets)?;
        let version = match tags.iter().position(|(name, _)| name == "v") {
            None => RecordVersion::Implied,
            Some(0) => RecordVersion::Dkim1,
            Some(_) => return Err(KeyRecordError::VersionNotFirst),
        };
        if let Some(version) = tags.text("v").filter(|version| version != "DKIM1") {
            return Err(KeyRecordError::Version { version });
        }
        let public_key = tags.base64("p").ok_or(KeyRecordError::NoPublicKey)?.ok_or(KeyRecordError::PublicKeyBase64)?;
        let unknown = tags
            .iter()
            .filter(|(name, _)| !["v", "k", "p", "h", "s", "t", "n"].contains(name))
            .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        Ok(Self {
            version,
            key_type: tags.value("k").map_or(KeyType::Rsa, KeyType::parse),
            public_key,
            hash_algorithms: tags.value("h").map(items),
            service_types: tags.value("s").map(items),
            flags: tags.value("t").map(items).unwrap_or_default(),
            notes: tags.text("n"),
            unknown,
        })
    }

    /// Whether p= is empty.
    pub fn is_revoked(&self) -> bool {
        self.public_key.is_empty()
    }

    /// Whether h= allows SHA-256.
    pub fn allows_sha256(&self) -> bool {
        self.hash_algorithms.as_ref().is_none_or(|names| has(names, "sha256"))
    }

    /// Whether s= allows e-mail.
    pub fn allows_email(&self) -> bool {
        self.service_types.as_ref().is_none_or(|types| has(types, "*") || has(types, "email"))
    }

    /// Whether t= holds y: the domain tests DKIM, a failure must not be held against it.
    pub fn is_testing(&self) -> bool {
        has(&self.flags, "y")
    }

    /// Whether t= holds s: the domain of i= must be d=, not below it.
    pub fn is_strict(&self) -> bool {
        has(&self.flags, "s")
    }

    /// The key it publishes; none when it is revoked or k= is not known here.
    pub fn key(&self) -> Option<Result<PublicKey, KeyError>> {
        let algorithm = match self.key_type {
            _ if self.is_revoked() => return None,
            KeyType::Rsa => Algorithm::RsaSha256,
            KeyType::Ed25519 => Algorithm::Ed25519Sha256,
            KeyType::Other(_) => return None,
        };
        Some(PublicKey::from_octets(algorithm, &self.public_key))
    }

    /// Whether it publishes this key, in whichever of the two forms RSA has.
    pub fn matches(&self, key: &PublicKey) -> bool {
        matches!(self.key(), Some(Ok(published)) if published.is_same(key))
    }

    /// The record as the character-strings of a TXT record: of 255 octets, the last one shorter.
    pub fn txt_strings(&self) -> Vec<String> {
        let mut rest = self.to_string();
        let mut strings = Vec::new();
        while rest.len() > MAX_STRING {
            let cut = rest.floor_char_boundary(MAX_STRING);
            let tail = rest.split_off(cut);
            strings.push(std::mem::replace(&mut rest, tail));
        }
        strings.push(rest);
        strings
    }
}

impl fmt::Display for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.version == RecordVersion::Dkim1 {
            f.write_str("v=DKIM1; ")?;
        }
        write!(f, "k={}; ", self.key_type)?;
        if let Some(names) = &self.hash_algorithms {
            write!(f, "h={}; ", names.join(":"))?;
        }
        if let Some(types) = &self.service_types {
            write!(f, "s={}; ", types.join(":"))?;
        }
        if !self.flags.is_empty() {
            write!(f, "t={}; ", self.flags.join(":"))?;
        }
        if let Some(notes) = &self.notes {
            write!(f, "n={notes}; ")?;
        }
        for (name, value) in &self.unknown {
            write!(f, "{name}={value}; ")?;
        }
        write!(f, "p={}", BASE64.encode(&self.public_key))
    }
}

impl KeyType {
    fn parse(value: &[u8]) -> Self {
        if value.eq_ignore_ascii_case(b"rsa") {
            Self::Rsa
        } else if value.eq_ignore_ascii_case(b"ed25519") {
            Self::Ed25519
        } else {
            Self::Other(String::from_utf8_lossy(value).into_owned())
        }
    }
}

impl From<Algorithm> for KeyType {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::RsaSha256 => Self::Rsa,
            Algorithm::Ed25519Sha256 => Self::Ed25519,
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => Algorithm::RsaSha256.k_tag(),
            Self::Ed25519 => Algorithm::Ed25519Sha256.k_tag(),
            Self::Other(name) => name,
        })
    }
}

fn has(list: &[String], item: &str) -> bool {
    list.iter().any(|other| other.eq_ignore_ascii_case(item))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dkim::key::{KeyKind, PrivateKey};

    /// RFC 8463 appendix A.3.
    const ED25519: &str = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

    fn parse(record: &str) -> KeyRecord {
        KeyRecord::parse(record.as_bytes()).unwrap()
    }

    #[test]
    fn a_record_is_printed_and_read_back() {
        for kind in [KeyKind::default(), KeyKind::Ed25519] {
            let key = PrivateKey::generate(kind).unwrap();
            let record = KeyRecord::of(key.public());
            let text = record.to_string();
            assert!(text.starts_with(&format!("v=DKIM1; k={}; p=", kind.algorithm().k_tag())));
            assert_eq!(parse(&text), record);
            assert!(record.matches(key.public()));
            assert_eq!(record.txt_strings().concat(), text);
            assert!(record.txt_strings().iter().all(|string| string.len() <= 255));
        }
        assert_eq!(parse(ED25519).to_string(), ED25519);
        let revoked = KeyRecord::revoked(Algorithm::RsaSha256);
        assert_eq!(revoked.to_string(), "v=DKIM1; k=rsa; p=");
        assert!(parse("v=DKIM1; p=").is_revoked());
    }

    #[test]
    fn every_tag_is_kept() {
        let record = parse("v=DKIM1; h=sha1 : sha256; s=email; t=y:s; n=a=20note; x=1; g=; k=rsa; p=QUJD");
        assert!(record.allows_sha256() && record.allows_email() && record.is_testing() && record.is_strict());
        assert_eq!(record.notes.as_deref(), Some("a=20note"));
        assert_eq!(record.unknown, [("x".into(), "1".into()), ("g".into(), String::new())]);
        assert_eq!(parse(&record.to_string()), record);
    }

    #[test]
    fn h_and_s_exclude() {
        assert!(!parse("h=sha1; p=QUJD").allows_sha256());
        assert!(!parse("s=tlsrpt; p=QUJD").allows_email());
        assert!(parse("s=tlsrpt:*; p=QUJD").allows_email());
        assert!(parse("p=QUJD").allows_email() && parse("p=QUJD").allows_sha256());
    }

    #[test]
    fn what_is_no_key_record_is_told() {
        let error = |record: &str| KeyRecord::parse(record.as_bytes()).unwrap_err();
        assert_eq!(error("k=rsa; v=DKIM1; p="), KeyRecordError::VersionNotFirst);
        assert_eq!(error("v=dkim1; p="), KeyRecordError::Version { version: "dkim1".into() });
        assert_eq!(error("v=spf1 -all"), KeyRecordError::Version { version: "spf1 -all".into() });
        assert_eq!(error("v=DKIM1; k=rsa"), KeyRecordError::NoPublicKey);
        assert_eq!(error("v=DKIM1; p=\"QUJD\""), KeyRecordError::PublicKeyBase64);
        assert!(matches!(error("v=DKIM1; p=; p=QUJD"), KeyRecordError::Syntax(TagListError::Duplicate { .. })));
    }

    #[test]
    fn base64_may_be_folded_and_its_padding_missing() {
        assert_eq!(parse("p=QU JD\tRA").public_key, b"ABCD");
        assert_eq!(parse("p=QUJDRA==;").public_key, b"ABCD");
    }

    #[test]
    fn another_key_and_another_type_do_not_match() {
        let key = PrivateKey::generate(KeyKind::Ed25519).unwrap();
        assert!(!parse(ED25519).matches(key.public()));
        let record = KeyRecord { key_type: KeyType::Other("x".into()), ..KeyRecord::of(key.public()) };
        assert!(!record.matches(key.public()));
        assert!(!KeyRecord::revoked(Algorithm::Ed25519Sha256).matches(key.public()));
    }

    #[test]
    fn arbitrary_records_do_not_panic() {
        proptest::proptest!(|(octets: Vec<u8>)| {
            let _ = KeyRecord::parse(&octets).map(|record| (record.key(), record.txt_strings()));
        });
    }
}
