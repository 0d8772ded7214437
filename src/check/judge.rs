//! Evidence in, findings out.

use std::cmp::Reverse;

use jiff::Timestamp;

use super::about::Case;
use super::seen::{Seen, look};
use super::{Judgement, KeyJudgement, KeySubject, Subject, Wishes, caching, chain, key, policy, syntax, zone};
use crate::finding::Finding;
use crate::manifest::StateName;
use crate::observation::Txt;

/// Judges a domain's keys by what was seen of their records at `now`. Findings are worst first.
///
/// The work is bounded by the octets of the evidence, whatever they are.
pub fn judge(subject: &Subject, wishes: &Wishes, now: Timestamp) -> Judgement {
    let mut findings = zone::judge(subject, wishes);
    findings.extend(key::algorithms(subject));
    findings.extend(policy::domain(subject, wishes));
    worst_first(&mut findings);
    let keys = subject.keys.iter().map(|key| judge_key(&Case { subject, key, wishes, now })).collect();
    Judgement { findings, keys }
}

fn judge_key(case: &Case<'_>) -> KeyJudgement {
    let KeySubject { selector, .. } = case.key;
    let mut sighting = look(case);
    let mut findings = policy::held(case);
    findings.extend(key::elsewhere(case));
    if case.state() == Some(StateName::Withdrawn) {
        // Nothing is to be there: of what is, only that it is there matters.
        findings.extend(policy::withdrawn(case, &sighting));
    } else {
        findings.append(&mut sighting.findings);
        findings.extend(chain::judge(case, &sighting));
        findings.extend(caching::judge(case, &sighting));
        if let Seen::Txt([txt]) = sighting.seen {
            findings.extend(judge_record(case, txt));
        }
    }
    worst_first(&mut findings);
    let undetermined = match sighting.seen {
        Seen::Unknown(why) => Some(why),
        _ => None,
    };
    KeyJudgement { selector: selector.clone(), findings, undetermined }
}

fn judge_record(case: &Case<'_>, txt: &Txt) -> Vec<Finding> {
    let (mut findings, record) = syntax::judge(case, txt);
    let Some(record) = record else { return findings };
    if record.is_revoked() {
        findings.extend(policy::revoked(case));
        return findings;
    }
    let of_key = key::judge(case, &record);
    let is_ours = !of_key.iter().any(|finding| finding.rule == super::Rule::K09.id());
    if case.state() == Some(StateName::Revoked) && is_ours {
        findings.push(policy::not_revoked(case));
        return findings;
    }
    findings.extend(of_key);
    findings.extend(policy::record(case, &record));
    findings
}

fn worst_first(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| Reverse(finding.severity));
}
