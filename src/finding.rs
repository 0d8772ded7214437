//! What is wrong somewhere, as one shape: for configuration, the key store, imports and DNS.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

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
    /// Something without a file, such as a domain.
    Subject {
        /// Its name.
        subject: String,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path { path } => write!(f, "{}", path.display()),
            Self::Line { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Subject { subject } => f.write_str(subject),
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
    /// What to do; empty where the evidence says it all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
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
