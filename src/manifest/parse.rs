//! Manifests from and to JSON. What comes out of [`DomainManifest::parse`] is consistent; the rest is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::v1::{
    Binding, Compromised, DomainManifest, Held, Origin, PrivateKeyPlace, State, StateName, Status, Tombstone, Witness,
};
use crate::dkim::key::{Algorithm, KeyId, PublicKey};
use crate::names::{DomainName, Selector};

/// The version of the format that is written, and the only one that is read.
const VERSION: u64 = 1;

/// Why octets are no manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Not JSON, or not the fields of a manifest. The cause has line and column.
    #[error("not a manifest: {0}")]
    Syntax(#[from] serde_json::Error),
    /// Written by a newer waxseal.
    #[error(
        "this is version {found} of the manifest format, written by a newer waxseal; this waxseal reads version \
         {VERSION}: upgrade it, or restore the manifest of before"
    )]
    NewerVersion {
        /// The version it is in.
        found: u64,
    },
    /// No such version was ever.
    #[error("there is no version {found} of the manifest format; this waxseal reads version {VERSION}")]
    NoSuchVersion {
        /// The version it claims to be in.
        found: u64,
    },
    /// Well-formed, but it cannot be.
    #[error("the manifest of {domain} contradicts itself: {contradiction}")]
    Contradiction {
        /// The domain it is about.
        domain: DomainName,
        /// What cannot be.
        contradiction: Contradiction,
    },
}

/// What cannot be in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Contradiction {
    /// Revision 0 is that of a manifest that was never written.
    #[error("its revision is 0; written manifests begin at 1")]
    NeverWritten,
    /// Two bindings, or two tombstones, have the same selector.
    #[error("selector {selector} is there twice")]
    SelectorTwice {
        /// The selector.
        selector: Selector,
    },
    /// A selector has both a binding and a tombstone.
    #[error("selector {selector} was removed once and is bound again; a selector never gets a second key")]
    SelectorReused {
        /// The selector.
        selector: Selector,
    },
    /// `public_key` is not a public key of its algorithm.
    #[error("public_key of selector {selector} is not base64 of an {algorithm} key")]
    PublicKey {
        /// The binding.
        selector: Selector,
        /// Its algorithm.
        algorithm: Algorithm,
    },
    /// `key_id` is not the SHA-256 of `public_key`.
    #[error("key_id of selector {selector} is {key_id}, but its public_key has the id {actual}")]
    KeyId {
        /// The binding.
        selector: Selector,
        /// The id as written.
        key_id: KeyId,
        /// The id that the public key has.
        actual: KeyId,
    },
    /// `bits` is not the size of `public_key`.
    #[error("selector {selector} says {bits} bits, but its public_key has {actual}")]
    Bits {
        /// The binding.
        selector: Selector,
        /// The size as written.
        bits: u32,
        /// The size that the public key has.
        actual: u32,
    },
    /// A domain signs with one key of an algorithm at a time.
    #[error("selectors {first} and {second} are both active with {algorithm}; one key of an algorithm signs at a time")]
    TwoActive {
        /// The algorithm.
        algorithm: Algorithm,
        /// The binding that stands first.
        first: Selector,
        /// The other one.
        second: Selector,
    },
    /// A revoked or withdrawn key's private part is destroyed.
    #[error("selector {selector} is {state}, but still says that it has a private key")]
    PrivateKeyKept {
        /// The binding.
        selector: Selector,
        /// Its state.
        state: StateName,
    },
}

impl DomainManifest {
    /// Reads a manifest.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        let written = match serde_json::from_slice::<Written>(json) {
            Ok(written) if written.version == VERSION => written,
            // The version before all else: what a newer version holds besides is not ours to judge.
            read => match serde_json::from_slice(json)? {
                Version { version: VERSION } => read?,
                Version { version: found } if found > VERSION => return Err(ManifestError::NewerVersion { found }),
                Version { version: found } => return Err(ManifestError::NoSuchVersion { found }),
            },
        };
        let domain = written.domain.clone();
        let manifest =
            written.check().map_err(|contradiction| ManifestError::Contradiction { domain, contradiction })?;
        Ok(manifest)
    }

    /// The same domain with other bindings and tombstones.
    ///
    /// # Errors
    /// If they contradict each other.
    pub(crate) fn with_bindings(
        &self,
        bindings: Vec<Binding>,
        tombstones: Vec<Tombstone>,
    ) -> Result<Self, Contradiction> {
        match contradictions(&bindings, &tombstones).into_iter().next() {
            Some((_, contradiction)) => Err(contradiction),
            None => Ok(Self { bindings, tombstones, ..self.clone() }),
        }
    }

    /// The same keys under another status.
    pub(crate) fn with_status(&self, status: Status) -> Self {
        Self { status, ..self.clone() }
    }

    /// Writes it, indented, with the fields in their documented order and a final line feed.
    ///
    /// # Errors
    /// None that this type can cause; serialisation is fallible by its signature.
    pub fn to_json(&self) -> Result<String, ManifestError> {
        let mut json = serde_json::to_string_pretty(&Written::of(self))?;
        json.push('\n');
        Ok(json)
    }
}

