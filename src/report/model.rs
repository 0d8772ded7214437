//! What there is to report.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use crate::finding::{Finding, Place, RuleDescription, Severity};
use crate::names::{DomainName, Selector};
use crate::observation::Observation;

/// A whole run.
#[derive(Debug, Clone)]
pub struct Report {
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// Findings from this severity on make the run fail.
    pub fail_on: Severity,
    /// The domains, in the order in which they are to be shown.
    pub domains: Vec<DomainReport>,
    /// The rules that findings may name.
    pub rules: &'static [RuleDescription],
}

/// One domain.
#[derive(Debug, Clone)]
pub struct DomainReport {
    /// The domain.
    pub domain: DomainName,
    /// Of the domain as a whole.
    pub findings: Vec<Finding>,
    /// Its keys.
    pub keys: Vec<KeyReport>,
}

/// One key record.
#[derive(Debug, Clone)]
pub struct KeyReport {
    /// Its selector.
    pub selector: Selector,
    /// a= of its signatures, where we hold the key.
    pub algorithm: Option<&'static str>,
    /// The state of the key that we hold.
    pub state: Option<&'static str>,
    /// Where what we hold is written: the line of the manifest.
    pub source: Option<Place>,
    /// What was found, worst first.
    pub findings: Vec<Finding>,
    /// Why it could not be found out what is published, if so.
    pub undetermined: Option<String>,
    /// What was seen; none where it is not wanted in the report.
    pub observation: Option<Observation>,
}

/// What a run, a domain or a key comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing at or above `fail_on`, and everything was found out: exit code 0.
    Clean,
    /// Findings at or above `fail_on`: exit code 1, whatever else could not be found out.
    Findings,
    /// Something could not be found out: exit code 3.
    Undetermined,
}

impl Verdict {
    /// What verdicts come to together: findings win over what could not be found out.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Findings, _) | (_, Self::Findings) => Self::Findings,
            (Self::Undetermined, _) | (_, Self::Undetermined) => Self::Undetermined,
            (Self::Clean, Self::Clean) => Self::Clean,
        }
    }

    fn of(findings: &[Finding], fail_on: Severity) -> Self {
        if findings.iter().any(|finding| finding.severity >= fail_on) { Self::Findings } else { Self::Clean }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Clean => "clean",
            Self::Findings => "findings",
            Self::Undetermined => "undetermined",
        })
    }
}

impl Report {
    /// What the run comes to.
    pub fn verdict(&self) -> Verdict {
        self.domains.iter().map(|domain| domain.verdict(self.fail_on)).fold(Verdict::Clean, Verdict::and)
    }
}

impl DomainReport {
    /// What the domain and its keys come to.
    pub fn verdict(&self, fail_on: Severity) -> Verdict {
        let whole = Verdict::of(&self.findings, fail_on);
        self.keys.iter().map(|key| key.verdict(fail_on)).fold(whole, Verdict::and)
    }
}

impl KeyReport {
    /// What the key comes to.
    pub fn verdict(&self, fail_on: Severity) -> Verdict {
        let found_out = if self.undetermined.is_some() { Verdict::Undetermined } else { Verdict::Clean };
        Verdict::of(&self.findings, fail_on).and(found_out)
    }
}
