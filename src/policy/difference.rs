//! How we differ from the signer in whose shadow we stand: words that logs and metrics share.

use std::fmt;

use crate::dkim::comparison::{Difference, What};

/// The kind of a difference, by which it is counted, and which the message's log line names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DifferenceKind {
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

impl DifferenceKind {
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

    /// The kind of a difference.
    pub fn of(difference: &Difference) -> Self {
        match difference.what {
            What::OnlyOurs => Self::OnlyOurs,
            What::OnlyTheirs => Self::OnlyTheirs,
            What::Domain { .. } => Self::Domain,
            What::Selector { .. } => Self::Selector,
            What::Algorithm { .. } => Self::Algorithm,
            What::Key => Self::Key,
            What::Canonicalization { .. } => Self::Canonicalization,
            What::FieldsNotSigned(_) => Self::FieldsNotSigned,
            What::FieldsAdded(_) => Self::FieldsAdded,
            What::BodyHash => Self::BodyHash,
            What::BodyLength { .. } => Self::BodyLength,
            What::Identity { .. } => Self::Identity,
            What::Lifetime { .. } => Self::Lifetime,
            What::Unreadable(_) => Self::Unreadable,
        }
    }

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
            Self::BodyLength => "turn the other signer's l= off (OpenDKIM: BodyLengthDB)",
            Self::Identity => "set identity in [domain] or a [[rule]]",
            Self::Lifetime => "set expire_after in [signing], [domain] or a [[rule]]",
            Self::Unreadable => "nobody can verify that signature; nothing to do where the other signer makes it so",
        }
    }
}

impl fmt::Display for DifferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_codes_of_their_own_and_a_remedy() {
        let mut codes: Vec<_> = DifferenceKind::ALL.iter().map(|kind| kind.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), DifferenceKind::ALL.len());
        for (place, kind) in DifferenceKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
            assert!(!kind.remedy().is_empty());
        }
    }
}
