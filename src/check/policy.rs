//! What the record allows, and what the configuration wants: P01 to P09, P11.

use super::about::{About, Case, list, span};
use super::seen::{Said, Seen, Sighting};
use super::{PrivateKeyAccess, Rule, Standby, Subject, Wishes};
use crate::dkim::KeyRecord;
use crate::finding::{Finding, Severity};
use crate::manifest::StateName;
use crate::names::DomainName;
use crate::observation::{Dmarc, Server};

/// Judges what the tags of a record allow.
pub(super) fn record(case: &Case<'_>, record: &KeyRecord) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !record.allows_sha256() {
        let evidence = "h= does not allow sha256, with which everything is signed";
        findings.push(case.publish(case.finding(Rule::P01, Severity::Error, evidence, "remove h= from the record")));
    } else if record.hash_algorithms.iter().flatten().any(|name| name.eq_ignore_ascii_case("sha1")) {
        let evidence = "h= allows sha1, which nobody may sign with any more";
        findings.push(case.publish(case.finding(Rule::P01, Severity::Warning, evidence, "remove h= from the record")));
    }
    if !record.allows_email() {
        let evidence = "s= does not allow e-mail";
        findings.push(case.publish(case.finding(Rule::P02, Severity::Error, evidence, "remove s= from the record")));
    }
    if record.is_testing() {
        let evidence = "t=y says that the domain is only testing DKIM";
        findings.push(case.publish(case.finding(Rule::P03, Severity::Warning, evidence, "remove t=y from the record")));
    }
    if let Some(auid) =
        case.subject.auid.as_ref().filter(|auid| record.is_strict() && is_below(auid, &case.subject.domain))
    {
        let evidence = format!("t=s allows no i= in a subdomain, but messages are signed with i={auid}");
        let remedy = "remove t=s from the record, or the identity from the configuration";
        findings.push(case.publish(case.finding(Rule::P04, Severity::Error, evidence, remedy)));
    }
    findings
}

fn is_below(auid: &str, domain: &DomainName) -> bool {
    let Some((_, host)) = auid.rsplit_once('@') else { return false };
    DomainName::parse(host).is_ok_and(|host| host != *domain && host.is_within(domain))
}

/// A record with an empty p=.
pub(super) fn revoked(case: &Case<'_>) -> Option<Finding> {
    let Some(state) = case.state() else {
        let evidence = "the record says that the key is revoked: p= is empty";
        return Some(case.finding(
            Rule::P05,
            Severity::Info,
            evidence,
            "nothing need be done, unless something signs with it",
        ));
    };
    if matches!(state, StateName::Revoked | StateName::Withdrawn) {
        return None;
    }
    let evidence = format!("the record says that the key is revoked (p= is empty), but the key is {state}");
    let remedy = "publish the record shown here, or, if the key is compromised, activate another one";
    Some(case.publish(case.finding(Rule::P05, Severity::Error, evidence, remedy)))
}

/// A key that is revoked, but still published.
pub(super) fn not_revoked(case: &Case<'_>) -> Finding {
    let evidence = "the key is revoked, but its record still holds it";
    let remedy = "publish the record shown here, with an empty p=, or delete the record";
    case.publish(case.finding(Rule::P06, Severity::Warning, evidence, remedy))
}

/// The record of a key that is withdrawn: nothing is to be there.
pub(super) fn withdrawn(case: &Case<'_>, sighting: &Sighting<'_>) -> Option<Finding> {
    let hops = &case.key.observation.hops;
    let is_left = |said: Said<'_>| matches!(said, Said::Txt(_) | Said::Alias(_));
    let servers: Vec<&Server> = hops
        .first()
        .iter()
        .flat_map(|hop| &hop.answers)
        .filter(|answer| is_left(Said::of(&answer.outcome)))
        .map(|answer| &answer.server)
        .collect();
    if servers.is_empty() && !matches!(sighting.seen, Seen::Txt(_)) {
        return None;
    }
    let what = if hops.len() > 1 { "a CNAME" } else { "a TXT record" };
    let said_by = if servers.is_empty() { String::new() } else { format!(" ({})", list(&servers)) };
    let evidence = format!("the key is withdrawn, but {what} is still there{said_by}");
    let finding =
        case.finding(Rule::P06, Severity::Warning, evidence, "delete the record, unless another system uses it");
    Some(finding.expecting("no record"))
}

/// What is to be said of a key that we hold, whatever DNS says.
pub(super) fn held(case: &Case<'_>) -> Vec<Finding> {
    let Some(held) = case.held() else { return Vec::new() };
    let mut findings = Vec::new();
    let is_in_use = matches!(held.state, StateName::Published | StateName::Ready | StateName::Active);
    let age = case.now.duration_since(held.created);
    if is_in_use && age > case.wishes.key_age {
        let days = |span: jiff::SignedDuration| span.as_hours() / 24;
        let evidence = format!("the key is {} days old", days(age));
        let finding =
            case.finding(Rule::P07, Severity::Warning, evidence, "generate a new key, publish it and rotate to it");
        let limit = span(case.wishes.key_age.as_secs().unsigned_abs());
        findings.push(finding.expecting(format!("at most {limit}")));
    }
    if let PrivateKeyAccess::Exposed { path, detail } = &held.private_key {
        let evidence = format!("others can read the private key {}", path.display());
        findings.push(case.finding(Rule::P11, Severity::Error, evidence, detail));
    }
    findings
}

/// What is to be said of the domain as a whole.
pub(super) fn domain(subject: &Subject, wishes: &Wishes) -> Vec<Finding> {
    let about = About { domain: &subject.domain, selector: None };
    let mut findings = Vec::new();
    let has = |state| subject.keys.iter().filter_map(|key| key.held.as_ref()).any(|held| held.state == state);
    if wishes.standby == Standby::Wanted && has(StateName::Active) && !has(StateName::Ready) {
        let evidence = "no key stands by: none is in the state ready";
        let remedy = "generate a further key and publish it, so that it can take over at once";
        findings.push(about.finding(Rule::P08, Severity::Info, evidence, remedy));
    }
    match &subject.dmarc {
        Dmarc::Found { name, record } if subject.signs_subdomains && is_strict(record) => {
            let evidence = format!(
                "mail of subdomains is signed with d={}, but the DMARC record at {} demands the very same domain (adkim=s)",
                subject.domain,
                super::about::shown_name(name)
            );
            let remedy = "remove adkim=s from the DMARC record, or give the subdomains keys of their own";
            findings
                .push(about.finding(Rule::P09, Severity::Error, evidence, remedy).expecting("adkim=r, or no adkim="));
        }
        Dmarc::Absent => {
            let evidence = "neither the domain nor the one above it has a DMARC record";
            let remedy = format!("publish one at _dmarc.{}, for a beginning `v=DMARC1; p=none`", subject.domain);
            findings.push(about.finding(Rule::P09, Severity::Info, evidence, remedy));
        }
        Dmarc::Found { .. } | Dmarc::Unknown => {}
    }
    findings
}

/// Whether a DMARC record has adkim=s (RFC 7489 §6.3).
fn is_strict(record: &str) -> bool {
    record
        .split(';')
        .filter_map(|tag| tag.split_once('='))
        .any(|(name, value)| name.trim().eq_ignore_ascii_case("adkim") && value.trim().eq_ignore_ascii_case("s"))
}
