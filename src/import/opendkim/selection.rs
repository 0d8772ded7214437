//! Whom OpenDKIM signs for: a model of what it does, traps and all, for comparison.

use std::net::IpAddr;

use super::dataset::{DataSet, Entry, Kind};
use super::setup::{Below, Matches, Setup, Who};
use crate::import::proof::{Sample, Selection, Signature};
use crate::message::{Headers, parse_mailboxes};
use crate::policy::MacroValues;

impl Setup {
    /// Whom OpenDKIM signs this message for.
    pub fn select(&self, message: &Sample) -> Selection {
        // A program on this machine counts as loopback.
        let client = message.client.unwrap_or(IpAddr::from([127, 0, 0, 1]));
        if self.peers.has_client(&message.host, Some(client)) {
            return Selection::Passes;
        }
        if message.recipients.iter().any(|recipient| self.unsigned_recipients.has(recipient)) {
            return Selection::Passes;
        }
        let Some((local_part, domain)) = self.author(&message.headers) else { return Selection::Passes };
        if self.exempt.has(&domain) || !self.is_trusted(message, client) {
            return Selection::Passes;
        }
        match self.signatures(&local_part, &domain) {
            Some(signatures) if signatures.is_empty() => Selection::Passes,
            // Of three or more only the first and the last arrive in the message.
            Some(mut signatures) => {
                if signatures.len() > 2 {
                    signatures.drain(1..signatures.len() - 1);
                }
                Selection::Signs(signatures)
            }
            None => Selection::Defers,
        }
    }

    fn is_trusted(&self, message: &Sample, client: IpAddr) -> bool {
        let value = |name: &str| {
            let value = MacroValues::value(&message.macros, name).filter(|value| !value.is_empty());
            value.map(|value| String::from_utf8_lossy(value).into_owned())
        };
        let has_macro = self.macros.entries.iter().any(|entry| {
            let found = value(&entry.key);
            found.is_some_and(|found| entry.value.is_empty() || entry.value.split('|').any(|wanted| wanted == found))
        });
        value("daemon_name").is_some_and(|name| self.mta.has(&name))
            || has_macro
            || value("auth_type").is_some()
            || self.internal.has_client(&message.host, Some(client))
    }

    /// The first author in the first header field that is looked at and is there.
    fn author(&self, headers: &Headers) -> Option<(String, String)> {
        let from = ["from".to_owned()];
        let names = if self.sender_headers.is_empty() { &from[..] } else { &self.sender_headers };
        let field = names.iter().find_map(|name| headers.named(name).next())?;
        let mailboxes = parse_mailboxes(field.value()).ok()?;
        let first = mailboxes.first()?;
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).to_ascii_lowercase();
        Some((text(&first.local_part), text(&first.domain)))
    }

    /// None where a key that is named is not there.
    pub(in crate::import) fn signatures(&self, local_part: &str, domain: &str) -> Option<Vec<Signature>> {
        let mut signatures = Vec::new();
        match &self.who {
            Who::Nobody => {}
            Who::Domains { domains, below, key, .. } => {
                let parents = domain.match_indices('.').filter_map(|(at, _)| domain.get(at + 1..));
                let parents = parents.filter(|_| *below == Below::Sign);
                let signs = std::iter::once(domain).chain(parents).find(|name| domains.has(name));
                let signature = |signing: &str| {
                    let identity = (signing != domain).then(|| format!("@{signing}"));
                    Signature { domain: signing.into(), selector: key.selector.clone(), identity }
                };
                signatures.extend(signs.map(signature));
            }
            Who::Table { lines, keys } => {
                for entry in fitting(lines, local_part, domain, self.matches) {
                    let (name, signer) = entry.value.split_once(':').unwrap_or((&entry.value, ""));
                    let name = if name == "%" { domain } else { name };
                    let (key, _) = keys.get(&name.to_ascii_lowercase())?;
                    let signing_domain = if key.is_authors() { domain } else { &key.domain };
                    let signing_domain = signing_domain.to_ascii_lowercase();
                    let identity = signer.replace('%', domain);
                    let identity = identity_within(&identity, &signing_domain).then_some(identity);
                    signatures.push(Signature { domain: signing_domain, selector: key.selector.clone(), identity });
                }
            }
        }
        Some(signatures)
    }
}

/// Whether i= may stand in a signature of that domain; others are dropped.
pub(super) fn identity_within(identity: &str, signing_domain: &str) -> bool {
    let Some((_, domain)) = identity.rsplit_once('@') else { return false };
    let domain = domain.to_ascii_lowercase();
    domain == signing_domain || domain.strip_suffix(signing_domain).is_some_and(|rest| rest.ends_with('.'))
}

/// The texts under which an address is looked for in what is no `refile:`, in their order.
fn forms(local_part: &str, domain: &str) -> Vec<String> {
    let mut forms = vec![format!("{local_part}@{domain}"), domain.to_owned()];
    for parent in domain.match_indices('.').filter_map(|(at, _)| domain.get(at..)) {
        forms.push(format!("{local_part}@{parent}"));
        forms.push(parent.to_owned());
    }
    forms.push(format!("{local_part}@*"));
    forms.push("*".to_owned());
    forms
}

fn fitting<'d>(lines: &'d DataSet, local_part: &str, domain: &str, matches: Matches) -> Vec<&'d Entry> {
    let most = match matches {
        Matches::First => 1,
        Matches::All => usize::MAX,
    };
    match lines.kind {
        Kind::Exact => forms(local_part, domain).iter().filter_map(|form| lines.find(form)).take(most).collect(),
        Kind::Patterns => {
            let address = format!("{local_part}@{domain}");
            lines.fitting(&address).take(most).collect()
        }
    }
}
