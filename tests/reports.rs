//! The forms of a report: by snapshot, and against the schemas of those who read them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, reason = "a test program")]

mod support;

#[path = "reports/example.rs"]
mod example;

use std::path::{Path, PathBuf};
use std::process::Command;

use example::{clean, report, report_of, silent};
use serde_json::Value;
use support::{Scratch, installed, own};
use waxseal::finding::Severity;
use waxseal::report::{NagiosState, Report, ReportFormat, Verdict, write};

fn written(report: &Report, format: ReportFormat) -> String {
    let mut out = Vec::new();
    write(report, format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Without the escape sequences of our own colours.
fn without_colours(report: &Report) -> String {
    let mut out = anstream::StripStream::new(Vec::new());
    write(report, ReportFormat::Text, &mut out).unwrap();
    String::from_utf8(out.into_inner()).unwrap()
}

#[test]
fn text_is_as_it_was() {
    insta::assert_snapshot!(without_colours(&report()));
}

#[test]
fn json_is_as_it_was() {
    insta::assert_snapshot!(written(&report(), ReportFormat::Json));
}

#[test]
fn junit_is_as_it_was() {
    insta::assert_snapshot!(written(&report(), ReportFormat::Junit));
}

#[test]
fn github_is_as_it_was() {
    insta::assert_snapshot!(written(&report(), ReportFormat::Github));
}

#[test]
fn nagios_is_as_it_was() {
    insta::assert_snapshot!(written(&report(), ReportFormat::Nagios));
}

#[test]
fn sarif_is_as_it_was() {
    insta::assert_snapshot!(written(&report(), ReportFormat::Sarif));
}

#[test]
fn of_many_domains_the_clean_and_the_silent_are_counted() {
    let mut domains: Vec<_> = (0..60).map(|at| clean(&format!("d{at}.example"))).collect();
    domains.extend(report().domains.drain(..2));
    domains.extend((0..20).map(|at| silent(&format!("q{at}.example"))));
    insta::assert_snapshot!(without_colours(&report_of(domains)));
}

#[test]
fn a_clean_run_says_so_in_few_lines() {
    insta::assert_snapshot!(without_colours(&report_of(vec![clean("example.org")])));
}

#[test]
fn nothing_from_dns_steers_a_terminal() {
    for format in ReportFormat::ALL {
        let text = match format {
            ReportFormat::Text => without_colours(&report()),
            format => written(&report(), format),
        };
        let steers = |character: char| character.is_control() && character != '\n' || character == '\u{202e}';
        assert_eq!(text.chars().find(|character| steers(*character)), None, "{format}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Whatever text comes from DNS or a file, what machines read stays whole and no terminal is steered.
    #[test]
    fn no_text_breaks_a_form(evidence: String, remedy: String, record: String, why: String) {
        let mut report = report();
        let key = &mut report.domains[3].keys[0];
        key.findings[0].evidence.clone_from(&evidence);
        key.findings[0].remedy = remedy;
        key.findings[0].record = record;
        key.undetermined = Some(why);
        for format in ReportFormat::ALL {
            let text = if format == ReportFormat::Text { without_colours(&report) } else { written(&report, format) };
            let steers = |character: char| character.is_control() && character != '\n';
            assert_eq!(text.chars().find(|character| steers(*character)), None, "{format}");
        }
        let json: Value = serde_json::from_str(&written(&report, ReportFormat::Json)).unwrap();
        assert_eq!(&json["domains"][3]["keys"][0]["findings"][0]["evidence"], &evidence);
        serde_json::from_str::<Value>(&written(&report, ReportFormat::Sarif)).unwrap();
        let nagios = written(&report, ReportFormat::Nagios);
        assert_eq!((nagios.lines().count(), nagios.matches('|').count()), (1, 1));
        let github = written(&report, ReportFormat::Github);
        assert!(github.lines().rev().skip(1).all(|line| line.starts_with("::")), "{github}");
    }
}

#[test]
fn what_each_domain_says_is_in_every_format() {
    for format in ReportFormat::ALL.into_iter().filter(|format| *format != ReportFormat::Nagios) {
        let text = written(&report(), format);
        for said in ["D02", "D10", "S06", "X99", "none of 2 servers answers", "example.com", "xn--bcher-kva.example"] {
            assert!(text.contains(said), "{format} lacks {said}");
        }
    }
}

#[test]
fn verdict_and_nagios_state_go_by_fail_on() {
    let of = |domains: Vec<_>, fail_on| Report { fail_on, ..report_of(domains) };
    let [com, net, org, _] = <[_; 4]>::try_from(report().domains).unwrap();
    let mut warned = com.clone();
    warned.keys.remove(0);
    for (domains, fail_on, verdict, state) in [
        (vec![com.clone(), net.clone()], Severity::Error, Verdict::Findings, NagiosState::Critical),
        (vec![warned.clone(), net.clone()], Severity::Warning, Verdict::Findings, NagiosState::Warning),
        (vec![warned.clone(), net.clone()], Severity::Error, Verdict::Undetermined, NagiosState::Unknown),
        (vec![warned], Severity::Error, Verdict::Clean, NagiosState::Warning),
        (vec![org.clone()], Severity::Warning, Verdict::Clean, NagiosState::Ok),
        (vec![org], Severity::Info, Verdict::Findings, NagiosState::Warning),
        (vec![net], Severity::Info, Verdict::Undetermined, NagiosState::Unknown),
        (Vec::new(), Severity::Info, Verdict::Clean, NagiosState::Ok),
    ] {
        let report = of(domains, fail_on);
        assert_eq!((report.verdict(), NagiosState::of(&report)), (verdict, state), "{fail_on}");
        let line = written(&report, ReportFormat::Nagios);
        assert!(line.starts_with(&format!("DKIM {} - ", state.name())), "{line}");
        assert_eq!(line.matches('|').count(), 1, "{line}");
    }
    assert_eq!(NagiosState::Critical.code(), 2);
    assert_eq!(NagiosState::Unknown.code(), 3);
}

#[test]
fn a_report_without_domains_is_whole_in_every_format() {
    let empty = report_of(Vec::new());
    let json: Value = serde_json::from_str(&written(&empty, ReportFormat::Json)).unwrap();
    assert_eq!(json["domains"], serde_json::json!([]));
    assert_eq!(json["counts"]["keys"], 0);
    for format in ReportFormat::ALL {
        assert!(written(&empty, format).ends_with('\n'), "{format}");
    }
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Reports that differ in what they hold: all, nothing, clean.
fn reports() -> [Report; 3] {
    [report(), report_of(Vec::new()), report_of(vec![clean("example.org")])]
}

/// Whether xmllint finds it valid.
fn is_valid_junit(document: &str) -> bool {
    let scratch = Scratch::new("junit");
    let path = scratch.write("report.xml", document);
    let mut xmllint = Command::new(installed(&["/usr/bin/xmllint"], "libxml2-utils"));
    xmllint.args(["--noout", "--schema"]).arg(data("tests/data/schemas/junit-10.xsd")).arg(path);
    xmllint.output().unwrap().status.success()
}

#[test]
#[ignore = "needs xmllint: run tests/run-all"]
fn junit_is_valid_by_the_schema_of_jenkins() {
    for report in reports() {
        assert!(is_valid_junit(&written(&report, ReportFormat::Junit)));
    }
    assert!(!is_valid_junit("<testsuites><testcase/></testsuites>"));
}

/// Validates a document against a schema with Python's jsonschema, its formats included.
fn validates(schema: &str, document: &str) -> Result<(), String> {
    const PROGRAM: &str = "import json, sys, jsonschema
schema, document = (json.load(open(path)) for path in sys.argv[1:])
validator = jsonschema.validators.validator_for(schema)
validator.check_schema(schema)
errors = list(validator(schema, format_checker=validator.FORMAT_CHECKER).iter_errors(document))
sys.exit('\\n'.join(f'{error.json_path}: {error.message}' for error in errors) or None)";
    let scratch = Scratch::new("schema");
    let path = scratch.write("document.json", document);
    let output =
        Command::new(own("venv/bin/python")).args(["-c", PROGRAM]).arg(data(schema)).arg(path).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
}

#[test]
#[ignore = "needs Python's jsonschema: run tests/run-all"]
fn sarif_is_valid_by_its_schema() {
    for report in reports() {
        assert_eq!(
            validates("tests/data/schemas/sarif-2.1.0.schema.json", &written(&report, ReportFormat::Sarif)),
            Ok(())
        );
    }
    assert!(validates("tests/data/schemas/sarif-2.1.0.schema.json", "{\"version\": \"2.1.0\"}").is_err());
}

#[test]
#[ignore = "needs Python's jsonschema: run tests/run-all"]
fn json_is_valid_by_the_schema_that_we_publish() {
    const SCHEMA: &str = "docs/schemas/verify-report-v1.schema.json";
    for report in reports() {
        assert_eq!(validates(SCHEMA, &written(&report, ReportFormat::Json)), Ok(()));
    }
    // A field that the schema does not know is refused, so that none can come unannounced.
    let mut document: Value = serde_json::from_str(&written(&report(), ReportFormat::Json)).unwrap();
    document["domains"][0]["keys"][0]["observation"]["hops"][0]["another"] = Value::Null;
    assert!(validates(SCHEMA, &document.to_string()).is_err());
}
