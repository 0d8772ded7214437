//! One line for Nagios and Icinga, by the plug-in guidelines: state, words, performance data.

use std::io::{self, Write};

use super::{Report, Tally, Verdict, safe};
use crate::finding::{Finding, Severity};

/// The state of a service, as plug-ins tell it: its exit code, unlike that of all else here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NagiosState {
    /// Clean, and no warning: 0.
    Ok,
    /// Warnings, or findings that are no errors: 1.
    Warning,
    /// An error: 2.
    Critical,
    /// It could not be found out: 3.
    Unknown,
}

impl NagiosState {
    /// The state that a report comes to. As elsewhere, findings from `fail_on` on win over what could not be found out,
    /// and that over lesser ones.
    pub fn of(report: &Report) -> Self {
        let worst = findings(report).map(|(_, finding)| finding.severity).max();
        match (report.verdict(), worst) {
            (Verdict::Findings, Some(Severity::Error)) => Self::Critical,
            (Verdict::Findings, _) | (Verdict::Clean, Some(Severity::Warning)) => Self::Warning,
            (Verdict::Undetermined, _) => Self::Unknown,
            (Verdict::Clean, _) => Self::Ok,
        }
    }

    /// Its exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let tally = Tally::of(report);
    write!(out, "DKIM {} - {tally}", NagiosState::of(report).name())?;
    // The first of the worst, for whoever reads it on a telephone.
    let worst = findings(report).map(|(_, finding)| finding.severity).max().filter(|worst| *worst > Severity::Info);
    let first = findings(report).find(|(_, finding)| Some(finding.severity) == worst);
    if let Some((name, finding)) = first {
        write!(out, "; {name}: {} {}", finding.rule, text(&finding.evidence))?;
    } else if let Some((name, why)) = undetermined(report) {
        write!(out, "; {name}: {}", text(why))?;
    }
    let Tally { domains, keys, errors, warnings, information: _, undetermined } = tally;
    writeln!(out, "|domains={domains} keys={keys} errors={errors} warnings={warnings} undetermined={undetermined}")
}

/// Each finding with the name that it is about.
fn findings(report: &Report) -> impl Iterator<Item = (String, &Finding)> {
    report.domains.iter().flat_map(|domain| {
        let whole = domain.findings.iter().map(|finding| (domain.domain.to_string(), finding));
        let keys = domain
            .keys
            .iter()
            .flat_map(|key| key.findings.iter().map(|finding| (key.selector.record_name(&domain.domain), finding)));
        whole.chain(keys)
    })
}

fn undetermined(report: &Report) -> Option<(String, &str)> {
    report.domains.iter().find_map(|domain| {
        let key = domain.keys.iter().find(|key| key.undetermined.is_some())?;
        Some((key.selector.record_name(&domain.domain), key.undetermined.as_deref()?))
    })
}

/// Text of one line without the bar that begins performance data.
fn text(text: &str) -> String {
    const LONGEST: usize = 200;
    let line = safe::line(text).replace('|', "/");
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}
