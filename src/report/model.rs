//! What there is to report.

use jiff::Timestamp;

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

/// What a run comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing at or above `fail_on`, and everything was found out: exit code 0.
    Clean,
    /// Findings at or above `fail_on`: exit code 1, whatever else could not be found out.
    Findings,
    /// Something could not be found out: exit code 3.
    Undetermined,
}

impl Report {
    /// What the run comes to.
    pub fn verdict(&self) -> Verdict {
        let keys = || self.domains.iter().flat_map(|domain| &domain.keys);
        let whole = self.domains.iter().flat_map(|domain| &domain.findings);
        if whole.chain(keys().flat_map(|key| &key.findings)).any(|finding| finding.severity >= self.fail_on) {
            Verdict::Findings
        } else if keys().any(|key| key.undetermined.is_some()) {
            Verdict::Undetermined
        } else {
            Verdict::Clean
        }
    }
}
