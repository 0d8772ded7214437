//! The zones on the way to a domain's records: D09, D13, D14, D15, and servers nobody could ask (D16).

use std::collections::BTreeMap;

use super::about::{About, list, printable, shown_name, span};
use super::caching::LONG_TTL;
use super::seen::Said;
use super::{Dnssec, Rule, Subject, Wishes};
use crate::finding::{Finding, Severity};
use crate::observation::{Observation, Outcome, RecursiveAnswer, Security, Server, Wildcard, Zone};

/// What RFC 2308 §5 recommends at most, in seconds.
const LONG_ABSENCE: u32 = 3 * 3_600;

/// Names that are listed in one finding.
const NAMED: usize = 4;

/// Judges each zone once, however many keys are in it.
pub(super) fn judge(subject: &Subject, wishes: &Wishes) -> Vec<Finding> {
    let about = About { domain: &subject.domain, selector: None };
    let observations: Vec<&Observation> = subject.keys.iter().map(|key| &key.observation).collect();
    let mut zones: BTreeMap<&str, &Zone> = BTreeMap::new();
    let mut wildcards: BTreeMap<&str, &Wildcard> = BTreeMap::new();
    for observation in &observations {
        for zone in observation.hops.iter().filter_map(|hop| hop.zone.as_deref()) {
            zones.entry(&zone.apex).or_insert(zone);
        }
        if let Some(wildcard) = observation.wildcard.as_deref() {
            wildcards.entry(&wildcard.name).or_insert(wildcard);
        }
    }
    let mut findings = Vec::new();
    findings.extend(wildcards.values().filter_map(|wildcard| answers(about, wildcard)));
    findings.extend(unsigned(about, wishes, &observations, &zones));
    for zone in zones.values() {
        findings.extend(absence(about, zone));
        findings.extend(delegation(about, zone));
        findings.extend(serials(about, zone));
        findings.extend(unresolved(about, zone));
    }
    findings.extend(no_route(about, &observations));
    findings
}

fn answers(about: About<'_>, wildcard: &Wildcard) -> Option<Finding> {
    let has_something = |outcome: &Outcome| matches!(Said::of(outcome), Said::Txt(_) | Said::Alias(_));
    let servers: Vec<_> =
        wildcard.answers.iter().filter(|answer| has_something(&answer.outcome)).map(|answer| &answer.server).collect();
    if servers.is_empty() {
        return None;
    }
    let evidence = format!("a wildcard answers for {}, which nobody published", shown_name(&wildcard.name));
    let remedy = "remove the wildcard, or publish any record at `_domainkey`, which ends the wildcard's reach";
    Some(about.finding_at((Rule::D09, Severity::Error), &servers, evidence, remedy).expecting("NXDOMAIN"))
}

fn unsigned(
    about: About<'_>,
    wishes: &Wishes,
    observations: &[&Observation],
    zones: &BTreeMap<&str, &Zone>,
) -> Option<Finding> {
    let names: Vec<_> = zones
        .values()
        .filter(|zone| zone.has_ds == Some(false))
        .take(NAMED)
        .map(|zone| shown_name(&zone.apex))
        .collect();
    let is_insecure = |observation: &&Observation| {
        matches!(observation.recursive.answer, RecursiveAnswer::Found { security: Security::Insecure, .. })
    };
    let evidence = match names.as_slice() {
        [] if observations.iter().any(is_insecure) => "the records are not protected by DNSSEC".to_owned(),
        [] => return None,
        [only] => format!("the zone {only} is not signed: its parent has no DS record"),
        several => format!("the zones {} are not signed: their parents have no DS record", several.join(", ")),
    };
    let severity = match wishes.dnssec {
        Dnssec::Wanted => Severity::Warning,
        Dnssec::Optional => Severity::Info,
    };
    Some(about.finding(Rule::D13, severity, evidence, "sign the zone and give its DS record to the registrar"))
}

