//! What findings are made of: where, who said it, how it is shown.

use jiff::Timestamp;

use super::{HeldKey, KeySubject, Rule, Subject, Wishes};
use crate::dkim::KeyRecord;
use crate::finding::{Finding, Place, Severity};
use crate::manifest::StateName;
use crate::names::{DomainName, Selector};
use crate::observation::{Server, Txt, presentation};

/// Characters of a record that are shown.
const SHOWN: usize = 160;

/// Servers that are named in one finding.
const NAMED: usize = 4;

/// Most octets of one character-string (RFC 1035 §3.3).
pub(super) const MAX_STRING: usize = 255;

/// A domain, or one of its key records.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) domain: &'a DomainName,
    pub(super) selector: Option<&'a Selector>,
}

impl About<'_> {
    /// A finding about all servers, or none.
    pub(super) fn finding(
        self,
        rule: Rule,
        severity: Severity,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        Finding::new(rule.id(), severity, self.place(None), evidence, remedy)
    }

    /// A finding about these servers: its place names one, its evidence several.
    pub(super) fn finding_at(
        self,
        (rule, severity): (Rule, Severity),
        servers: &[&Server],
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        let evidence = evidence.into();
        match servers {
            [] => self.finding(rule, severity, evidence, remedy),
            [server] => Finding::new(rule.id(), severity, self.place(Some(server)), evidence, remedy),
            several => self.finding(rule, severity, format!("{}: {evidence}", list(several)), remedy),
        }
    }

    fn place(self, server: Option<&Server>) -> Place {
        Place::Domain {
            domain: self.domain.clone(),
            selector: self.selector.cloned(),
            server: server.map(|server| shown_name(&server.to_string())),
        }
    }
}

/// One key record with all that is needed to judge it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) subject: &'a Subject,
    pub(super) key: &'a KeySubject,
    pub(super) wishes: &'a Wishes,
    pub(super) now: Timestamp,
}

impl<'a> Case<'a> {
    pub(super) fn about(&self) -> About<'a> {
        About { domain: &self.subject.domain, selector: Some(&self.key.selector) }
    }

    pub(super) fn held(&self) -> Option<&'a HeldKey> {
        self.key.held.as_ref()
    }

    pub(super) fn state(&self) -> Option<StateName> {
        self.held().map(|held| held.state)
    }

    pub(super) fn finding(
        &self,
        rule: Rule,
        severity: Severity,
        evidence: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Finding {
        self.about().finding(rule, severity, evidence, remedy)
    }

    /// The record that is to stand in DNS: none where we do not hold the key, or none is to stand there.
    pub(super) fn wanted(&self) -> Option<KeyRecord> {
        let held = self.held()?;
        match held.state {
            StateName::Withdrawn => None,
            StateName::Revoked => Some(KeyRecord::revoked(held.public_key.algorithm())),
            _ => Some(KeyRecord::of(&held.public_key)),
        }
    }

    /// Where the record is to stand: the name itself, or where its CNAMEs lead.
    pub(super) fn owner(&self) -> String {
        match self.key.observation.hops.as_slice() {
            [_, .., last] => shown_name(last.name.trim_end_matches('.')),
            _ => self.key.selector.record_name(&self.subject.domain),
        }
    }

    /// The same finding with what is to be published, where that is known.
    pub(super) fn publish(&self, finding: Finding) -> Finding {
        let (Some(held), Some(record)) = (self.held(), self.wanted()) else { return finding };
        let expected = if record.is_revoked() {
            "one TXT record with an empty p=".to_owned()
        } else {
            format!(
                "one TXT record with our {} key {}",
                held.public_key.algorithm().k_tag(),
                held.public_key.id().short()
            )
        };
        finding.expecting(expected).publishing(zone_line(&self.owner(), held.record_ttl, &record))
    }

    /// What to do about a record that must be replaced.
    pub(super) fn replace_it(&self) -> &'static str {
        match self.wanted() {
            Some(_) => "replace the record by the one shown here",
            None => "replace the record by the one that the signer of this selector prints",
        }
    }
}

