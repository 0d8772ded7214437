//! The names of the rules.

use std::fmt;
use std::str::FromStr;

use super::catalogue::RULES;
pub use super::catalogue::Rule;
use crate::finding::RuleDescription;

/// How many rules an unknown one is answered with.
const NEAR: usize = 3;

/// A string that names no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no rule {given:?}; {}", suggestion(.near))]
pub struct UnknownRule {
    /// The string.
    pub given: String,
    /// Rules with names like it, the nearest first; empty where there are none.
    pub near: Vec<Rule>,
}

impl Rule {
    /// Its identifier, which never changes: `D01`.
    pub fn id(self) -> &'static str {
        self.description().id
    }

    /// What it is about.
    pub fn description(self) -> &'static RuleDescription {
        // The table and the variants come from one list.
        &RULES[self as usize]
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl FromStr for Rule {
    type Err = UnknownRule;

    /// Finds a rule by its identifier, in upper or lower case.
    fn from_str(text: &str) -> Result<Self, UnknownRule> {
        let wanted = text.trim();
        Self::ALL
            .iter()
            .copied()
            .find(|rule| rule.id().eq_ignore_ascii_case(wanted))
            .ok_or_else(|| UnknownRule { given: text.into(), near: near(wanted) })
    }
}

/// Rules of the same group, those with the nearest numbers first.
fn near(wanted: &str) -> Vec<Rule> {
    let mut characters = wanted.chars();
    let group = characters.next().map(|letter| letter.to_ascii_uppercase());
    let number: i64 = characters.as_str().trim().parse::<u16>().map_or(1, i64::from);
    let distance = |rule: &Rule| rule.id()[1..].parse::<i64>().map_or(i64::MAX, |own| (own - number).abs());
    let mut rules: Vec<Rule> = Rule::ALL.iter().copied().filter(|rule| rule.id().chars().next() == group).collect();
    rules.sort_by_key(distance);
    rules.truncate(NEAR);
    rules
}

fn suggestion(near: &[Rule]) -> String {
    if near.is_empty() {
        return "D stands for DNS, S for syntax, K for keys, P for policy, as in D01".into();
    }
    let names: Vec<_> = near.iter().map(|rule| rule.id()).collect();
    format!("near it are {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Severity;

    #[test]
    fn a_rule_is_found_by_its_identifier_in_any_case() {
        for &rule in Rule::ALL {
            assert_eq!(rule.id().parse(), Ok(rule));
            assert_eq!(rule.id().to_lowercase().parse(), Ok(rule));
            assert_eq!(rule.id(), format!("{rule:?}"));
        }
    }

    #[test]
    fn an_unknown_rule_is_answered_with_those_near_it() {
        let error = "d17".parse::<Rule>().unwrap_err();
        assert_eq!(error.to_string(), "there is no rule \"d17\"; near it are D16, D15, D14");
        assert_eq!("D3".parse::<Rule>().unwrap_err().near[0], Rule::D03);
        assert_eq!("P10".parse::<Rule>().unwrap_err().near, [Rule::P09, Rule::P11, Rule::P08]);
        for odd in ["", "X01", "é", "\u{1b}[31m", "D99999999999999999999"] {
            let error = odd.parse::<Rule>().unwrap_err();
            assert!(!error.to_string().contains('\u{1b}'), "{error}");
        }
    }

    #[test]
    fn every_rule_says_what_it_is_why_it_matters_and_what_to_do() {
        for &rule in Rule::ALL {
            let description = rule.description();
            assert!(description.title.len() > 10 && !description.title.ends_with('.'), "{rule}");
            assert!(description.explanation.split(". ").count() >= 3, "{rule} needs some sentences");
            assert!(description.explanation.ends_with('.'), "{rule}");
            assert!(!description.explanation.contains("  "), "{rule}: a line was joined badly");
            let needs_source = description.severity == Severity::Error && !matches!(rule, Rule::P11);
            assert!(!needs_source || description.explanation.contains("RFC"), "{rule} names no standard");
        }
    }
}