fn absence(about: About<'_>, zone: &Zone) -> Option<Finding> {
    let ttl = zone.soas.iter().filter_map(|soa| soa.soa.as_ref()).map(|soa| soa.negative_ttl()).max()?;
    let severity = match ttl {
        _ if ttl > LONG_TTL => Severity::Warning,
        _ if ttl > LONG_ABSENCE => Severity::Info,
        _ => return None,
    };
    let evidence = format!(
        "resolvers remember for {} ({ttl} s) that a name of the zone {} is absent",
        span(ttl.into()),
        shown_name(&zone.apex)
    );
    let remedy =
        "lower the last field of the zone's SOA record to 3600, and publish selectors before they are asked for";
    Some(about.finding(Rule::D14, severity, evidence, remedy).expecting("at most 3 h"))
}

fn delegation(about: About<'_>, zone: &Zone) -> Vec<Finding> {
    let servers = &zone.name_servers;
    // Without both lists there is nothing to compare: one could not be found out, or other servers were asked for.
    if !servers.iter().any(|server| server.in_delegation) || !servers.iter().any(|server| server.in_apex) {
        return Vec::new();
    }
    let names = |is_meant: fn(&crate::observation::NameServer) -> bool| {
        let names: Vec<_> =
            servers.iter().filter(|server| is_meant(server)).map(|server| shown_name(&server.name)).collect();
        match names.len() {
            0 => None,
            count if count > NAMED => Some(format!("{} and {} more", names[..NAMED].join(", "), count - NAMED)),
            _ => Some(names.join(", ")),
        }
    };
    let apex = shown_name(&zone.apex);
    let mut findings = Vec::new();
    if let Some(names) = names(|server| server.in_apex && !server.in_delegation) {
        let evidence = format!("the zone {apex} names {names} as its servers, but its parent does not");
        let remedy = "give the registrar the list of servers that the zone has";
        findings.push(about.finding(Rule::D15, Severity::Warning, evidence, remedy));
    }
    if let Some(names) = names(|server| server.in_delegation && !server.in_apex) {
        let evidence = format!("the parent of {apex} names {names} as its servers, but the zone itself does not");
        let remedy = "take them out of the delegation at the registrar, or add them to the zone's NS records";
        findings.push(about.finding(Rule::D15, Severity::Warning, evidence, remedy));
    }
    findings
}

fn serials(about: About<'_>, zone: &Zone) -> Option<Finding> {
    let mut by_serial: BTreeMap<u32, Vec<&Server>> = BTreeMap::new();
    for soa in &zone.soas {
        if let Some(seen) = &soa.soa {
            by_serial.entry(seen.serial).or_default().push(&soa.server);
        }
    }
    if by_serial.len() < 2 {
        return None;
    }
    let parts: Vec<_> =
        by_serial.iter().take(NAMED).map(|(serial, servers)| format!("{serial} at {}", list(servers))).collect();
    let evidence =
        format!("the zone {} has {} serial numbers: {}", shown_name(&zone.apex), by_serial.len(), parts.join("; "));
    let remedy = "wait for the transfer; if it stays like that, look into the log of the server that lags behind";
    Some(about.finding(Rule::D15, Severity::Info, evidence, remedy))
}

fn unresolved(about: About<'_>, zone: &Zone) -> Vec<Finding> {
    let without_address = zone.name_servers.iter().filter(|server| server.addresses.is_empty());
    without_address
        .filter_map(|server| Some((server, server.unresolved.as_ref()?)))
        .take(NAMED)
        .map(|(server, why)| {
            let evidence = format!(
                "the server {} of the zone {} has no address that could be found ({})",
                shown_name(&server.name),
                shown_name(&zone.apex),
                printable(why)
            );
            let remedy = "give the name an address, or take it out of the zone's NS records and delegation";
            about.finding(Rule::D16, Severity::Warning, evidence, remedy)
        })
        .collect()
}

fn no_route(about: About<'_>, observations: &[&Observation]) -> Option<Finding> {
    let mut servers: Vec<&Server> = observations
        .iter()
        .flat_map(|observation| &observation.hops)
        .flat_map(|hop| &hop.answers)
        .filter(|answer| answer.outcome == Outcome::NoRoute)
        .map(|answer| &answer.server)
        .collect();
    servers.sort_unstable_by_key(|server| server.address);
    servers.dedup();
    if servers.is_empty() {
        return None;
    }
    let evidence = format!("not asked, for there is no route to them from here: {}", list(&servers));
    let remedy = "check from a machine that has IPv6 to be sure of them too";
    Some(about.finding(Rule::D16, Severity::Info, evidence, remedy))
}
