//! Why a public manifest cannot be used, and where in it.

use super::line::VERSION;
use crate::manifest::Contradiction;
use crate::names::{DomainName, DomainNameError};

/// Why text is no public manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublicManifestError {
    /// Not JSON, or not the fields of a public manifest.
    #[error(
        "line {line}, column {column}{}: {}; mend it, or make it anew with `waxseal export --public`",
        of(.domain.as_ref()), without_position(.source)
    )]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in octets.
        column: usize,
        /// The domain it is in, if it is in one.
        domain: Option<DomainName>,
        /// What is wrong. Its own position is within a part of the file.
        source: serde_json::Error,
    },
    /// Written by a newer waxseal.
    #[error(
        "this is version {found} of the public manifest, written by a newer waxseal; this waxseal reads version \
         {VERSION}: upgrade it"
    )]
    NewerVersion {
        /// The version it is in.
        found: u64,
    },
    /// No such version was ever.
    #[error("there is no version {found} of the public manifest; this waxseal reads version {VERSION}")]
    NoSuchVersion {
        /// The version it claims to be in.
        found: u64,
    },
    /// A name that is no domain.
    #[error("line {line}, column {column}: {source}")]
    Domain {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in octets.
        column: usize,
        /// What is wrong with the name.
        source: DomainNameError,
    },
    /// A domain stands there twice, perhaps in two spellings.
    #[error("line {line}, column {column}: {domain} stands on line {first} already; leave one of the two")]
    DomainTwice {
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in octets.
        column: usize,
        /// The domain.
        domain: DomainName,
        /// The line on which it stands first.
        first: usize,
    },
    /// Well-formed, but it cannot be.
    #[error(
        "line {line}, column {column}: {domain}: {contradiction}; mend it, or make the file anew with `waxseal export \
         --public`"
    )]
    Contradiction {
        /// The line of the key to blame, counted from 1.
        line: usize,
        /// Counted from 1, in octets.
        column: usize,
        /// The domain.
        domain: DomainName,
        /// What cannot be, with the value.
        contradiction: Contradiction,
    },
}

impl PublicManifestError {
    /// The line to blame, counted from 1; 1 for what is wrong with the whole file.
    pub fn line(&self) -> usize {
        self.position().0
    }

    /// The column to blame, counted from 1, in octets.
    pub fn column(&self) -> usize {
        self.position().1
    }

    /// The domain it is about, if it is about one.
    pub fn domain(&self) -> Option<&DomainName> {
        match self {
            Self::Syntax { domain, .. } => domain.as_ref(),
            Self::DomainTwice { domain, .. } | Self::Contradiction { domain, .. } => Some(domain),
            Self::NewerVersion { .. } | Self::NoSuchVersion { .. } | Self::Domain { .. } => None,
        }
    }

    fn position(&self) -> (usize, usize) {
        match self {
            Self::Syntax { line, column, .. }
            | Self::Domain { line, column, .. }
            | Self::DomainTwice { line, column, .. }
            | Self::Contradiction { line, column, .. } => (*line, *column),
            Self::NewerVersion { .. } | Self::NoSuchVersion { .. } => (1, 1),
        }
    }
}

fn of(domain: Option<&DomainName>) -> String {
    domain.map(|domain| format!(", {domain}")).unwrap_or_default()
}

/// What serde_json says, without the position that it puts behind.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&position).unwrap_or(&text).to_owned()
}
