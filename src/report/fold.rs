//! Findings that say the same of several selectors or servers, as one.

use std::fmt::{self, Write as _};

use super::{DomainReport, safe};
use crate::finding::{Finding, Place, RuleDescription, Severity};
use crate::names::Selector;

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

/// What is to be said about a domain or its keys, worst first.
pub(super) fn fold(domain: &DomainReport) -> Vec<Folded<'_>> {
    let whole = domain.findings.iter().map(|finding| (None, finding));
    let keys = domain.keys.iter().flat_map(|key| key.findings.iter().map(|finding| (Some(&key.selector), finding)));
    folded(whole.chain(keys))
}

/// The same for these findings alone.
pub(super) fn fold_findings<'r>(selector: Option<&'r Selector>, findings: &'r [Finding]) -> Vec<Folded<'r>> {
    folded(findings.iter().map(|finding| (selector, finding)))
}

fn folded<'r>(findings: impl Iterator<Item = (Option<&'r Selector>, &'r Finding)>) -> Vec<Folded<'r>> {
    let mut all: Vec<Folded<'r>> = Vec::new();
    for (selector, finding) in findings {
        let is_whole = selector.is_none();
        let same =
            |other: &&mut Folded<'r>| other.selectors.is_empty() == is_whole && says_the_same(other.finding, finding);
        let place = match all.iter_mut().find(same) {
            Some(place) => place,
            None => {
                all.push(Folded { finding, selectors: Vec::new(), servers: Vec::new() });
                let Some(place) = all.last_mut() else { continue };
                place
            }
        };
        if let Some(selector) = selector.filter(|selector| !place.selectors.contains(selector)) {
            place.selectors.push(selector);
        }
        if let Some(server) = server(finding).filter(|server| !place.servers.contains(server)) {
            place.servers.push(server);
        }
    }
    all.sort_by_key(|folded| std::cmp::Reverse(folded.finding.severity));
    all
}

fn says_the_same(one: &Finding, other: &Finding) -> bool {
    let said = |finding: &Finding| (finding.rule, finding.severity);
    let texts = |finding: &'_ Finding| {
        [&finding.evidence, &finding.expected, &finding.remedy, &finding.record].map(Clone::clone)
    };
    said(one) == said(other) && server(one).is_some() == server(other).is_some() && texts(one) == texts(other)
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
