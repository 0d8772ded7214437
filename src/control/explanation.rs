//! What becomes of a message, why, and what to change: in words that last, and for a reader of any age.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What becomes of a message, step by step. Texts may hold what strangers wrote: whoever shows them escapes them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Explanation {
    /// `sign`, `pass`, `defer` or `refuse`.
    pub decision: String,
    /// The code of the reason: docs/reasons.md.
    pub reason: String,
    /// What it means.
    pub means: String,
    /// What to change where it is not wanted.
    pub remedy: String,
    /// Why it is trusted, or `untrusted`.
    pub origin: String,
    /// The author's address; of several of one domain the first.
    pub author: Option<String>,
    /// The rule that decides.
    pub rule: Option<ExplainedRule>,
    /// How the decision was reached.
    pub steps: Vec<ExplainedStep>,
    /// The domains whose keys were looked for, with all their keys.
    pub domains: Vec<ExplainedDomain>,
    /// The signatures it gets, the topmost first.
    pub signatures: Vec<ExplainedSignature>,
    /// What is wrong with it all the same.
    pub warnings: Vec<ExplainedWarning>,
}

/// A rule, and the line of it that decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExplainedRule {
    /// Its name, or `rule` and its number.
    pub name: String,
    /// The configuration file or a map.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
}

/// One step of a decision.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExplainedStep {
    /// The step in one sentence.
    pub text: String,
    /// Its facts: `step`, what it is, and what goes with that.
    #[serde(flatten)]
    pub facts: Map<String, Value>,
}

/// What the key store has of a domain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExplainedDomain {
    /// The domain.
    pub domain: String,
    /// `enabled`, `leaving` or `gone`; none where the store does not know it or cannot be read.
    pub status: Option<String>,
    /// Why the store cannot be read, if so.
    pub problem: Option<String>,
    /// Its keys, the oldest first.
    pub keys: Vec<ExplainedKey>,
}

/// A key of a domain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExplainedKey {
    /// s=
    pub selector: String,
    /// a=
    pub algorithm: String,
    /// Where it stands: docs/lifecycle.md.
    pub state: String,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Whether it is to sign.
    pub signs: bool,
    /// Why it cannot, if it is to and cannot.
    pub problem: Option<String>,
}

/// A signature the message gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExplainedSignature {
    /// d=
    pub domain: String,
    /// s=
    pub selector: String,
    /// a=
    pub algorithm: String,
    /// Of the key.
    pub bits: u32,
    /// i=; none is written where there is none.
    pub identity: Option<String>,
    /// c=
    pub canonicalization: String,
    /// x= minus t=, in seconds; none: it never expires.
    pub expires_after: Option<u64>,
    /// h=, in its order: an oversigned field stands once more than it is there.
    pub headers: Vec<String>,
    /// Names of fields that would be signed if the message had them.
    pub headers_if_present: Vec<String>,
    /// Why the domain signs: `author`, `parent`, `rule` or `also`.
    pub role: String,
}

/// What is wrong with a message that is signed all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExplainedWarning {
    /// Its code: docs/policy.md.
    pub warning: String,
    /// What to do about it.
    pub remedy: String,
}

impl Explanation {
    /// Whether the message is signed.
    pub fn is_signed(&self) -> bool {
        self.decision == "sign"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_daemon_adds_is_passed_over_and_what_an_older_lacks_is_empty() {
        let line = "{\"decision\":\"ponder\",\"reason\":\"new\",\"phase\":3,\"steps\":[{\"step\":\"moon\",\"text\":\"x\",\"full\":true}]}";
        let explanation: Explanation = serde_json::from_str(line).unwrap();
        assert!(!explanation.is_signed() && explanation.signatures.is_empty());
        assert_eq!(explanation.steps[0].text, "x");
        assert_eq!(explanation.steps[0].facts["full"], true);
    }
}