#[derive(Deserialize)]
struct Version {
    version: u64,
}

/// A manifest as it stands in JSON, unchecked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u64,
    revision: u64,
    domain: DomainName,
    status: Status,
    bindings: Vec<WrittenBinding>,
    tombstones: Vec<Tombstone>,
}

/// A binding as it stands in JSON, unchecked.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenBinding {
    pub(super) selector: Selector,
    pub(super) state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<Held>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) compromised: Option<Compromised>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) witness: Option<Witness>,
    pub(super) key_id: KeyId,
    pub(super) algorithm: Algorithm,
    pub(super) bits: u32,
    pub(super) public_key: String,
    pub(super) private_key: PrivateKeyPlace,
    pub(super) origin: Origin,
    pub(super) created: Timestamp,
    pub(super) record_ttl: u32,
}

impl Written {
    fn of(manifest: &DomainManifest) -> Self {
        Self {
            version: VERSION,
            revision: manifest.revision,
            domain: manifest.domain.clone(),
            status: manifest.status,
            bindings: manifest.bindings.iter().map(WrittenBinding::of).collect(),
            tombstones: manifest.tombstones.clone(),
        }
    }

    fn check(self) -> Result<DomainManifest, Contradiction> {
        if self.revision == 0 {
            return Err(Contradiction::NeverWritten);
        }
        let bindings = self.bindings.into_iter().map(WrittenBinding::check).collect::<Result<Vec<_>, _>>()?;
        if let Some((_, contradiction)) = contradictions(&bindings, &self.tombstones).into_iter().next() {
            return Err(contradiction);
        }
        let Self { revision, domain, status, tombstones, .. } = self;
        Ok(DomainManifest { revision, domain, status, bindings, tombstones })
    }
}

/// Where in a manifest a contradiction shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spot {
    /// The binding of this index.
    Binding(usize),
    /// The tombstone of this index.
    Tombstone(usize),
}

/// What cannot be among bindings and tombstones that are each sound.
pub(super) fn contradictions(bindings: &[Binding], tombstones: &[Tombstone]) -> Vec<(Spot, Contradiction)> {
    let mut found = Vec::new();
    let mut signing: Vec<(Algorithm, &Selector)> = Vec::new();
    for (index, binding) in bindings.iter().enumerate() {
        let (spot, selector) = (Spot::Binding(index), &binding.selector);
        if bindings[..index].iter().any(|other| other.selector == *selector) {
            found.push((spot, Contradiction::SelectorTwice { selector: selector.clone() }));
        }
        if binding.state.name() != StateName::Active {
            continue;
        }
        let algorithm = binding.algorithm();
        if let Some((_, first)) = signing.iter().find(|(other, _)| *other == algorithm) {
            let (first, second) = ((*first).clone(), selector.clone());
            found.push((spot, Contradiction::TwoActive { algorithm, first, second }));
        }
        signing.push((algorithm, selector));
    }
    let mut buried = std::collections::HashSet::new();
    for (index, stone) in tombstones.iter().enumerate() {
        if !buried.insert(&stone.selector) {
            let selector = stone.selector.clone();
            found.push((Spot::Tombstone(index), Contradiction::SelectorTwice { selector }));
        }
    }
    // A fixed slot has the tombstone of its last key beside its present one; only one that says how it ended may.
    let is_final = |stone: &&Tombstone| stone.end.is_none();
    let buried: std::collections::HashSet<_> =
        tombstones.iter().filter(is_final).map(|stone| &stone.selector).collect();
    for (index, binding) in bindings.iter().enumerate() {
        if buried.contains(&binding.selector) {
            let selector = binding.selector.clone();
            found.push((Spot::Binding(index), Contradiction::SelectorReused { selector }));
        }
    }
    found
}

