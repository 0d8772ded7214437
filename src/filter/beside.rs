//! Another signer's signatures on a message: found, judged, compared with ours, and taken away where ours replace them.
//!
//! ```text
//! end of header ─▶ Others::of ─ body forms ─▶ end of message ─▶ Others::judge ─▶ Seen ─┬─▶ compared  ─▶ Beside
//!                                                                                   └─▶ resolved  ─▶ Resolution
//! ```

mod report;

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use super::prepare::SignedBy;
use crate::dkim::comparison::{self, Check, Difference, Theirs};
use crate::dkim::verifier::{InvalidSignature, MAX_SIGNATURES, ParsedSignature, first_signatures, signatures};
use crate::dkim::{BodyHashes, Canonicalization, KeyId, SignatureField};
use crate::message::{Headers, Spacing};
use crate::milter::HeaderChanges;
use crate::names::DomainName;
use crate::observe::line::Value;
use crate::policy::DifferenceKind;

pub use report::report_comparisons;

/// The name of the field that a signature is.
pub const SIGNATURE_FIELD: &str = "DKIM-Signature";

/// So much of an explanation is logged, in octets.
const LONGEST_EXPLANATION: usize = 1000;

/// What becomes of our signatures of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// We sign: ours are inserted.
    Signer,
    /// Ours replace those of the signer before us.
    Successor,
    /// Ours are compared with those of the signer before us, and not inserted.
    Shadow,
}

impl Part {
    /// As logs have it; none where we are the only signer.
    pub(super) fn name(self) -> Option<&'static str> {
        match self {
            Self::Signer => None,
            Self::Successor => Some("cutover"),
            Self::Shadow => Some("shadow"),
        }
    }
}

/// The signatures that a message carries, top to bottom.
#[derive(Debug, Default)]
pub(super) struct Others(Vec<Other>);

/// One of them.
#[derive(Debug)]
pub(super) struct Other {
    /// Which of the fields of its name, counted from 1 at the top as MTAs count.
    index: u32,
    /// Whether it stands above all Received fields: no MTA but ours has had the message since it was signed.
    is_fresh: bool,
    signature: Result<ParsedSignature, InvalidSignature>,
}

/// One of them, judged.
#[derive(Debug)]
pub(super) struct Seen {
    other: Other,
    body_hash: Check,
    key: Check,
}

impl Others {
    /// The first signatures of a header.
    pub(super) fn of(headers: &Headers) -> Self {
        let received = headers.iter().position(|field| field.name().eq_ignore_ascii_case(b"received"));
        let places = headers
            .iter()
            .enumerate()
            .filter(|(_, field)| field.name().eq_ignore_ascii_case(SIGNATURE_FIELD.as_bytes()));
        let found = first_signatures(headers, MAX_SIGNATURES).into_iter().zip(places).zip(1..);
        let others = found.map(|((signature, (place, _)), index)| Other {
            index,
            is_fresh: received.is_none_or(|received| place < received),
            signature,
        });
        Self(others.collect())
    }

    /// Those of interest to one who signs for these domains.
    pub(super) fn for_part(mut self, part: Part, domains: &HashSet<DomainName>) -> Self {
        let is_of_ours = |other: &Other| other.domain().is_some_and(|domain| domains.contains(domain));
        self.0.retain(|other| is_of_ours(other) || part != Part::Signer && other.is_fresh);
        self
    }

    /// The domains of fresh signatures, each once.
    pub(super) fn fresh_domains(&self) -> Vec<DomainName> {
        let mut domains: Vec<DomainName> = Vec::new();
        for domain in self.0.iter().filter(|other| other.is_fresh).filter_map(Other::domain) {
            if !domains.contains(domain) {
                domains.push(domain.clone());
            }
        }
        domains
    }

    /// The forms of the body whose hashes they state.
    pub(super) fn body_forms(&self) -> impl Iterator<Item = Canonicalization> {
        let whole = self.0.iter().filter_map(|other| other.signature.as_ref().ok());
        whole.filter(|signature| signature.body_length.is_none()).map(|signature| signature.canonicalization.body)
    }

