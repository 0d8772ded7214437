//! The forms of a report.

use std::fmt;
use std::io::{self, Write};

use super::{Report, github, json, junit, nagios, sarif, text};

/// The forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ReportFormat {
    /// For people: a table of all keys, then each finding with its remedy.
    #[default]
    Text,
    /// All there is, with the answer of each server (docs/schemas/verify-report-v1.schema.json).
    Json,
    /// JUnit XML, as CI systems read it.
    Junit,
    /// Annotations of GitHub Actions (workflow commands).
    Github,
    /// One line and performance data for Nagios and Icinga; [`NagiosState`](super::NagiosState) has the exit code.
    Nagios,
    /// SARIF 2.1.0, as code scanning reads it.
    Sarif,
}

impl ReportFormat {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Text, Self::Json, Self::Junit, Self::Github, Self::Nagios, Self::Sarif];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Junit => "junit",
            Self::Github => "github",
            Self::Nagios => "nagios",
            Self::Sarif => "sarif",
        }
    }

    /// What it is for, in a few words.
    pub fn description(self) -> &'static str {
        match self {
            Self::Text => "A table of all keys, then each finding with its remedy",
            Self::Json => "All there is, with the answer of each server",
            Self::Junit => "JUnit XML: a test suite a domain, a test case a key",
            Self::Github => "Annotations of GitHub Actions, at the manifest's lines",
            Self::Nagios => "One line and performance data; exit codes by Nagios' convention",
            Self::Sarif => "SARIF 2.1.0, for code scanning",
        }
    }
}

impl fmt::Display for ReportFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Writes a report, whole. Text carries the escape sequences of its colours; the stream is to strip them where they are
/// not wanted.
///
/// # Errors
/// Those of `out`.
pub fn write(report: &Report, format: ReportFormat, out: &mut dyn Write) -> io::Result<()> {
    match format {
        ReportFormat::Text => text::write(report, out),
        ReportFormat::Json => json::write(report, out),
        ReportFormat::Junit => junit::write(report, out),
        ReportFormat::Github => github::write(report, out),
        ReportFormat::Nagios => nagios::write(report, out),
        ReportFormat::Sarif => sarif::write(report, out),
    }
}
