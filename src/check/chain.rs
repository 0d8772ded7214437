//! CNAMEs on the way to the record: D05, D06, D07, D08.

use super::Rule;
use super::about::{Case, shown_name};
use super::seen::{Said, Seen, Sighting};
use crate::finding::{Finding, Severity};
use crate::manifest::StateName;
use crate::observation::{ChainEnd, Hop, Outcome};

/// Names that a person wants to read of a chain.
const NAMED: usize = 10;

pub(super) fn judge(case: &Case<'_>, sighting: &Sighting<'_>) -> Vec<Finding> {
    let observation = &case.key.observation;
    let hops = observation.hops.as_slice();
    let mut findings: Vec<_> = hops.iter().filter_map(|hop| beside_other_records(case, hop)).collect();
    let [first, .., last] = hops else {
        if observation.chain == ChainEnd::Loop {
            findings.push(endless(case, hops, "is an alias of itself"));
        }
        return findings;
    };
    match observation.chain {
        ChainEnd::Loop => findings.push(endless(case, hops, "leads into a circle of aliases")),
        ChainEnd::TooLong => findings.push(endless(case, hops, "leads into a chain of aliases that goes on and on")),
        ChainEnd::Complete => {
            if let Seen::Absent(code) = sighting.seen {
                let evidence = format!(
                    "{} is an alias of {}, where there is no TXT record ({code})",
                    shown_name(&first.name),
                    shown_name(&last.name)
                );
                if case.state() == Some(StateName::Revoked) {
                    // Nothing fails for lack of a revoked key; whoever gets the target can make a key of it.
                    findings.push(case.finding(Rule::D05, Severity::Warning, evidence, "delete the CNAME"));
                    return findings;
                }
                let remedy = "publish the record there, or point the CNAME to where the record is";
                findings.push(case.publish(case.finding(Rule::D05, Severity::Error, evidence, remedy)));
            }
            if hops.len() > 2 {
                let evidence = format!("the record is {} aliases away: {}", hops.len() - 1, path(hops));
                let remedy = format!("point the first CNAME straight to {}", shown_name(&last.name));
                findings
                    .push(case.finding(Rule::D07, Severity::Warning, evidence, remedy).expecting("at most one alias"));
            }
        }
    }
    findings
}

fn endless(case: &Case<'_>, hops: &[Hop], what: &str) -> Finding {
    let remedy = "point the first CNAME straight to the name that has the record, or publish the record in its place";
    let finding = case.finding(Rule::D06, Severity::Error, format!("the name {what}: {}", path(hops)), remedy);
    finding.expecting("a chain of CNAMEs that ends at a TXT record")
}

fn beside_other_records(case: &Case<'_>, hop: &Hop) -> Option<Finding> {
    let has_both = |outcome: &Outcome| match (outcome, Said::of(outcome)) {
        (Outcome::Answered(response), Said::Alias(_)) => !response.txt.is_empty(),
        _ => false,
    };
    let servers: Vec<_> =
        hop.answers.iter().filter(|answer| has_both(&answer.outcome)).map(|answer| &answer.server).collect();
    if servers.is_empty() {
        return None;
    }
    let evidence = format!("{} has a CNAME and TXT records beside it", shown_name(&hop.name));
    let remedy = "delete the CNAME or the TXT records";
    let finding = case.about().finding_at((Rule::D08, Severity::Error), &servers, evidence, remedy);
    Some(finding.expecting("either a CNAME or a TXT record"))
}

/// The names of the chain; at its end, where it does not end, the next one.
fn path(hops: &[Hop]) -> String {
    let mut names: Vec<_> = hops.iter().take(NAMED).map(|hop| shown_name(&hop.name)).collect();
    if hops.len() > NAMED {
        names.push("…".into());
    } else if let Some(hop) = hops.last() {
        let aliases = hop.answers.iter().filter_map(|answer| match Said::of(&answer.outcome) {
            Said::Alias(alias) => Some(shown_name(&alias.target)),
            _ => None,
        });
        names.extend(aliases.take(1));
    }
    names.join(" → ")
}
