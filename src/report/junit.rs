//! JUnit XML, as CI systems read it: a test suite a domain, a test case a key.

use std::io::{self, Write};

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::fold::{Folded, UNDETERMINED, fold_findings};
use super::{DomainReport, Report, safe};
use crate::finding::Place;

/// Findings from `fail_on` on are a failure, lesser ones stand in the output; what could not be found out is an error.
pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut junit = quick_junit::Report::new("waxseal verify");
    for domain in &report.domains {
        junit.add_test_suite(suite(report, domain));
    }
    let text = junit.to_string().map_err(io::Error::other)?;
    // Of all suites together the schema of Jenkins knows no skipped=, which the crate writes always.
    out.write_all(text.replacen(" skipped=\"0\"", "", 1).as_bytes())
}

fn suite(report: &Report, domain: &DomainReport) -> TestSuite {
    let name = domain.domain.as_str();
    let mut suite = TestSuite::new(name);
    suite.extra.insert("timestamp".into(), format!("{:.0}", report.started).trim_end_matches('Z').into());
    if !domain.findings.is_empty() || domain.keys.is_empty() {
        let findings = fold_findings(None, &domain.findings);
        suite.add_test_case(
            Subject { name: "the domain", findings, undetermined: None, source: None }.case(report, name),
        );
    }
    for key in &domain.keys {
        let subject = Subject {
            name: key.selector.as_str(),
            findings: fold_findings(Some(&key.selector), &key.findings),
            undetermined: key.undetermined.as_deref(),
            source: key.source.as_ref(),
        };
        suite.add_test_case(subject.case(report, name));
    }
    suite
}

/// What a test case is about.
struct Subject<'r> {
    name: &'r str,
    findings: Vec<Folded<'r>>,
    undetermined: Option<&'r str>,
    source: Option<&'r Place>,
}

impl Subject<'_> {
    fn case(&self, report: &Report, domain: &str) -> TestCase {
        let (fatal, lesser): (Vec<_>, Vec<_>) =
            self.findings.iter().partition(|folded| folded.finding.severity >= report.fail_on);
        let mut case = TestCase::new(self.name, self.status(report, &fatal));
        case.set_classname(domain);
        if !lesser.is_empty() {
            let said: Vec<_> = lesser.iter().map(|folded| said(folded)).collect();
            case.set_system_out(said.join("\n\n").as_str());
        }
        case
    }

    fn status(&self, report: &Report, fatal: &[&Folded<'_>]) -> TestCaseStatus {
        let unknown = self.undetermined.map(|why| format!("{UNDETERMINED}: {}", safe::line(why)));
        let (kind, rule, message) = match (fatal.first(), &unknown) {
            (Some(worst), _) => {
                let title = worst.title(report.rules).unwrap_or(&worst.finding.evidence);
                let message = format!("{} {}", worst.finding.rule, safe::line(title));
                (NonSuccessKind::Failure, worst.finding.rule, message)
            }
            (None, Some(unknown)) => (NonSuccessKind::Error, "undetermined", unknown.clone()),
            (None, None) => return TestCaseStatus::success(),
        };
        let source = self.source.map(|source| format!("held in {}", safe::line(&source.to_string())));
        let said: Vec<_> = fatal.iter().map(|folded| said(folded)).chain(unknown).chain(source).collect();
        let mut status = TestCaseStatus::non_success(kind);
        status.set_type(rule).set_message(message).set_description(said.join("\n\n"));
        status
    }
}

fn said(folded: &Folded<'_>) -> String {
    format!("{} {}: {}", folded.finding.severity, folded.finding.rule, folded.paragraph())
}
