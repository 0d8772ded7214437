//! What is wrong somewhere, as one shape: for configuration, the key store, imports and DNS.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::names::{DomainName, Selector};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing need be done.
    Info,
    /// Works today, will hurt one day.
    Warning,
    /// Does not work.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Where it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Place {
    /// A whole file or directory.
    Path {
        /// Its path.
        path: PathBuf,
    },
    /// A place in a text file.
    Line {
        /// The file's path.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
    },
    /// Something without a file, such as a setting of the environment.
    Subject {
        /// Its name.
        subject: String,
    },
    /// A domain or one of its key records.
    Domain {
        /// The domain.
        domain: DomainName,
        /// The record's selector; none where it is about the whole domain.
        #[serde(skip_serializing_if = "Option::is_none")]
        selector: Option<Selector>,
        /// The name server that was asked; none where it is about all of them.
        #[serde(skip_serializing_if = "Option::is_none")]
        server: Option<String>,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { path } => write!(f, "{}", path.display()),
            Self::Line { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Subject { subject } => f.write_str(subject),
            Self::Domain { domain, selector, server } => {
                match selector {
                    Some(selector) => f.write_str(&selector.record_name(domain))?,
                    None => f.write_str(domain.as_str())?,
                }
                match server {
                    Some(server) => write!(f, " at {server}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// One thing that is wrong, with what was seen and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// A stable identifier, documented with its remedy.
    pub rule: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Where.
    pub place: Place,
    /// What was seen, in lower case, without a full stop.
    pub evidence: String,
    /// What should have been seen; empty where the evidence says it all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// What to do; empty where the evidence says it all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
    /// The exact record to publish, as a line of a zone file; empty where publishing is not the remedy.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub record: String,
}

/// What a rule is about, for whoever meets its identifier in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleDescription {
    /// Its stable identifier.
    pub id: &'static str,
    /// How much its findings matter, at most.
    pub severity: Severity,
    /// It in a few words.
    pub title: &'static str,
    /// Why it matters and what to do: some sentences.
    pub explanation: &'static str,
}

impl Finding {
    /// A finding without expectation or record.
    pub fn new(
        rule: &'static str,
        severity: Severity,
        place: Place,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (evidence, remedy) = (evidence.into(), remedy.into());
        Self { rule, severity, place, evidence, expected: String::new(), remedy, record: String::new() }
    }

    /// The same with what should have been seen.
    #[must_use]
    pub fn expecting(self, expected: impl Into<String>) -> Self {
        Self { expected: expected.into(), ..self }
    }

    /// The same with the record to publish, as a line of a zone file.
    #[must_use]
    pub fn publishing(self, record: impl Into<String>) -> Self {
        Self { record: record.into(), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.severity, self.evidence)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// An error and what caused it, in one line: `it failed: since this: and that`. A cause that the message before it
/// already ends with is not said again.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'e>(pub &'e (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Failure {
        #[error("no such file")]
        Missing,
        #[error("cannot read it: {source}")]
        Quoting { source: Box<Failure> },
        #[error("nothing was changed")]
        Silent { source: Box<Failure> },
    }

    #[test]
    fn each_cause_is_said_once() {
        let quoting = Failure::Quoting { source: Failure::Missing.into() };
        assert_eq!(Chain(&quoting).to_string(), "cannot read it: no such file");
        let silent = Failure::Silent { source: quoting.into() };
        assert_eq!(Chain(&silent).to_string(), "nothing was changed: cannot read it: no such file");
    }
}