    /// Judges them when the body is known, by our keys where these are of their domain and selector.
    pub(super) fn judge(self, hashes: &BodyHashes, headers: &Headers, keys: &[SignedBy]) -> Vec<Seen> {
        let judge = |other: Other| {
            let Ok(signature) = &other.signature else {
                return Seen { other, body_hash: Check::Unknown, key: Check::Unknown };
            };
            let body_hash = match (signature.body_length, hashes.of(signature.canonicalization.body)) {
                (None, Some(hash)) if signature.body_hash == hash => Check::Right,
                (None, Some(_)) => Check::Wrong,
                _ => Check::Unknown,
            };
            // What is wrong already need not be verified.
            let own = keys
                .iter()
                .filter(|_| body_hash != Check::Wrong)
                .find(|(domain, key)| *domain == signature.domain && key.selector == signature.selector);
            let key = match own {
                None => Check::Unknown,
                Some((_, key)) if signature.is_made_by(key.key.public(), headers) => Check::Right,
                Some(_) => Check::Wrong,
            };
            Seen { body_hash, key, other }
        };
        self.0.into_iter().map(judge).collect()
    }
}

impl Other {
    fn domain(&self) -> Option<&DomainName> {
        self.signature.as_ref().ok().map(|signature| &signature.domain)
    }
}

impl Seen {
    /// Whether it is a signature of that domain whose body hash is right, so that ours can take its place.
    fn is_replaceable(&self, domain: &DomainName) -> bool {
        self.other.domain() == Some(domain) && self.body_hash == Check::Right
    }

    /// Whether our own key made it, and what is known of the body agrees.
    pub(super) fn is_ours(&self, (domain, key): &SignedBy) -> bool {
        let same_name = |signature: &ParsedSignature| signature.domain == *domain && signature.selector == key.selector;
        self.key == Check::Right && self.other.signature.as_ref().is_ok_and(same_name)
    }

    fn theirs(&self) -> Theirs<'_> {
        Theirs { signature: self.other.signature.as_ref(), body_hash: self.body_hash, key: self.key }
    }
}

/// Keys of ours that the signer before us has as well, as its signatures have shown. Not more than a bound: those beyond it are
/// proven by each message for itself.
#[derive(Debug, Default)]
pub(super) struct ProvenKeys(RwLock<HashSet<KeyId>>);

/// So many are remembered, 32 octets each.
const MOST_PROVEN: usize = 100_000;

impl ProvenKeys {
    /// Whether each of these keys is proven, by this message or by one before it.
    pub(super) fn with(&self, made_by: &[SignedBy], seen: &[Seen]) -> Vec<bool> {
        let is_proven = |key: &SignedBy| {
            let id = key.1.key.id();
            if self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&id) {
                return true;
            }
            let is_proven = seen.iter().any(|seen| seen.is_ours(key));
            if is_proven {
                let mut proven = self.0.write().unwrap_or_else(PoisonError::into_inner);
                if proven.len() < MOST_PROVEN {
                    proven.insert(id);
                }
            }
            is_proven
        };
        made_by.iter().map(is_proven).collect()
    }
}

/// What is inserted and what is taken away.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Resolution {
    /// Which of our signatures are inserted, in their order.
    pub(super) inserted: Vec<bool>,
    /// Which DKIM-Signature fields are deleted, the highest first, so that no deletion moves another.
    pub(super) removed: Vec<u32>,
}

/// What to insert of signatures by these keys, and what to take away, so that the message ends with one valid signature of
/// each domain and selector. `proven` says of each key whether the signer before us is known to have the same.
pub(super) fn resolve(
    part: Part,
    made_by: &[SignedBy],
    proven: &[bool],
    seen: &[Seen],
    changes: HeaderChanges,
    again: SignAgain,
) -> Resolution {
    let is_there = |signed_by: &SignedBy| again == SignAgain::No && seen.iter().any(|seen| seen.is_ours(signed_by));
    match part {
        Part::Shadow => Resolution { inserted: vec![false; made_by.len()], removed: Vec::new() },
        Part::Signer => {
            Resolution { inserted: made_by.iter().map(|key| !is_there(key)).collect(), removed: Vec::new() }
        }
        Part::Successor => {
            let can_succeed = |domain: &DomainName| {
                let replaceable = || seen.iter().any(|seen| seen.is_replaceable(domain));
                let can_remove = changes == HeaderChanges::AddAndChange || again == SignAgain::Yes;
                (can_remove || !replaceable()) && !is_disproved(domain, made_by, proven, seen)
            };
            let stays = |signed_by: &SignedBy| {
                // One of the beginning of the body (l=) is not taken away.
                let partial = |seen: &&Seen| seen.is_ours(signed_by) && seen.body_hash == Check::Unknown;
                again == SignAgain::No && seen.iter().any(|seen| partial(&seen))
            };
            let inserted: Vec<bool> = made_by.iter().map(|key| can_succeed(&key.0) && !stays(key)).collect();
            let is_inserted =
                |domain: &DomainName| made_by.iter().zip(&inserted).any(|(key, is)| *is && key.0 == *domain);
            let is_removed = |seen: &&Seen| {
                seen.other.domain().is_some_and(|domain| seen.is_replaceable(domain) && is_inserted(domain))
            };
            let mut removed: Vec<u32> = Vec::new();
            if changes == HeaderChanges::AddAndChange {
                removed = seen.iter().filter(is_removed).map(|seen| seen.other.index).collect();
                removed.sort_unstable_by(|one, other| other.cmp(one));
            }
            Resolution { inserted, removed }
        }
    }
}

