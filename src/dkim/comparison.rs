//! The signatures of two signers of one message, held against each other.
//!
//! Signatures need not be equal to be as good: what is compared is what a receiver judges by, and what a later change of the
//! message would break.

mod difference;

use std::collections::BTreeMap;

use super::verifier::{InvalidSignature, ParsedSignature};

pub use difference::{Difference, What};

/// Whether something that a signature states is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It is.
    Right,
    /// It is not.
    Wrong,
    /// It could not be found out.
    Unknown,
}

/// A signature of the other signer, and what was found out about it.
#[derive(Debug, Clone, Copy)]
pub struct Theirs<'a> {
    /// What its field states, or why it states nothing.
    pub signature: Result<&'a ParsedSignature, &'a InvalidSignature>,
    /// Whether bh= is the hash of the message's body. Unknown where l= is given.
    pub body_hash: Check,
    /// Whether our key of the same domain and selector made it. Unknown where we have none.
    pub key: Check,
}

/// The ways in which the other signer's signatures differ from ours; none if a receiver sees no difference.
///
/// Each of ours is held against the one of theirs that is most like it: of the same domain and selector, else of the same
/// domain, else of the same algorithm. What then is left on either side has no counterpart.
pub fn compare(ours: &[ParsedSignature], theirs: &[Theirs<'_>]) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut left: Vec<(&ParsedSignature, &Theirs<'_>)> = Vec::new();
    for other in theirs {
        match other.signature {
            Ok(signature) => left.push((signature, other)),
            Err(error) => differences.push(Difference { record: None, what: What::Unreadable(error.clone()) }),
        }
    }
    let mut alone: Vec<&ParsedSignature> = ours.iter().collect();
    let closest: [fn(&ParsedSignature, &ParsedSignature) -> bool; 4] = [
        |one, other| one.domain == other.domain && one.selector == other.selector,
        |one, other| one.domain == other.domain && one.algorithm == other.algorithm,
        |one, other| one.domain == other.domain,
        |one, other| one.algorithm == other.algorithm,
    ];
    for is_like in closest {
        alone.retain(|our| {
            let Some(at) = left.iter().position(|(their, _)| is_like(our, their)) else { return true };
            let (their, seen) = left.remove(at);
            differences.extend(pair(our, their, seen));
            false
        });
    }
    differences.extend(alone.into_iter().map(|our| Difference::of(our, What::OnlyOurs)));
    differences.extend(left.into_iter().map(|(their, _)| Difference::of(their, What::OnlyTheirs)));
    differences
}

fn pair(our: &ParsedSignature, their: &ParsedSignature, seen: &Theirs<'_>) -> Vec<Difference> {
    let mut found = Vec::new();
    if their.domain != our.domain {
        found.push(What::Domain { ours: our.domain.clone() });
    } else if their.selector != our.selector {
        found.push(What::Selector { ours: our.selector.clone() });
    }
    if their.algorithm != our.algorithm {
        found.push(What::Algorithm { theirs: their.algorithm, ours: our.algorithm });
    }
    if seen.key == Check::Wrong {
        found.push(What::Key);
    }
    if their.canonicalization != our.canonicalization {
        found.push(What::Canonicalization { theirs: their.canonicalization, ours: our.canonicalization });
    }
    let (names_of_theirs, names_of_ours) = (counted(their), counted(our));
    let not_signed = beyond(&names_of_theirs, &names_of_ours);
    if !not_signed.is_empty() {
        found.push(What::FieldsNotSigned(not_signed));
    }
    let added = beyond(&names_of_ours, &names_of_theirs);
    if !added.is_empty() {
        found.push(What::FieldsAdded(added));
    }
    if seen.body_hash == Check::Wrong {
        found.push(What::BodyHash);
    }
    if let Some(octets) = their.body_length {
        found.push(What::BodyLength { octets });
    }
    // One without i= stands for the domain (RFC 6376 §3.5). Domains of different signatures differ anyway.
    let is_default = |signature: &ParsedSignature| signature.auid == format!("@{}", signature.domain);
    let is_same = same_auid(their, our) || is_default(their) && is_default(our);
    if !is_same {
        found.push(What::Identity { theirs: their.auid.clone(), ours: our.auid.clone() });
    }
    let (of_theirs, of_ours) = (lifetime(their), lifetime(our));
    if of_theirs != of_ours {
        found.push(What::Lifetime { theirs: of_theirs, ours: of_ours });
    }
    found.into_iter().map(|what| Difference::of(their, what)).collect()
}

fn same_auid(one: &ParsedSignature, other: &ParsedSignature) -> bool {
    let local_part = |signature: &ParsedSignature| signature.auid.rsplit_once('@').map(|(local, _)| local.to_owned());
    one.auid_domain == other.auid_domain && local_part(one) == local_part(other)
}

/// How often h= names each field.
fn counted(signature: &ParsedSignature) -> BTreeMap<String, usize> {
    let mut names = BTreeMap::new();
    for name in &signature.signed_fields {
        *names.entry(name.to_ascii_lowercase()).or_default() += 1;
    }
    names
}

/// The names that one has more often than the other, each once.
fn beyond(one: &BTreeMap<String, usize>, other: &BTreeMap<String, usize>) -> Vec<String> {
    let is_beyond = |(name, count): &(&String, &usize)| other.get(*name).is_none_or(|theirs| theirs < count);
    one.iter().filter(is_beyond).map(|(name, _)| name.clone()).collect()
}

/// Seconds from t= to x=. Without t= nobody can say.
fn lifetime(signature: &ParsedSignature) -> Option<u64> {
    let seconds = signature.expiration?.as_second() - signature.timestamp?.as_second();
    u64::try_from(seconds).ok()
}

#[cfg(test)]
mod tests;
