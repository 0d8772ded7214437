//! What a difference is called, what it says, and what to do about it.

use std::fmt;

use crate::dkim::canonical::CanonicalizationPair;
use crate::dkim::key::Algorithm;
use crate::dkim::verifier::{InvalidSignature, ParsedSignature};
use crate::names::{DomainName, Selector};

/// One way in which two signers differ on one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Domain and selector of the signature that differs: theirs, or ours where only we sign. None where it says neither.
    pub record: Option<(DomainName, Selector)>,
    /// In what it differs.
    pub what: What,
}

/// In what a signature differs from its counterpart.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// The other signer has none like ours.
    OnlyOurs,
    /// We have none like the other signer's.
    OnlyTheirs,
    /// d=
    Domain {
        /// Ours.
        ours: DomainName,
    },
    /// s=
    Selector {
        /// Ours.
        ours: Selector,
    },
    /// a=
    Algorithm {
        /// The other signer's.
        theirs: Algorithm,
        /// Ours.
        ours: Algorithm,
    },
    /// It was not made with our key of that domain and selector.
    Key,
    /// c=
    Canonicalization {
        /// The other signer's.
        theirs: CanonicalizationPair,
        /// Ours.
        ours: CanonicalizationPair,
    },
    /// Names that their h= has, or has more often, in lower case.
    FieldsNotSigned(Vec<String>),
    /// Names that our h= has, or has more often, in lower case.
    FieldsAdded(Vec<String>),
    /// Their bh= is not the hash of this body.
    BodyHash,
    /// Theirs signs the beginning of the body alone (l=); we do not offer that.
    BodyLength {
        /// l=
        octets: u64,
    },
    /// i=
    Identity {
        /// The other signer's, decoded.
        theirs: String,
        /// Ours.
        ours: String,
    },
    /// x= less t=, in seconds; none where there is no end.
    Lifetime {
        /// The other signer's.
        theirs: Option<u64>,
        /// Ours.
        ours: Option<u64>,
    },
    /// Their field states no signature that anybody could verify.
    Unreadable(InvalidSignature),
}

/// The kind of a difference, by which it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Only we sign.
    OnlyOurs,
    /// Only the other signs.
    OnlyTheirs,
    /// d=
    Domain,
    /// s=
    Selector,
    /// a=
    Algorithm,
    /// Another key behind the same selector.
    Key,
    /// c=
    Canonicalization,
    /// We sign fewer fields.
    FieldsNotSigned,
    /// We sign more fields.
    FieldsAdded,
    /// bh=
    BodyHash,
    /// l=
    BodyLength,
    /// i=
    Identity,
    /// x=
    Lifetime,
    /// No signature at all.
    Unreadable,
}

impl Kind {
    /// All, in the order of their documentation.
    pub const ALL: [Self; 14] = [
        Self::OnlyOurs,
        Self::OnlyTheirs,
        Self::Domain,
        Self::Selector,
        Self::Algorithm,
        Self::Key,
        Self::Canonicalization,
        Self::FieldsNotSigned,
        Self::FieldsAdded,
        Self::BodyHash,
        Self::BodyLength,
        Self::Identity,
        Self::Lifetime,
        Self::Unreadable,
    ];

