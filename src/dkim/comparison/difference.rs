//! What a difference is, and what it says.

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

impl Difference {
    pub(super) fn of(signature: &ParsedSignature, what: What) -> Self {
        Self { record: Some((signature.domain.clone(), signature.selector.clone())), what }
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
