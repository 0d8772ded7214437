//! Workflow commands of GitHub Actions: annotations at the lines of the manifest.

use std::io::{self, Write};

use super::fold::{UNDETERMINED, fold_findings};
use super::{DomainReport, Report, Tally, safe};
use crate::finding::{Place, Severity};

/// One annotation for each finding, and each key of which nothing could be found out; then the figures.
pub(super) fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    for domain in &report.domains {
        write_domain(domain, out)?;
    }
    writeln!(out, "{}", Tally::of(report))
}

fn write_domain(domain: &DomainReport, out: &mut dyn Write) -> io::Result<()> {
    let name = domain.domain.as_str();
    // What is about the whole domain stands at its first key.
    let place = domain.keys.iter().find_map(|key| key.source.as_ref());
    for folded in fold_findings(None, &domain.findings) {
        let said = format!("{name}: {}", folded.paragraph());
        annotate(out, command(folded.finding.severity), place, folded.finding.rule, &said)?;
    }
    for key in &domain.keys {
        let name = key.selector.record_name(&domain.domain);
        for folded in fold_findings(Some(&key.selector), &key.findings) {
            let said = format!("{name}: {}", folded.paragraph());
            annotate(out, command(folded.finding.severity), key.source.as_ref(), folded.finding.rule, &said)?;
        }
        if let Some(why) = &key.undetermined {
            let said = format!("{name}: {UNDETERMINED}: {}", safe::line(why));
            annotate(out, "error", key.source.as_ref(), "undetermined", &said)?;
        }
    }
    Ok(())
}

fn command(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    }
}

fn annotate(out: &mut dyn Write, command: &str, place: Option<&Place>, title: &str, said: &str) -> io::Result<()> {
    write!(out, "::{command} ")?;
    if let Some(path) = place.and_then(path) {
        write!(out, "file={},", property(&path.to_string_lossy()))?;
    }
    if let Some(Place::Line { line, .. }) = place {
        write!(out, "line={line},")?;
    }
    writeln!(out, "title={}::{}", property(title), message(said))
}

fn path(place: &Place) -> Option<&std::path::Path> {
    match place {
        Place::Path { path } | Place::Line { path, .. } => Some(path),
        Place::Subject { .. } | Place::Domain { .. } => None,
    }
}

/// Escapes what would end a message.
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes what would end a property.
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}
