//! The report for programs, version 1: docs/schemas/verify-report-v1.schema.json.

use std::collections::BTreeSet;
use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;

use super::{DomainReport, KeyReport, Report, Tally, Verdict, safe};
use crate::finding::{Finding, Place, RuleDescription, Severity};
use crate::names::{DomainName, Selector};
use crate::observation::Observation;

/// Writes the report domain by domain, for runs whose domains need not be held together in memory: [`begin`], each
/// [`domain`], [`finish`].
///
/// [`begin`]: JsonWriter::begin
/// [`domain`]: JsonWriter::domain
/// [`finish`]: JsonWriter::finish
pub struct JsonWriter<'w> {
    out: &'w mut dyn Write,
    fail_on: Severity,
    tally: Tally,
    verdict: Verdict,
    rules: BTreeSet<&'static str>,
}

impl<'w> JsonWriter<'w> {
    /// Begins a report with what is known when a run begins.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn begin(out: &'w mut dyn Write, started: Timestamp, fail_on: Severity) -> io::Result<Self> {
        writeln!(out, "{{\n\"version\": 1,\n\"waxseal\": \"{}\",", env!("CARGO_PKG_VERSION"))?;
        writeln!(out, "\"started\": \"{started}\",\n\"fail_on\": \"{fail_on}\",")?;
        write!(out, "\"domains\": [")?;
        Ok(Self { out, fail_on, tally: Tally::default(), verdict: Verdict::Clean, rules: BTreeSet::new() })
    }

    /// Writes the next domain.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn domain(&mut self, domain: &DomainReport) -> io::Result<()> {
        writeln!(self.out, "{}", if self.tally.domains == 0 { "" } else { "," })?;
        self.tally.add(domain);
        self.verdict = self.verdict.and(domain.verdict(self.fail_on));
        let of_keys = domain.keys.iter().flat_map(|key| &key.findings);
        self.rules.extend(domain.findings.iter().chain(of_keys).map(|finding| finding.rule));
        safe::write_json(self.out, &Domain::of(domain, self.fail_on))
    }

    /// Ends the report; `rules` may describe more than the findings name.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn finish(self, finished: Timestamp, rules: &[RuleDescription]) -> io::Result<()> {
        let rules: Vec<_> = rules.iter().filter(|rule| self.rules.contains(rule.id)).collect();
        write!(self.out, "\n],\n\"rules\": ")?;
        safe::write_json(self.out, &rules)?;
        writeln!(self.out, ",\n\"finished\": \"{finished}\",\n\"verdict\": \"{}\",", self.verdict)?;
        write!(self.out, "\"counts\": ")?;
        safe::write_json(self.out, &self.tally)?;
        writeln!(self.out, "\n}}")
    }
}

pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut writer = JsonWriter::begin(out, report.started, report.fail_on)?;
    for domain in &report.domains {
        writer.domain(domain)?;
    }
    writer.finish(report.finished, report.rules)
}

#[derive(Serialize)]
struct Domain<'r> {
    domain: &'r DomainName,
    verdict: Verdict,
    findings: &'r [Finding],
    keys: Vec<Key<'r>>,
}

impl<'r> Domain<'r> {
    fn of(domain: &'r DomainReport, fail_on: Severity) -> Self {
        Self {
            domain: &domain.domain,
            verdict: domain.verdict(fail_on),
            findings: &domain.findings,
            keys: domain.keys.iter().map(|key| Key::of(key, &domain.domain, fail_on)).collect(),
        }
    }
}

#[derive(Serialize)]
struct Key<'r> {
    selector: &'r Selector,
    record_name: String,
    algorithm: Option<&'static str>,
    state: Option<&'static str>,
    source: Option<&'r Place>,
    verdict: Verdict,
    undetermined: Option<&'r str>,
    findings: &'r [Finding],
    #[serde(skip_serializing_if = "Option::is_none")]
    observation: Option<&'r Observation>,
}

impl<'r> Key<'r> {
    fn of(key: &'r KeyReport, domain: &DomainName, fail_on: Severity) -> Self {
        Self {
            selector: &key.selector,
            record_name: key.selector.record_name(domain),
            algorithm: key.algorithm,
            state: key.state,
            source: key.source.as_ref(),
            verdict: key.verdict(fail_on),
            undetermined: key.undetermined.as_deref(),
            findings: &key.findings,
            observation: key.observation.as_ref(),
        }
    }
}