/// A line of a zone file (RFC 1035 §5.1).
pub(super) fn zone_line(name: &str, ttl: u32, record: &KeyRecord) -> String {
    let mut line = format!("{name}. {ttl} IN TXT (");
    for string in record.txt_strings() {
        line.push_str(" \"");
        line.push_str(&string.replace('\\', "\\\\").replace('"', "\\\""));
        line.push('"');
    }
    line.push_str(" )");
    line
}

/// The first of these servers by name, and how many more there are.
pub(super) fn list(servers: &[&Server]) -> String {
    let named: Vec<_> = servers.iter().take(NAMED).map(|server| shown_name(&server.to_string())).collect();
    match servers.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

/// A record as it was seen, shortened.
pub(super) fn shown_record(txt: &Txt) -> String {
    shown(&txt.joined())
}

/// Octets as they were seen, shortened, in quotes.
pub(super) fn shown(octets: &[u8]) -> String {
    match octets.get(..SHOWN) {
        Some(start) if octets.len() > SHOWN => {
            format!("`{}…` ({} octets)", presentation(start), octets.len())
        }
        _ => format!("`{}`", presentation(octets)),
    }
}

/// A name that came from DNS, in which no control character reaches a terminal.
pub(super) fn shown_name(name: &str) -> String {
    if name.bytes().all(|octet| octet.is_ascii_graphic() || octet == b' ') {
        name.to_owned()
    } else {
        presentation(name.as_bytes())
    }
}

/// Words of others (an error message of the system, a resolver's name), in which no control character reaches a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().take(SHOWN).map(|character| if character.is_control() { '?' } else { character }).collect()
}

/// Seconds as people say them.
pub(super) fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, unit) in units {
        if rest >= size {
            parts.push(format!("{} {unit}", rest / size));
            rest %= size;
        }
    }
    parts.truncate(2);
    if parts.is_empty() { "0 s".into() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::dkim::{KeyKind, PrivateKey};

    #[test]
    fn the_line_to_publish_is_what_record_prints() {
        let key = PrivateKey::generate(KeyKind::default()).unwrap();
        let record = KeyRecord::of(key.public());
        let domain = DomainName::parse("example.com").unwrap();
        let selector = Selector::parse("s1").unwrap();
        let published = crate::record_format::PublishedRecord {
            name: selector.record_name(&domain),
            rr_type: "TXT",
            ttl: 3600,
            value: record.to_string(),
            domain: domain.clone(),
            selector: selector.clone(),
            algorithm: key.public().algorithm(),
            alias: None,
            strings: record.txt_strings(),
        };
        let mut printed = Vec::new();
        crate::record_format::write_bind(&mut printed, &[published]).unwrap();
        assert_eq!(
            String::from_utf8(printed).unwrap().trim_end(),
            zone_line(&selector.record_name(&domain), 3600, &record)
        );
    }

    #[test]
    fn long_records_and_lists_are_shortened_and_nothing_is_raw() {
        let text = shown(&[0x1b; 70_000]);
        assert!(text.len() < 1_000 && text.ends_with("(70000 octets)"), "{text}");
        assert!(text.is_ascii() || !text.contains('\u{1b}'));
        assert_eq!(shown(b"a"), "`a`");
        let servers: Vec<_> = (1..=6u8)
            .map(|n| Server { name: format!("ns{n}.\u{1b}"), address: SocketAddr::from(([192, 0, 2, n], 53)) })
            .collect();
        let text = list(&servers.iter().collect::<Vec<_>>());
        assert!(text.ends_with("and 2 more") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn seconds_are_said_in_two_units() {
        let said: Vec<_> = [0, 59, 60, 3_661, 86_400, 90_061].into_iter().map(span).collect();
        assert_eq!(said, ["0 s", "59 s", "1 min", "1 h 1 min", "1 d", "1 d 1 h"]);
    }
}
