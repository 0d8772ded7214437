//! What resolvers keep, and for how long: D10, D12, and how long signatures last (D13).

use jiff::{SignedDuration, Timestamp};

use super::Rule;
use super::about::{Case, printable, shown, shown_name, span};
use super::seen::{Said, Seen, Sighting, Source, same_texts};
use crate::finding::{Finding, Severity};
use crate::observation::{Outcome, RecursiveAnswer, Txt};

/// TTLs above this make every change slow, in seconds.
pub(super) const LONG_TTL: u32 = 86_400;

/// TTLs below this cost a look-up for nearly every message, in seconds.
const SHORT_TTL: u32 = 300;

/// Signatures that are renewed in time never get as close to their end as this.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(12);

pub(super) fn judge(case: &Case<'_>, sighting: &Sighting<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(ttl(case));
    findings.extend(signatures(case));
    if matches!(sighting.source, Source::Servers(1..)) {
        findings.extend(resolver(case, sighting));
    }
    findings
}

/// The longest and the shortest TTL on the way to the record, as its own servers have it.
fn ttl(case: &Case<'_>) -> Vec<Finding> {
    let mut all: Vec<(u32, &str)> = Vec::new();
    for hop in &case.key.observation.hops {
        for answer in &hop.answers {
            let ttls: Vec<u32> = match Said::of(&answer.outcome) {
                Said::Txt(records) => records.iter().map(|txt| txt.ttl).collect(),
                Said::Alias(alias) => vec![alias.ttl],
                _ => continue,
            };
            all.extend(ttls.into_iter().map(|ttl| (ttl, hop.name.as_str())));
        }
    }
    let longest = all.iter().copied().max_by_key(|(ttl, _)| *ttl);
    let shortest = all.iter().copied().min_by_key(|(ttl, _)| *ttl);
    let expected = match case.held() {
        Some(held) if (SHORT_TTL..=LONG_TTL).contains(&held.record_ttl) => {
            format!("{} s, as the manifest has it", held.record_ttl)
        }
        _ => "3600 s or so".to_owned(),
    };
    let mut findings = Vec::new();
    if let Some((ttl, name)) = longest.filter(|(ttl, _)| *ttl > LONG_TTL) {
        let evidence = format!("resolvers keep {} for {} ({ttl} s)", shown_name(name), span(ttl.into()));
        let remedy = "lower its TTL; a compromised key would live on in resolvers for as long";
        findings.push(case.finding(Rule::D10, Severity::Warning, evidence, remedy).expecting(&expected));
    }
    if let Some((ttl, name)) = shortest.filter(|(ttl, _)| *ttl < SHORT_TTL) {
        let evidence = format!("resolvers keep {} for {} only ({ttl} s)", shown_name(name), span(ttl.into()));
        let remedy = "raise its TTL once the record is settled";
        findings.push(case.finding(Rule::D10, Severity::Info, evidence, remedy).expecting(&expected));
    }
    findings
}

fn signatures(case: &Case<'_>) -> Option<Finding> {
    let expiry = case
        .key
        .observation
        .hops
        .iter()
        .flat_map(|hop| &hop.answers)
        .filter_map(|answer| match &answer.outcome {
            Outcome::Answered(response) => {
                Some((response.signatures.iter().map(|one| one.expires).min()?, &answer.server))
            }
            _ => None,
        })
        .min_by_key(|(expires, _)| *expires);
    let (expires, server) = expiry?;
    let left = left(expires, case.now);
    if left > EXPIRES_SOON {
        return None;
    }
    let evidence = if left.is_positive() {
        format!("a DNSSEC signature of the record expires in {} ({expires})", span(left.as_secs().unsigned_abs()))
    } else {
        format!("a DNSSEC signature of the record expired at {expires}")
    };
    let remedy = "let the zone be signed anew, and look into the signer's log for why that did not happen by itself";
    let finding = case.about().finding_at((Rule::D13, Severity::Warning), &[server], evidence, remedy);
    Some(finding.expecting("more than 12 hours left"))
}

fn left(expires: Timestamp, now: Timestamp) -> SignedDuration {
    expires.duration_since(now)
}

/// Where the servers agree on one thing and a resolver says another.
fn resolver(case: &Case<'_>, sighting: &Sighting<'_>) -> Option<Finding> {
    let recursive = &case.key.observation.recursive;
    let name = printable(&recursive.resolver);
    let (evidence, ttl) = match (&sighting.seen, &recursive.answer) {
        (_, RecursiveAnswer::Failed { detail }) => {
            let evidence =
                format!("the zone's servers answer, but the resolver {name} gives no answer ({})", printable(detail));
            let remedy = "ask again; if it lasts, look whether the parent zone delegates to the right servers";
            return Some(case.finding(Rule::D16, Severity::Warning, evidence, remedy));
        }
        (Seen::Txt(records), RecursiveAnswer::Found { txt, .. }) if !same_texts(records, txt) => {
            let what = match txt.as_slice() {
                [only] => shown(&only.joined()),
                several => format!("{} TXT records", several.len()),
            };
            (format!("the resolver {name} still has {what}"), longest(txt))
        }
        (Seen::Txt(_), RecursiveAnswer::Absent { code, ttl }) => {
            (format!("the resolver {name} still says that there is no record ({code})"), *ttl)
        }
        (Seen::Absent(_), RecursiveAnswer::Found { txt, .. }) if !txt.is_empty() => {
            (format!("the resolver {name} still has a record that the zone's servers do not have"), longest(txt))
        }
        _ => return None,
    };
    let (evidence, remedy) = match ttl {
        Some(ttl) => {
            let wait = span(ttl.into());
            (format!("{evidence}, for {wait} more"), format!("wait {wait} and check again"))
        }
        None => (evidence, "wait for as long as the zone's TTLs say and check again".to_owned()),
    };
    Some(case.finding(Rule::D12, Severity::Warning, evidence, remedy).expecting("what the zone's servers say"))
}

fn longest(records: &[Txt]) -> Option<u32> {
    records.iter().map(|txt| txt.ttl).max()
}