impl WrittenBinding {
    fn of(binding: &Binding) -> Self {
        Self {
            selector: binding.selector.clone(),
            state: binding.state.clone(),
            held: binding.held.clone(),
            compromised: binding.compromised.clone(),
            witness: binding.witness.clone(),
            key_id: binding.key_id(),
            algorithm: binding.algorithm(),
            bits: binding.public_key.bits(),
            public_key: STANDARD.encode(binding.public_key.octets()),
            private_key: binding.private_key,
            origin: binding.origin,
            created: binding.created,
            record_ttl: binding.record_ttl,
        }
    }

    pub(super) fn check(self) -> Result<Binding, Contradiction> {
        let Self { selector, algorithm, bits, .. } = self;
        let public_key =
            STANDARD.decode(&self.public_key).ok().and_then(|octets| PublicKey::from_octets(algorithm, &octets).ok());
        let Some(public_key) = public_key else {
            return Err(Contradiction::PublicKey { selector, algorithm });
        };
        if public_key.id() != self.key_id {
            return Err(Contradiction::KeyId { selector, key_id: self.key_id, actual: public_key.id() });
        }
        if public_key.bits() != bits {
            return Err(Contradiction::Bits { selector, bits, actual: public_key.bits() });
        }
        let state = self.state.name();
        if matches!(state, StateName::Revoked | StateName::Withdrawn) && self.private_key != PrivateKeyPlace::None {
            return Err(Contradiction::PrivateKeyKept { selector, state });
        }
        Ok(Binding {
            selector,
            state: self.state,
            held: self.held,
            compromised: self.compromised,
            witness: self.witness,
            public_key,
            private_key: self.private_key,
            origin: self.origin,
            created: self.created,
            record_ttl: self.record_ttl,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A manifest with a binding in every state and every optional field.
    fn full() -> Value {
        let key = |octet: u8| {
            let public_key = PublicKey::from_octets(Algorithm::Ed25519Sha256, &[octet; 32]).unwrap();
            (public_key.id().to_string(), STANDARD.encode(public_key.octets()))
        };
        let at = "2026-11-23T16:37:31Z";
        let later = "2026-12-23T16:37:31Z";
        let states = [
            json!({ "generated": { "since": at, "by": "operator", "largest_ttl": 7200 } }),
            json!({ "published": { "since": at, "by": "waits", "acknowledged": at, "rounds_seen": 2, "first_seen": at, "first_seen_after": 5, "confirmed_after": 305, "largest_ttl": 3600 } }),
            json!({ "ready": { "since": at, "by": "waits", "settled": at, "largest_ttl": 3600, "last_seen": at } }),
            json!({ "active": { "since": at, "by": "import", "previous": "s4", "largest_ttl": 300 } }),
            json!({ "retiring": { "since": at, "by": "operator", "successor": "s3", "not_withdrawn_before": later, "last_used": at, "largest_ttl": 3600, "withdrawal_begun": later, "acknowledged": later } }),
            json!({ "revoked": { "since": at, "by": "waits", "not_withdrawn_before": later, "largest_ttl": 3600, "acknowledged": later } }),
            json!({ "withdrawn": { "since": at, "by": "waits", "forgotten_after": later } }),
        ];
        let bindings: Vec<Value> = states
            .into_iter()
            .enumerate()
            .map(|(index, state)| {
                let (key_id, public_key) = key(index as u8);
                let place = ["own", "own", "shared", "own", "own", "none", "none"][index];
                json!({
                    "selector": format!("s{index}"),
                    "state": state,
                    "held": { "since": at, "reason": "conflict", "evidence": "v=spf1" },
                    "compromised": { "since": at, "meanwhile": "sign" },
                    "witness": { "waited": 300, "at": at, "boot_id": "5e1d", "boot_time": 86400 },
                    "key_id": key_id,
                    "algorithm": "ed25519-sha256",
                    "bits": 256,
                    "public_key": public_key,
                    "private_key": place,
                    "origin": "generated",
                    "created": at,
                    "record_ttl": 3600,
                })
            })
            .collect();
        json!({
            "version": 1,
            "revision": 7,
            "domain": "example.com",
            "status": "enabled",
            "bindings": bindings,
            "tombstones": [
                { "selector": "old", "key_id": key(99).0, "removed": at },
                { "selector": "s1", "key_id": key(98).0, "removed": at, "end": "forgotten" },
                { "selector": "s3", "key_id": key(97).0, "removed": at,
                  "end": { "removed": { "mail_until": later, "largest_ttl": 3600 } } },
            ],
        })
    }

    fn parse(manifest: &Value) -> Result<DomainManifest, ManifestError> {
        DomainManifest::parse(manifest.to_string().as_bytes())
    }

    fn contradiction(change: impl FnOnce(&mut Value)) -> Contradiction {
        let mut manifest = full();
        change(&mut manifest);
        match parse(&manifest) {
            Err(ManifestError::Contradiction { contradiction, .. }) => contradiction,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_state_and_field_reads_back_as_it_was_written() {
        let manifest = parse(&full()).unwrap();
        let json = manifest.to_json().unwrap();
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), full());
        assert_eq!(DomainManifest::parse(json.as_bytes()).unwrap(), manifest);
        assert!(json.starts_with("{\n  \"version\": 1,\n  \"revision\": 7,\n  \"domain\": \"example.com\",\n"));
        assert!(json.ends_with("}\n"));
    }

    #[test]
    fn a_newer_version_is_named_whatever_else_it_holds() {
        let json = br#"{"version": 2, "domains": ["a"], "revision": "x"}"#;
        let error = DomainManifest::parse(json).unwrap_err();
        assert!(matches!(error, ManifestError::NewerVersion { found: 2 }));
        assert!(error.to_string().contains("version 2") && error.to_string().contains("newer waxseal"));
        assert!(matches!(DomainManifest::parse(br#"{"version":0}"#), Err(ManifestError::NoSuchVersion { found: 0 })));
    }

    #[test]
    fn unknown_fields_are_refused_at_every_depth() {
        for path in ["", "/bindings/0", "/bindings/1/state/published", "/bindings/0/held", "/tombstones/0"] {
            let mut manifest = full();
            manifest.pointer_mut(path).unwrap()["from_the_future"] = json!(1);
            let error = parse(&manifest).unwrap_err();
            assert!(error.to_string().contains("from_the_future"), "{path}: {error}");
        }
    }

    #[test]
    fn a_syntax_error_has_its_line_and_column() {
        let json = full();
        let text = serde_json::to_string_pretty(&json).unwrap().replacen("\"enabled\"", "\"on\"", 1);
        let line = text.lines().position(|line| line.contains("\"on\"")).unwrap() + 1;
        let Err(ManifestError::Syntax(error)) = DomainManifest::parse(text.as_bytes()) else { panic!() };
        assert_eq!(error.line(), line);
        assert!(error.column() > 0);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let selector = |name: &str| Selector::parse(name).unwrap();
        assert_eq!(contradiction(|json| json["revision"] = json!(0)), Contradiction::NeverWritten);
        assert_eq!(
            contradiction(|json| json["bindings"][1]["selector"] = json!("s0")),
            Contradiction::SelectorTwice { selector: selector("s0") }
        );
        assert_eq!(
            contradiction(|json| json["tombstones"][0]["selector"] = json!("s0")),
            Contradiction::SelectorReused { selector: selector("s0") }
        );
        assert!(matches!(
            contradiction(|json| json["bindings"][0]["key_id"] = json["bindings"][1]["key_id"].clone()),
            Contradiction::KeyId { .. }
        ));
        assert!(matches!(
            contradiction(|json| json["bindings"][0]["public_key"] = json!("AAAA")),
            Contradiction::PublicKey { .. }
        ));
        assert_eq!(
            contradiction(|json| json["bindings"][0]["bits"] = json!(255)),
            Contradiction::Bits { selector: selector("s0"), bits: 255, actual: 256 }
        );
        assert!(matches!(
            contradiction(|json| json["bindings"][0]["state"] = json["bindings"][3]["state"].clone()),
            Contradiction::TwoActive { .. }
        ));
        assert!(matches!(
            contradiction(|json| json["bindings"][5]["private_key"] = json!("own")),
            Contradiction::PrivateKeyKept { state: StateName::Revoked, .. }
        ));
    }

    #[test]
    fn a_compromised_key_does_not_sign_unless_it_is_told_to_sign_on() {
        let mut sound = full();
        assert_eq!(parse(&sound).unwrap().presence(), crate::manifest::Presence::Active);
        sound["bindings"][3]["compromised"].as_object_mut().unwrap().remove("meanwhile");
        assert_eq!(parse(&sound).unwrap().presence(), crate::manifest::Presence::NoActiveKey);
        sound["bindings"][3].as_object_mut().unwrap().remove("compromised");
        assert_eq!(parse(&sound).unwrap().presence(), crate::manifest::Presence::Active);
        sound["status"] = json!("leaving");
        assert_eq!(parse(&sound).unwrap().presence(), crate::manifest::Presence::NoActiveKey);
    }

    #[test]
    fn nothing_panics_on_octets_that_are_no_manifest() {
        for octets in [&b""[..], b"\xff\xfe", b"[]", b"{}", b"{\"version\":1}", b"null", b"{\"version\":1e99}"] {
            assert!(DomainManifest::parse(octets).is_err());
        }
    }
}
