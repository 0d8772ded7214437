//! What judging comes to.

use crate::finding::Finding;
use crate::names::Selector;

/// All that is to be said of one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// Of the domain as a whole.
    pub findings: Vec<Finding>,
    /// Of each key, in the order of the subject's keys.
    pub keys: Vec<KeyJudgement>,
}

/// All that is to be said of one key record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyJudgement {
    /// Its selector.
    pub selector: Selector,
    /// Worst first.
    pub findings: Vec<Finding>,
    /// Why it could not be found out what is published, if so: nobody answered.
    pub undetermined: Option<String>,
}
