//! Findings that say the same of several selectors or servers, as one.

use std::cmp::Reverse;
use std::fmt::{self, Write as _};

use super::{DomainReport, safe};
use crate::finding::{Finding, Place, RuleDescription, Severity};
use crate::names::Selector;

/// What is said of a key of which nothing could be found out.
pub(super) const UNDETERMINED: &str = "it could not be found out what is published";

/// A finding, and all places of one domain where it was found.
#[derive(Debug)]
pub(super) struct Folded<'r> {
    /// The first of them.
    pub(super) finding: &'r Finding,
    /// The selectors; empty where it is about the domain as a whole.
    pub(super) selectors: Vec<&'r Selector>,
    /// The servers; empty where it is about all of them.
    pub(super) servers: Vec<&'r str>,
}

/// What is to be said about a domain and its keys, worst first. Selectors are one where all else is the same, the
/// servers included.
pub(super) fn fold(domain: &DomainReport) -> Vec<Folded<'_>> {
    let mut all = fold_findings(None, &domain.findings);
    let whole = all.len();
    for key in &domain.keys {
        for folded in fold_findings(Some(&key.selector), &key.findings) {
            let same = |other: &&mut Folded<'_>| {
                other.servers == folded.servers && says_the_same(other.finding, folded.finding)
            };
            match all[whole..].iter_mut().find(same) {
                Some(other) => other.selectors.extend(folded.selectors),
                None => all.push(folded),
            }
        }
    }
    worst_first(&mut all);
    all
}

/// The same of the findings of one key, or those of a domain as a whole, whose servers are put together.
pub(super) fn fold_findings<'r>(selector: Option<&'r Selector>, findings: &'r [Finding]) -> Vec<Folded<'r>> {
    let mut all: Vec<Folded<'r>> = Vec::new();
    for finding in findings {
        let same = |other: &&mut Folded<'r>| {
            says_the_same(other.finding, finding) && server(other.finding).is_some() == server(finding).is_some()
        };
        match all.iter_mut().find(same) {
            Some(other) => {
                let server = server(finding).filter(|server| !other.servers.contains(server));
                other.servers.extend(server);
            }
            None => all.push(Folded {
                finding,
                selectors: selector.into_iter().collect(),
                servers: server(finding).into_iter().collect(),
            }),
        }
    }
    worst_first(&mut all);
    all
}

fn worst_first(findings: &mut [Folded<'_>]) {
    findings.sort_by_key(|folded| Reverse(folded.finding.severity));
}

fn says_the_same(one: &Finding, other: &Finding) -> bool {
    let Finding { rule, severity, place: _, evidence, expected, remedy, record } = one;
    (rule, severity, evidence, expected, remedy, record)
        == (&other.rule, &other.severity, &other.evidence, &other.expected, &other.remedy, &other.record)
}

fn server(finding: &Finding) -> Option<&str> {
    match &finding.place {
        Place::Domain { server, .. } => server.as_deref(),
        _ => None,
    }
}

impl Folded<'_> {
    /// The rule in a few words.
    pub(super) fn title<'r>(&self, rules: &'r [RuleDescription]) -> Option<&'r str> {
        rules.iter().find(|rule| rule.id == self.finding.rule).map(|rule| rule.title)
    }

    /// The servers in one line, fit to be shown.
    pub(super) fn servers(&self) -> String {
        let servers: Vec<_> = self.servers.iter().map(|server| safe::line(server)).collect();
        servers.join(", ")
    }

    /// All of it in some lines of plain text, the first of them what was seen.
    pub(super) fn paragraph(&self) -> String {
        let Finding { evidence, expected, remedy, record, .. } = self.finding;
        let mut text = safe::line(evidence).into_owned();
        let servers = self.servers();
        for (what, said) in
            [("at", &*servers), ("expected", expected), ("remedy", remedy), ("record to publish", record)]
        {
            if !said.is_empty() {
                let _ = write!(text, "\n{what}: {}", safe::lines(said.trim_end()));
            }
        }
        text
    }
}

/// Severities in the words of a summary.
pub(super) struct Mark {
    pub(super) sign: char,
    pub(super) word: &'static str,
}

impl From<Severity> for Mark {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Error => Self { sign: '✘', word: "error" },
            Severity::Warning => Self { sign: '!', word: "warning" },
            Severity::Info => Self { sign: '·', word: "info" },
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.sign, self.word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::DomainName;
    use crate::report::KeyReport;

    fn finding(selector: &str, server: &str, evidence: &str) -> Finding {
        let place = Place::Domain {
            domain: DomainName::parse("a.example").unwrap(),
            selector: Selector::parse(selector).ok(),
            server: Some(server.into()),
        };
        Finding::new("D03", Severity::Error, place, evidence, "")
    }

    fn domain(keys: &[(&str, &[(&str, &str)])]) -> DomainReport {
        let keys = keys.iter().map(|(selector, findings)| KeyReport {
            selector: Selector::parse(selector).unwrap(),
            algorithm: None,
            state: None,
            source: None,
            findings: findings.iter().map(|(server, evidence)| finding(selector, server, evidence)).collect(),
            undetermined: None,
            observation: None,
        });
        DomainReport { domain: DomainName::parse("a.example").unwrap(), findings: Vec::new(), keys: keys.collect() }
    }

    fn shape(domain: &DomainReport) -> Vec<(String, String)> {
        let said = fold(domain);
        let names = said.iter().map(|folded| {
            let selectors: Vec<_> = folded.selectors.iter().map(|selector| selector.as_str()).collect();
            (selectors.join(" "), folded.servers.join(" "))
        });
        names.collect()
    }

    #[test]
    fn servers_then_selectors_are_put_together() {
        let domain = domain(&[("s1", &[("n1", "x"), ("n2", "x"), ("n1", "x")]), ("s2", &[("n1", "x"), ("n2", "x")])]);
        assert_eq!(shape(&domain), [("s1 s2".into(), "n1 n2".into())]);
    }

    #[test]
    fn what_differs_stays_apart() {
        let domain = domain(&[("s1", &[("n1", "x"), ("n2", "y")]), ("s2", &[("n2", "x")])]);
        let said = [("s1".into(), "n1".into()), ("s1".into(), "n2".into()), ("s2".into(), "n2".into())];
        assert_eq!(shape(&domain), said);
    }
}
