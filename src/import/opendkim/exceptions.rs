//! DontSignMailTo and ExemptDomains, as patterns of rules.

use super::dataset::{DataSet, Kind};
use crate::finding::{Finding, Severity};
use crate::policy::AddressPattern;

/// The patterns that say what an entry does; or why it never matches.
type Patterns = fn(Kind, &str) -> Result<Vec<String>, &'static str>;

/// What the entries say, each by `of`. What cannot be said stops the import: such mail would be signed.
pub(super) fn patterns(set: &DataSet, of: Patterns, findings: &mut Vec<Finding>) -> Vec<AddressPattern> {
    let mut patterns = Vec::new();
    for entry in &set.entries {
        let mut find = |rule, severity, evidence: String, remedy: &str| {
            findings.push(Finding::new(rule, severity, entry.place.clone(), evidence, remedy));
        };
        let texts = match of(set.kind, &entry.key) {
            Ok(texts) => texts,
            Err(why) => {
                let evidence = format!("{:?} never matches: {why}; it is left out", entry.key);
                find("import.never_matches", Severity::Warning, evidence, "add it to the rule if it should count");
                continue;
            }
        };
        for text in texts {
            match text.parse() {
                Ok(pattern) if !text.contains('?') => patterns.push(pattern),
                Ok(_) => {
                    let evidence =
                        format!("{:?}: ? stands for itself in OpenDKIM, and for any octet in Waxseal", entry.key);
                    find("import.pattern", Severity::Error, evidence, "write a pattern without it");
                }
                Err(error) => {
                    let evidence = format!("{:?} is no pattern: {error}", entry.key);
                    find(
                        "import.pattern",
                        Severity::Error,
                        evidence,
                        "correct it, or take it out: such mail would be signed",
                    );
                }
            }
        }
    }
    patterns
}

/// Recipients are compared with the whole entry, without the forms in which authors are looked for.
pub(super) fn recipient_patterns(kind: Kind, key: &str) -> Result<Vec<String>, &'static str> {
    match kind {
        Kind::Patterns => Ok(whole_addresses(key)).and_then(|texts| {
            if texts.is_empty() {
                Err("it is compared with the whole address, and no address is like this")
            } else {
                Ok(texts)
            }
        }),
        Kind::Exact if key.contains('*') => Err("without refile: wildcards count for nothing"),
        Kind::Exact => match key.split_once('@') {
            Some((local_part, domain)) if !local_part.is_empty() && !domain.starts_with('.') => {
                Ok(vec![key.to_owned()])
            }
            _ => Err("recipients are compared as whole addresses, not by their domains"),
        },
    }
}

/// Authors' domains are compared with the whole entry.
pub(super) fn exempt_patterns(kind: Kind, key: &str) -> Result<Vec<String>, &'static str> {
    match kind {
        _ if key.contains('@') => Err("it is compared with domains, not with addresses"),
        Kind::Patterns => Ok(vec![format!("*@{key}")]),
        Kind::Exact if key.contains('*') => Err("without refile: wildcards count for nothing"),
        Kind::Exact if key.starts_with('.') => Err("domains are compared as they are, without those above them"),
        Kind::Exact => Ok(vec![format!("*@{key}")]),
    }
}

/// A pattern for addresses as patterns with an `@`: without one its `*` may stand for both sides. None if it fits no
/// address.
pub(super) fn whole_addresses(key: &str) -> Vec<String> {
    if key.contains('@') {
        return vec![key.to_owned()];
    }
    let split = |(at, _): (usize, &str)| Some(format!("{}@{}", key.get(..=at)?, key.get(at..)?));
    key.match_indices('*').filter_map(split).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_whole_addresses_and_exempt_domains_whole_domains() {
        assert_eq!(recipient_patterns(Kind::Exact, "a@b.example").unwrap(), ["a@b.example"]);
        for never in ["b.example", ".b.example", "a@.b.example", "*", "a@*", "@b.example"] {
            assert!(recipient_patterns(Kind::Exact, never).is_err(), "{never}");
        }
        assert_eq!(recipient_patterns(Kind::Patterns, "*b.example").unwrap(), ["*@*b.example"]);
        assert!(recipient_patterns(Kind::Patterns, "b.example").is_err());
        assert_eq!(exempt_patterns(Kind::Patterns, "*.b.example").unwrap(), ["*@*.b.example"]);
        for never in [".b.example", "a@b.example", "*.b.example"] {
            assert!(exempt_patterns(Kind::Exact, never).is_err(), "{never}");
        }
    }
}
