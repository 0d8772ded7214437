//! Findings for people and machines, one renderer each. Nothing here knows a rule.
//!
//! ```text
//! Report ──write──▶ text     a summary, then details: for people
//!            │      json     all there is, version 1 (docs/schemas)
//!            │      junit    a test suite a domain, a test case a key
//!            │      github   annotations at the manifest's lines
//!            │      nagios   one line and performance data; its exit code is NagiosState
//!            └────  sarif    2.1.0
//! ```
//!
//! Findings of one domain that differ only in selector or server are shown as one ([`fold`]), except in JSON, which has
//! them as they are. Text from elsewhere passes [`safe`] before it is written.

mod fold;
mod format;
mod github;
mod json;
mod junit;
mod model;
mod nagios;
pub(crate) mod safe;
mod sarif;
mod tally;
mod text;

pub use format::{ReportFormat, write};
pub use json::JsonWriter;
pub use model::{DomainReport, KeyReport, Report, Verdict};
pub use nagios::NagiosState;
pub use tally::Tally;
