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
        // The version first and alone: what else a newer version holds is not ours to judge.
        match serde_json::from_slice(json)? {
            Version { version: VERSION } => {}
            Version { version: found } if found > VERSION => return Err(ManifestError::NewerVersion { found }),
            Version { version: found } => return Err(ManifestError::NoSuchVersion { found }),
        }
        let written: Written = serde_json::from_slice(json)?;
        let domain = written.domain.clone();
        let manifest =
            written.check().map_err(|contradiction| ManifestError::Contradiction { domain, contradiction })?;
        Ok(manifest)
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBinding {
    selector: Selector,
    state: State,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<Held>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    compromised: Option<Compromised>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    witness: Option<Witness>,
    key_id: KeyId,
    algorithm: Algorithm,
    bits: u32,
    public_key: String,
    private_key: PrivateKeyPlace,
    origin: Origin,
    created: Timestamp,
    record_ttl: u32,
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
        let mut signing: Vec<(Algorithm, &Selector)> = Vec::new();
        for (index, binding) in bindings.iter().enumerate() {
            let selector = &binding.selector;
            if bindings[..index].iter().any(|other| other.selector == *selector) {
                return Err(Contradiction::SelectorTwice { selector: selector.clone() });
            }
            if binding.state.name() != StateName::Active {
                continue;
            }
            let algorithm = binding.algorithm();
            if let Some((_, first)) = signing.iter().find(|(other, _)| *other == algorithm) {
                let (first, second) = ((*first).clone(), selector.clone());
                return Err(Contradiction::TwoActive { algorithm, first, second });
            }
            signing.push((algorithm, selector));
        }
        let mut buried = std::collections::HashSet::new();
        for stone in &self.tombstones {
            if !buried.insert(&stone.selector) {
                return Err(Contradiction::SelectorTwice { selector: stone.selector.clone() });
            }
        }
        if let Some(reused) = bindings.iter().find(|binding| buried.contains(&binding.selector)) {
            return Err(Contradiction::SelectorReused { selector: reused.selector.clone() });
        }
        let Self { revision, domain, status, tombstones, .. } = self;
        Ok(DomainManifest { revision, domain, status, bindings, tombstones })
    }
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

    fn check(self) -> Result<Binding, Contradiction> {
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