    /// The kind's stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::OnlyOurs => "only_ours",
            Self::OnlyTheirs => "only_theirs",
            Self::Domain => "domain",
            Self::Selector => "selector",
            Self::Algorithm => "algorithm",
            Self::Key => "key",
            Self::Canonicalization => "canonicalization",
            Self::FieldsNotSigned => "fields_not_signed",
            Self::FieldsAdded => "fields_added",
            Self::BodyHash => "body_hash",
            Self::BodyLength => "body_length",
            Self::Identity => "identity",
            Self::Lifetime => "lifetime",
            Self::Unreadable => "unreadable",
        }
    }

    /// What to do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::OnlyOurs => "if such mail is not to be signed, say so with a [[rule]] that has never = true",
            Self::OnlyTheirs => "see the line's would_reason; `waxseal explain` says what to change",
            Self::Domain => "set sign in a [[rule]], or subdomains in [domain]",
            Self::Selector => {
                "name the selector in a [[rule]] or its map, or activate the key that the other signer uses"
            }
            Self::Algorithm => "activate a key of the other signer's algorithm, or leave it: verifiers take both",
            Self::Key => {
                "do not cut over: import the key that the other signer uses, or compare `waxseal verify` with DNS"
            }
            Self::Canonicalization => "set canonicalization in [signing], [domain] or a [[rule]]",
            Self::FieldsNotSigned => "add the fields to oversign or sign_present",
            Self::FieldsAdded => "nothing to do: more is protected; or take them out of oversign and sign_present",
            Self::BodyHash => "let nothing change the body between the two signers",
            Self::BodyLength => "turn the other signer's l= off (OpenDKIM: BodyLengths)",
            Self::Identity => "set identity in [domain] or a [[rule]]",
            Self::Lifetime => "set expire_after in [signing], [domain] or a [[rule]]",
            Self::Unreadable => "nobody can verify that signature; nothing to do where the other signer makes it so",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl Difference {
    pub(super) fn of(signature: &ParsedSignature, what: What) -> Self {
        Self { record: Some((signature.domain.clone(), signature.selector.clone())), what }
    }

    /// The kind by which it is counted.
    pub fn kind(&self) -> Kind {
        match self.what {
            What::OnlyOurs => Kind::OnlyOurs,
            What::OnlyTheirs => Kind::OnlyTheirs,
            What::Domain { .. } => Kind::Domain,
            What::Selector { .. } => Kind::Selector,
            What::Algorithm { .. } => Kind::Algorithm,
            What::Key => Kind::Key,
            What::Canonicalization { .. } => Kind::Canonicalization,
            What::FieldsNotSigned(_) => Kind::FieldsNotSigned,
            What::FieldsAdded(_) => Kind::FieldsAdded,
            What::BodyHash => Kind::BodyHash,
            What::BodyLength { .. } => Kind::BodyLength,
            What::Identity { .. } => Kind::Identity,
            What::Lifetime { .. } => Kind::Lifetime,
            What::Unreadable(_) => Kind::Unreadable,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((domain, selector)) = &self.record {
            write!(f, "{}: ", selector.record_name(domain))?;
        }
        self.what.fmt(f)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyOurs => f.write_str("only we sign"),
            Self::OnlyTheirs => f.write_str("only the other signs"),
            Self::Domain { ours } => write!(f, "ours is d={ours}"),
            Self::Selector { ours } => write!(f, "ours is s={ours}"),
            Self::Algorithm { theirs, ours } => write!(f, "a={}, ours {}", theirs.a_tag(), ours.a_tag()),
            Self::Key => f.write_str("our key of this selector did not make it"),
            Self::Canonicalization { theirs, ours } => write!(f, "c={}, ours {}", theirs.as_str(), ours.as_str()),
            Self::FieldsNotSigned(names) => write!(f, "our h= lacks {}", names.join(", ")),
            Self::FieldsAdded(names) => write!(f, "our h= has {} besides", names.join(", ")),
            Self::BodyHash => f.write_str("its bh= is not of this body"),
            Self::BodyLength { octets } => write!(f, "l={octets}, ours is of the whole body"),
            Self::Identity { theirs, ours } => write!(f, "i={theirs}, ours {ours}"),
            Self::Lifetime { theirs, ours } => {
                write!(f, "valid {}, ours {}", Seconds(*theirs), Seconds(*ours))
            }
            Self::Unreadable(error) => error.fmt(f),
        }
    }
}

struct Seconds(Option<u64>);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(seconds) => write!(f, "{seconds} s"),
            None => f.write_str("without end"),
        }
    }
}
