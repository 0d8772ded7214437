//! What a report comes to, in figures.

use std::fmt;

use serde::Serialize;

use super::fold::{Folded, fold_findings};
use super::{DomainReport, Report};
use crate::finding::Severity;

/// What a report comes to, in figures. Findings of one key that differ only in their server count once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tally {
    /// Domains.
    pub domains: usize,
    /// Keys of them all.
    pub keys: usize,
    /// Findings that are errors.
    pub errors: usize,
    /// Findings that are warnings.
    pub warnings: usize,
    /// Findings that are information.
    pub information: usize,
    /// Keys of which it could not be found out what is published.
    pub undetermined: usize,
}

impl Tally {
    /// The figures of a report.
    pub fn of(report: &Report) -> Self {
        let mut tally = Self::default();
        report.domains.iter().for_each(|domain| tally.add(domain));
        tally
    }

    /// Counts one domain more.
    pub fn add(&mut self, domain: &DomainReport) {
        self.domains += 1;
        self.keys += domain.keys.len();
        self.add_findings(&fold_findings(None, &domain.findings));
        for key in &domain.keys {
            self.add_findings(&fold_findings(Some(&key.selector), &key.findings));
            self.undetermined += usize::from(key.undetermined.is_some());
        }
    }

    fn add_findings(&mut self, findings: &[Folded<'_>]) {
        for folded in findings {
            match folded.finding.severity {
                Severity::Error => self.errors += 1,
                Severity::Warning => self.warnings += 1,
                Severity::Info => self.information += 1,
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {}: {}, {}, {} undetermined",
            counted(self.domains, "domain"),
            counted(self.keys, "key"),
            counted(self.errors, "error"),
            counted(self.warnings, "warning"),
            self.undetermined
        )
    }
}

/// `1 key`, `2 keys`.
pub(super) fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}
