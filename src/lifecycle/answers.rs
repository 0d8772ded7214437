//! What one server's answer says of one binding.

use crate::dkim::KeyRecord;
use crate::manifest::Binding;
use crate::observation::{Code, Outcome, RecursiveAnswer, Response, Truncation, Txt, Wildcard, presentation};

/// What an answer says of a binding's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says<'a> {
    /// A record equivalent to ours.
    Ours(&'a Txt),
    /// One record with an empty p=.
    Revoked(&'a Txt),
    /// There is none.
    Absent,
    /// The CNAME that leads on.
    LeadsOn,
    /// Anything else, for people.
    Foreign(String),
}

/// Whether it is an answer to the question, with authority. What is not counts as silence.
pub(super) fn answers_with_authority(outcome: &Outcome) -> bool {
    response(outcome).is_some()
}

/// The answer, if it has authority.
pub(super) fn response(outcome: &Outcome) -> Option<&Response> {
    let Outcome::Answered(response) = outcome else { return None };
    let is_whole = !matches!(response.truncation, Truncation::TcpFailed { .. });
    let is_answer = matches!(response.code, Code::NoError | Code::NxDomain);
    (is_whole && is_answer && response.authoritative).then_some(response)
}

/// What an answer says. `next` is where the chain of CNAMEs was followed to from this name, if it was.
pub(super) fn says<'a>(
    binding: &Binding,
    response: &'a Response,
    next: Option<&str>,
    wildcard: Option<&Wildcard>,
) -> Says<'a> {
    if is_wildcard(response, wildcard) {
        return Says::Absent;
    }
    match (&response.cname, next) {
        (Some(alias), Some(next)) if same_name(&alias.target, next) => Says::LeadsOn,
        (Some(alias), _) => Says::Foreign(format!("it is an alias of {}", presentation(alias.target.as_bytes()))),
        (None, _) => says_txt(binding, &response.txt),
    }
}

/// What a resolver says; in words where it is anything else than a record of ours.
pub(super) fn resolver_says(binding: &Binding, answer: &RecursiveAnswer) -> Result<(), String> {
    match answer {
        RecursiveAnswer::Found { txt, .. } => match says_txt(binding, txt) {
            Says::Ours(_) => Ok(()),
            Says::Revoked(_) => Err("it has the record with an empty p=".into()),
            Says::Absent | Says::LeadsOn => Err("it has no record".into()),
            Says::Foreign(what) => Err(what),
        },
        RecursiveAnswer::Absent { code, ttl: Some(ttl) } => Err(format!("it says {code} for another {ttl} s")),
        RecursiveAnswer::Absent { code, ttl: None } => Err(format!("it says {code}")),
        RecursiveAnswer::Bogus { detail } => {
            Err(format!("it finds the DNSSEC signatures wrong ({})", presentation(detail.as_bytes())))
        }
        RecursiveAnswer::Failed { detail } => Err(format!("it does not answer ({})", presentation(detail.as_bytes()))),
        RecursiveAnswer::NotAsked => Err("it was not asked".into()),
    }
}

/// *Equivalent*: one TXT whose joined strings parse to our k= and p=, without t=y or an h= or s= that excludes mail.
fn says_txt<'a>(binding: &Binding, records: &'a [Txt]) -> Says<'a> {
    let [only] = records else {
        return match records.len() {
            0 => Says::Absent,
            count => Says::Foreign(format!("there are {count} TXT records")),
        };
    };
    let octets = only.joined();
    let foreign = |why: &str| Says::Foreign(format!("{why}: {}", presentation(&octets)));
    let Ok(record) = KeyRecord::parse(&octets) else { return foreign("it is no key record") };
    if record.is_revoked() {
        Says::Revoked(only)
    } else if !record.matches(&binding.public_key) {
        foreign("it has another key")
    } else if record.is_testing() || !record.allows_sha256() || !record.allows_email() {
        foreign("it has our key, but t=, h= or s= keeps it from counting")
    } else {
        Says::Ours(only)
    }
}

/// Whether the answer is what any name gets.
fn is_wildcard(response: &Response, wildcard: Option<&Wildcard>) -> bool {
    let is_same = |other: &Response| match (&response.cname, &other.cname) {
        (Some(mine), Some(theirs)) => same_name(&mine.target, &theirs.target),
        (None, None) => !response.txt.is_empty() && texts(&response.txt) == texts(&other.txt),
        _ => false,
    };
    wildcard.is_some_and(|wildcard| {
        wildcard.answers.iter().any(|answer| self::response(&answer.outcome).is_some_and(is_same))
    })
}

fn texts(records: &[Txt]) -> Vec<Vec<u8>> {
    let mut texts: Vec<_> = records.iter().map(Txt::joined).collect();
    texts.sort_unstable();
    texts
}

pub(super) fn same_name(mine: &str, theirs: &str) -> bool {
    mine.trim_end_matches('.').eq_ignore_ascii_case(theirs.trim_end_matches('.'))
}
