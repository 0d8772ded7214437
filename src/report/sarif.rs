//! SARIF 2.1.0 (OASIS), as code scanning reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::fold::{Folded, UNDETERMINED, fold_findings};
use super::{Report, safe};
use crate::finding::{Place, RuleDescription, Severity};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// One run. Rules are those that its results name; what could not be found out is a notification of the run.
pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut run = Run::default();
    for domain in &report.domains {
        // What is about the whole domain stands at its first key.
        let place = domain.keys.iter().find_map(|key| key.source.as_ref());
        for folded in fold_findings(None, &domain.findings) {
            run.add(&folded, domain.domain.as_str(), place);
        }
        for key in &domain.keys {
            let name = key.selector.record_name(&domain.domain);
            for folded in fold_findings(Some(&key.selector), &key.findings) {
                run.add(&folded, &name, key.source.as_ref());
            }
            if let Some(why) = &key.undetermined {
                run.notifications.push(json!({
                    "level": "error",
                    "descriptor": { "id": "undetermined" },
                    "message": { "text": format!("{name}: {UNDETERMINED}: {}", safe::line(why)) },
                    "locations": [location(&name, key.source.as_ref())],
                }));
            }
        }
    }
    safe::write_json(out, &run.log(report))?;
    writeln!(out)
}

#[derive(Default)]
struct Run {
    results: Vec<Value>,
    notifications: Vec<Value>,
    rules: BTreeSet<&'static str>,
    /// How many results there are of each rule and name.
    seen: BTreeMap<String, usize>,
}

impl Run {
    fn add(&mut self, folded: &Folded<'_>, name: &str, source: Option<&Place>) {
        let rule = folded.finding.rule;
        self.rules.insert(rule);
        // The same however the evidence reads tomorrow.
        let identity = format!("{rule} {name}");
        let count = self.seen.entry(identity.clone()).or_default();
        *count += 1;
        let fingerprint = if *count == 1 { identity } else { format!("{identity} {count}") };
        self.results.push(json!({
            "ruleId": rule,
            "level": level(folded.finding.severity),
            "message": { "text": format!("{name}: {}", folded.paragraph()) },
            "locations": [location(name, source)],
            "partialFingerprints": { "ruleAndName/v1": fingerprint },
        }));
    }

    fn log(self, report: &Report) -> Value {
        let rules = report.rules.iter().filter(|rule| self.rules.contains(rule.id)).map(describe);
        json!({
            "$schema": SCHEMA,
            "version": "2.1.0",
            "runs": [{
                "tool": { "driver": {
                    "name": "waxseal",
                    "version": env!("CARGO_PKG_VERSION"),
                    "rules": rules.collect::<Vec<_>>(),
                    "notifications": [{
                        "id": "undetermined",
                        "shortDescription": { "text": UNDETERMINED },
                    }],
                } },
                "invocations": [{
                    "startTimeUtc": report.started.to_string(),
                    "endTimeUtc": report.finished.to_string(),
                    "executionSuccessful": self.notifications.is_empty(),
                    "toolExecutionNotifications": self.notifications,
                }],
                "columnKind": "unicodeCodePoints",
                "results": self.results,
            }],
        })
    }
}

fn describe(rule: &RuleDescription) -> Value {
    json!({
        "id": rule.id,
        "shortDescription": { "text": rule.title },
        "fullDescription": { "text": rule.explanation },
        "help": { "text": rule.explanation },
        "defaultConfiguration": { "level": level(rule.severity) },
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn location(name: &str, source: Option<&Place>) -> Value {
    let mut location = json!({ "logicalLocations": [{ "fullyQualifiedName": name, "kind": "resource" }] });
    if let Some(path) = source.and_then(path) {
        location["physicalLocation"] = json!({ "artifactLocation": { "uri": uri(path) } });
        if let Some(Place::Line { line, column, .. }) = source {
            location["physicalLocation"]["region"] = json!({ "startLine": line, "startColumn": column });
        }
    }
    location
}

fn path(place: &Place) -> Option<&Path> {
    match place {
        Place::Path { path } | Place::Line { path, .. } => Some(path),
        Place::Subject { .. } | Place::Domain { .. } => None,
    }
}

/// A URI of an absolute path, a relative reference of another (RFC 3986 §3.3, §4.2).
fn uri(path: &Path) -> String {
    let mut uri = String::from(if path.is_absolute() { "file://" } else { "" });
    for &octet in path.as_os_str().as_encoded_bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~/".contains(&octet) {
            uri.push(char::from(octet));
        } else {
            uri.push_str(&format!("%{octet:02X}"));
        }
    }
    uri
}