/// Whether one of our keys of that domain seems to be another than the signer before us has under the same selector: ours would
/// then not verify, and theirs must stay. A forged signature shows nothing of a key that has been proven.
fn is_disproved(domain: &DomainName, made_by: &[SignedBy], proven: &[bool], seen: &[Seen]) -> bool {
    let unproven = made_by.iter().zip(proven).filter(|(_, proven)| !**proven).map(|(key, _)| key);
    unproven.filter(|(of, _)| of == domain).any(|key| {
        let same_name = |seen: &&Seen| {
            let signature = seen.other.signature.as_ref();
            signature.is_ok_and(|signature| signature.domain == key.0 && signature.selector == key.1.selector)
        };
        let is_evidence =
            |seen: &Seen| seen.other.is_fresh && seen.body_hash == Check::Right && seen.key == Check::Wrong;
        seen.iter().filter(same_name).any(is_evidence)
    })
}

/// Whether a message that has a signature of the same domain and selector gets another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignAgain {
    /// It does not.
    No,
    /// It was asked for.
    Yes,
}

/// How the signer before us and we differ on one message.
#[derive(Debug)]
pub(super) struct Beside {
    /// None if there are none.
    pub(super) differences: Vec<Difference>,
}

impl Beside {
    /// Holds our finished signatures against theirs.
    pub(super) fn compare(ours: &[SignatureField], seen: &[Seen]) -> Self {
        let mut own = Headers::new();
        for field in ours {
            own.push(SIGNATURE_FIELD.as_bytes(), field.value().as_bytes(), Spacing::AsReceived);
        }
        let ours: Vec<ParsedSignature> = signatures(&own).into_iter().flatten().collect();
        let theirs: Vec<Theirs<'_>> = seen.iter().map(Seen::theirs).collect();
        Self { differences: comparison::compare(&ours, &theirs) }
    }

    /// What differs where we sign nothing, and the other signer has signed for one of these domains; none if it has not.
    pub(super) fn unsigned(others: Others, domains: &[DomainName]) -> Option<Self> {
        let is_meant = |other: &Other| other.is_fresh && other.domain().is_some_and(|domain| domains.contains(domain));
        let judged = |other| Seen { other, body_hash: Check::Unknown, key: Check::Unknown };
        let seen: Vec<Seen> = others.0.into_iter().filter(is_meant).map(judged).collect();
        (!seen.is_empty()).then(|| Self::compare(&[], &seen))
    }

    /// The kinds of the differences, each once, in the order of their documentation.
    pub(super) fn kinds(&self) -> Vec<DifferenceKind> {
        let mut kinds: Vec<_> = self.differences.iter().map(DifferenceKind::of).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// The kinds of the differences and what they say, for the message's log line.
    pub(super) fn append_to(&self, fields: &mut Vec<(&'static str, Value)>) {
        if self.differences.is_empty() {
            fields.push(("differences", Value::Name("none")));
            return;
        }
        let codes: Vec<&str> = self.kinds().into_iter().map(DifferenceKind::code).collect();
        fields.push(("differences", Value::Text(codes.join(","))));
        let said: Vec<String> = self.differences.iter().map(ToString::to_string).collect();
        let mut said = said.join("; ");
        said.truncate(said.floor_char_boundary(LONGEST_EXPLANATION));
        fields.push(("explained", Value::Text(said)));
    }
}

#[cfg(test)]
mod tests;
