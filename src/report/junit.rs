//! JUnit XML, as CI systems read it: a test suite a domain, a test case a key.

use std::io::{self, Write};

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::fold::{Folded, Mark, fold_findings};
use super::{DomainReport, Report, safe};
use crate::finding::Place;

/// Findings from `fail_on` on are a failure, lesser ones stand in the output; what could not be found out is an error.
pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut junit = quick_junit::Report::new("waxseal verify");
    for domain in &report.domains {
        junit.add_test_suite(suite(report, domain));
    }
    junit.serialize(out).map_err(io::Error::other)
}

fn suite(report: &Report, domain: &DomainReport) -> TestSuite {
    let name = domain.domain.as_str();
    let mut suite = TestSuite::new(name);
    suite.extra.insert("timestamp".into(), format!("{:.0}", report.started).trim_end_matches('Z').into());
    if !domain.findings.is_empty() || domain.keys.is_empty() {
        let findings = fold_findings(None, &domain.findings);
        suite.add_test_case(case(report, "the domain", &findings, None, name));
    }
    for key in &domain.keys {
        let findings = fold_findings(Some(&key.selector), &key.findings);
        let mut case = case(report, key.selector.as_str(), &findings, key.undetermined.as_deref(), name);
        if let Some(Place::Line { path, line, .. }) = &key.source {
            case.extra.insert("file".into(), safe::line(&path.to_string_lossy()).as_ref().into());
            case.extra.insert("line".into(), line.to_string().into());
        }
        suite.add_test_case(case);
    }
    suite
}

fn case(report: &Report, name: &str, findings: &[Folded<'_>], undetermined: Option<&str>, domain: &str) -> TestCase {
    let (fatal, lesser): (Vec<_>, Vec<_>) =
        findings.iter().partition(|folded| folded.finding.severity >= report.fail_on);
    let unknown = undetermined.map(|why| format!("it could not be found out what is published: {}", safe::line(why)));
    let status = match (fatal.first(), &unknown) {
        (Some(worst), _) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let title = worst.title(report.rules).unwrap_or(&worst.finding.evidence);
            status.set_message(format!("{} {}", worst.finding.rule, safe::line(title)).as_str());
            status.set_type(worst.finding.rule);
            let said: Vec<_> = fatal.iter().map(|folded| said(folded)).chain(unknown).collect();
            status.set_description(said.join("\n\n").as_str());
            status
        }
        (None, Some(unknown)) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(unknown.as_str());
            status.set_type("undetermined");
            status
        }
        (None, None) => TestCaseStatus::success(),
    };
    let mut case = TestCase::new(name, status);
    case.set_classname(domain);
    if !lesser.is_empty() {
        let said: Vec<_> = lesser.iter().map(|folded| said(folded)).collect();
        case.set_system_out(said.join("\n\n").as_str());
    }
    case
}

fn said(folded: &Folded<'_>) -> String {
    format!("{} {}: {}", Mark::from(folded.finding.severity), folded.finding.rule, folded.paragraph())
}
