//! All cases against all rules, and the words of every finding.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::world::*;
use super::{dns, key, policy, syntax};
use crate::check::{RULES, Rule};

fn examples() -> Vec<Example> {
    [dns::examples(), syntax::examples(), key::examples(), policy::examples()].into_iter().flatten().collect()
}

#[test]
fn a_key_that_is_published_as_it_should_be_is_clean() {
    let world = World::new();
    assert_eq!(world.findings(), []);
    assert_eq!(world.undetermined(), None);
}

#[test]
fn each_case_finds_what_it_is_about_and_nothing_else() {
    let mut complaints = String::new();
    for example in examples() {
        let mut world = World::new();
        (example.spoil)(&mut world);
        let findings = world.findings();
        let mut found: Vec<_> = findings.iter().map(|finding| (finding.rule, finding.severity)).collect();
        found.sort_unstable();
        let mut expected: Vec<_> = example.found.iter().map(|(rule, severity)| (rule.id(), *severity)).collect();
        expected.sort_unstable();
        if found != expected {
            let _ = writeln!(complaints, "{}: {found:?}, not {expected:?}", example.name);
            findings.iter().for_each(|finding| writeln!(complaints, "    {} {finding}", finding.rule).unwrap());
        }
    }
    assert!(complaints.is_empty(), "\n{complaints}");
}

#[test]
fn every_rule_has_a_case_that_triggers_it_and_one_that_does_not() {
    let examples = examples();
    let triggered: BTreeSet<Rule> = examples.iter().flat_map(|example| example.found).map(|(rule, _)| *rule).collect();
    let quiet: BTreeSet<Rule> = examples.iter().filter_map(|example| example.near).collect();
    for &rule in Rule::ALL {
        assert!(triggered.contains(&rule), "{rule} is triggered by no case");
        assert!(quiet.contains(&rule), "{rule} has no case that is near and quiet");
        let worst = examples.iter().flat_map(|example| example.found).filter(|(other, _)| *other == rule);
        let worst = worst.map(|(_, severity)| *severity).max();
        assert_eq!(worst, Some(rule.description().severity), "{rule}: its worst severity is shown by no case");
    }
}

#[test]
fn every_finding_says_what_to_do_in_printable_ascii() {
    for example in examples() {
        let mut world = World::new();
        (example.spoil)(&mut world);
        for finding in world.findings() {
            assert!(!finding.remedy.is_empty() && !finding.evidence.is_empty(), "{}", example.name);
            assert!(!finding.evidence.ends_with('.') && !finding.remedy.ends_with('.'), "{}", example.name);
            let text = format!("{finding}{}{}", finding.expected, finding.record);
            assert!(!text.contains(char::is_control), "{}: {text:?}", example.name);
            assert!(text.len() < 3_000, "{}: {} octets", example.name, text.len());
            assert!(finding.record.is_empty() || finding.record.contains(" IN TXT ( \""), "{}", example.name);
        }
    }
}

#[test]
fn the_words_of_findings() {
    for letter in ["D", "S", "K", "P"] {
        let mut text = String::new();
        for example in examples() {
            let mut world = World::new();
            (example.spoil)(&mut world);
            if example.found.iter().any(|(rule, _)| rule.id().starts_with(letter)) {
                let _ = writeln!(text, "## {}", example.name);
                for finding in world.findings() {
                    let _ = writeln!(text, "{} {}\n  at       {}", finding.rule, finding.severity, finding.place);
                    let lines = [
                        ("seen", &finding.evidence),
                        ("expected", &finding.expected),
                        ("remedy", &finding.remedy),
                        ("record", &finding.record),
                    ];
                    let shortened = |value: &str| match value.split_once(" IN TXT ( ") {
                        Some((owner, strings)) if strings.len() > 40 => format!("{owner} IN TXT ( {}…", &strings[..40]),
                        _ => value.to_owned(),
                    };
                    for (name, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
                        let _ = writeln!(text, "  {name:8} {}", shortened(value));
                    }
                }
                if let Some(why) = world.undetermined() {
                    let _ = writeln!(text, "undetermined: {why}");
                }
                text.push('\n');
            }
        }
        insta::assert_snapshot!(letter, text);
    }
}

#[test]
fn the_catalogue_in_the_documentation_has_every_rule_as_it_is() {
    let page = include_str!("../../../docs/checks.md");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for rule in RULES {
        let heading = format!("\n### {}\n", rule.id);
        let at = page.find(&heading).unwrap_or_else(|| panic!("docs/checks.md lacks {}", rule.id));
        let text = words(page[at + heading.len()..].split("\n#").next().unwrap());
        assert_eq!(text, words(&format!("**{}.** {}", rule.title, rule.explanation)), "docs/checks.md: {}", rule.id);
        let row = format!("| [{0}](#{1}) | {2}", rule.id, rule.id.to_lowercase(), rule.severity);
        let row = page.lines().find(|line| line.starts_with(&row));
        assert!(row.is_some_and(|row| row.contains(rule.title)), "docs/checks.md: {} is not in the table", rule.id);
    }
    let headings = page.lines().filter(|line| line.starts_with("### ")).count();
    assert_eq!(headings, RULES.len());
}
