//! Findings for people and machines, one renderer each. Nothing here knows a rule.

mod model;

pub use model::{DomainReport, KeyReport, Report, Verdict};
