//! The lines of SigningTable, or of Domain, as lines of a map: the first that fits decides, and each says who signs.

use std::collections::HashMap;

use super::dataset::{DataSet, Entry, Kind};
use super::exceptions::whole_addresses;
use super::key::KeyEntry;
use super::selection::identity_within;
use super::setup::{Below, Setup, Who};
use crate::finding::{Finding, Place, Severity};
use crate::names::{DomainName, Selector};
use crate::policy::{AddressPattern, Identity};

/// For whom, and who signs.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) pattern: AddressPattern,
    /// None where nobody does.
    pub(super) target: Option<Target>,
    pub(super) place: Place,
}

#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) domain: DomainName,
    pub(super) selector: Selector,
    pub(super) identity: Option<Identity>,
    pub(super) key: KeyEntry,
    /// What `%` in the key's path stands for.
    pub(super) author: String,
}

/// Collects lines and what is wrong with them.
pub(super) struct Lines<'a> {
    lines: Vec<Line>,
    /// The domains that `*` and `%` stand for.
    domains: &'a [DomainName],
    findings: &'a mut Vec<Finding>,
}

impl<'a> Lines<'a> {
    /// The lines of a setup; `domains` are those that `*` and `%` stand for.
    pub(super) fn of(setup: &Setup, domains: &'a [DomainName], findings: &'a mut Vec<Finding>) -> Vec<Line> {
        let mut lines = Self { lines: Vec::new(), domains, findings };
        match &setup.who {
            Who::Nobody => {}
            Who::Domains { domains, below, key, place } => lines.take_domains(domains, *below, key, place),
            Who::Table { lines: table, keys } => lines.take_table(table, keys),
        }
        lines.lines
    }

    fn take_domains(&mut self, domains: &DataSet, below: Below, key: &KeyEntry, place: &Place) {
        let (wild, plain): (Vec<_>, Vec<_>) = domains.entries.iter().partition(|entry| entry.key.contains('*'));
        let mut parents: Vec<&Entry> = plain.clone();
        parents.sort_by_key(|entry| std::cmp::Reverse(entry.key.matches('.').count()));
        for entry in &plain {
            self.signed_as(&entry.key, &entry.key, key, None, &entry.place);
        }
        for entry in wild {
            if let Some(pattern) = self.pattern(&entry.key, &entry.place) {
                self.sign(pattern, key, None, place);
            }
        }
        for entry in parents.into_iter().filter(|_| below == Below::Sign) {
            // For mail from below a domain OpenDKIM writes the domain into i=.
            let signer = format!("@{}", entry.key);
            self.signed_as(&format!("*.{}", entry.key), &entry.key, key, Some(&signer), &entry.place);
        }
    }

    fn signed_as(&mut self, pattern: &str, domain: &str, key: &KeyEntry, signer: Option<&str>, place: &Place) {
        if let Some(pattern) = self.pattern(pattern, place) {
            let key = key.signing_as(domain);
            self.sign(pattern, &key, signer, place);
        }
    }

    fn take_table(&mut self, table: &DataSet, keys: &HashMap<String, (KeyEntry, Place)>) {
        let mut ranked: Vec<(Rank, String, &Entry)> = Vec::new();
        for entry in &table.entries {
            let patterns = match table.kind {
                Kind::Patterns => self.expand(entry),
                Kind::Exact => self.exact(entry).into_iter().collect(),
            };
            ranked.extend(patterns.into_iter().map(|(rank, text)| (rank, text, entry)));
        }
        // Stable: a refile's lines stay in their order.
        ranked.sort_by_key(|(rank, ..)| *rank);
        for (_, text, entry) in ranked {
            if let Some(pattern) = self.pattern(&text, &entry.place) {
                self.take_entry(pattern, entry, keys);
            }
        }
    }

    fn take_entry(&mut self, pattern: AddressPattern, entry: &Entry, keys: &HashMap<String, (KeyEntry, Place)>) {
        let (name, signer) = entry.value.split_once(':').unwrap_or((&entry.value, ""));
        let place = &entry.place;
        if name.is_empty() {
            let evidence =
                "the line names no key: opendkim -n passes it, and the daemon dies of it with the first such mail";
            self.find(
                "import.line_without_key",
                place,
                evidence.into(),
                "name a key behind the pattern; it is taken over as -, nobody signs",
            );
            return self.lines.push(Line { pattern, target: None, place: place.clone() });
        }
        if name == "%" {
            return self.take_each(&pattern, signer, keys, place);
        }
        match keys.get(&name.to_ascii_lowercase()) {
            Some((key, _)) => self.sign(pattern, key, Some(signer), place),
            None => {
                let evidence = format!("the key {name:?} is not in the KeyTable: OpenDKIM defers such mail");
                self.find(
                    "import.no_such_key",
                    place,
                    evidence,
                    "add the key, or take the line out; it is taken over as -, nobody signs",
                );
                self.lines.push(Line { pattern, target: None, place: place.clone() });
            }
        }
    }

    /// A line for each key that has a domain's name: `%` in place of a key's name.
    fn take_each(
        &mut self,
        pattern: &AddressPattern,
        signer: &str,
        keys: &HashMap<String, (KeyEntry, Place)>,
        place: &Place,
    ) {
        if let Some((key, _)) = keys.get(&pattern.domain().to_ascii_lowercase()) {
            return self.sign(pattern.clone(), key, Some(signer), place);
        }
        let mut named: Vec<(&String, &KeyEntry)> = keys.iter().map(|(name, (key, _))| (name, key)).collect();
        named.sort_by_key(|(name, _)| *name);
        for (name, key) in named {
            let Ok(domain) = DomainName::parse(name) else { continue };
            if let Some(narrow) = narrowed(pattern, &domain) {
                self.sign(narrow, key, Some(signer), place);
            }
        }
    }

    fn sign(&mut self, pattern: AddressPattern, key: &KeyEntry, signer: Option<&str>, place: &Place) {
        if !key.is_authors() {
            let author = pattern.domain().to_owned();
            if key.has_authors_path() && author.contains(['*', '?']) {
                return self.for_each_domain(&pattern, key, signer, place);
            }
            return self.push(pattern, key, &key.domain, author, signer, place);
        }
        match DomainName::parse(pattern.domain()) {
            Ok(domain) => self.push(pattern, key, domain.as_str(), domain.to_string(), signer, place),
            Err(_) => self.for_each_domain(&pattern, key, signer, place),
        }
    }

    fn for_each_domain(&mut self, pattern: &AddressPattern, key: &KeyEntry, signer: Option<&str>, place: &Place) {
        let fitting: Vec<_> =
            self.domains.iter().filter_map(|domain| Some((domain, narrowed(pattern, domain)?))).collect();
        if fitting.is_empty() {
            let evidence = format!(
                "{pattern} stands for any domain, and Waxseal must know which they are: each has keys of its own"
            );
            let remedy = "give a file of them, one a line, with --domains FILE";
            self.findings.push(Finding::new(
                "import.domains_unknown",
                Severity::Error,
                place.clone(),
                evidence,
                remedy,
            ));
            return;
        }
        let evidence =
            format!("{pattern} stands for any domain; it is taken over for the {} that were given", fitting.len());
        self.findings.push(Finding::new(
            "import.domains_given",
            Severity::Info,
            place.clone(),
            evidence,
            "no other is signed for",
        ));
        for (domain, pattern) in fitting {
            let signing = if key.is_authors() { domain.as_str() } else { &key.domain };
            self.push(pattern, key, signing, domain.to_string(), signer, place);
        }
    }

    fn push(
        &mut self,
        pattern: AddressPattern,
        key: &KeyEntry,
        domain: &str,
        author: String,
        signer: Option<&str>,
        place: &Place,
    ) {
        let names = (DomainName::parse(domain), Selector::parse(&key.selector));
        let (domain, selector) = match names {
            (Ok(domain), Ok(selector)) => (domain, selector),
            (Err(error), _) => return self.bad_name(format!("{domain:?} is no domain: {error}"), place),
            (_, Err(error)) => return self.bad_name(format!("{:?} is no selector: {error}", key.selector), place),
        };
        let identity = self.identity(signer.unwrap_or_default(), &domain, place);
        let target = Target { domain, selector, identity, key: key.clone(), author };
        self.lines.push(Line { pattern, target: Some(target), place: place.clone() });
    }

    fn bad_name(&mut self, evidence: String, place: &Place) {
        self.findings.push(Finding::new(
            "import.name",
            Severity::Error,
            place.clone(),
            evidence,
            "correct the KeyTable",
        ));
    }

    /// i=, if it may stand there.
    fn identity(&mut self, signer: &str, domain: &DomainName, place: &Place) -> Option<Identity> {
        if signer.is_empty() {
            return None;
        }
        if signer == "@%" {
            return Some(Identity::AuthorDomain);
        }
        if !signer.contains('%') && !identity_within(signer, domain.as_str()) {
            let evidence = format!("i={signer} is not within d={domain}: OpenDKIM leaves it out, and so does Waxseal");
            self.find("import.identity_outside", place, evidence, "take it out");
            return None;
        }
        let identity: Option<Identity> = signer.parse().ok().filter(|_| !signer.contains('%'));
        if identity.is_none() {
            let evidence = format!("i={signer:?} cannot be said in Waxseal's terms and is left out");
            self.find("import.identity", place, evidence, "see whether anybody looks at i=; d= stays");
        }
        identity
    }

    /// A line of a `refile:` as patterns with an `@`: without one its `*` may stand for both sides.
    fn expand(&mut self, entry: &Entry) -> Vec<(Rank, String)> {
        let key = entry.key.as_str();
        if key.contains('?') {
            let evidence =
                format!("{key:?}: ? stands for itself in OpenDKIM and for any octet in Waxseal; the line is left out");
            self.find("import.pattern", &entry.place, evidence, "write a pattern without it");
            return Vec::new();
        }
        let patterns: Vec<_> = whole_addresses(key).into_iter().map(|text| (Rank::default(), text)).collect();
        if patterns.is_empty() {
            self.never_matches(
                entry,
                "in a refile: it is compared with the whole address, and no address is like this",
                "*@",
            );
        }
        patterns
    }

    /// A line of another table, and where it comes in the order in which OpenDKIM looks.
    fn exact(&mut self, entry: &Entry) -> Option<(Rank, String)> {
        let key = entry.key.as_str();
        let (local_part, domain) = key.split_once('@').map_or((None, key), |(local, domain)| (Some(local), domain));
        let wild =
            local_part.is_some_and(|local_part| local_part.contains('*')) || domain.contains('*') && domain != "*";
        if wild {
            self.never_matches(entry, "without refile: before the table's name wildcards count for nothing", "refile:");
            return None;
        }
        if key.contains('?') {
            return self.expand(entry).pop();
        }
        let local = local_part.unwrap_or("*");
        let second = u8::from(local_part.is_none());
        Some(match domain.strip_prefix('.') {
            Some(parent) => (Rank(2, usize::MAX - parent.matches('.').count(), second), format!("{local}@*.{parent}")),
            None if domain == "*" => (Rank(3, 0, second), format!("{local}@*")),
            None => (Rank(0, 0, second), format!("{local}@{domain}")),
        })
    }

    fn never_matches(&mut self, entry: &Entry, why: &str, what: &str) {
        let evidence = format!("{:?} never matches: {why}; nobody is signed for by this line", entry.key);
        let remedy = format!("if it should, correct it ({what}) in OpenDKIM first, or add a line to the imported map");
        self.find("import.never_matches", &entry.place, evidence, &remedy);
    }

    fn pattern(&mut self, text: &str, place: &Place) -> Option<AddressPattern> {
        match AddressPattern::parse(text) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let evidence = format!("the line is left out: {error}");
                self.find(
                    "import.pattern",
                    place,
                    evidence,
                    "write it as a pattern of Waxseal's into the imported map",
                );
                None
            }
        }
    }

    fn find(&mut self, rule: &'static str, place: &Place, evidence: String, remedy: &str) {
        self.findings.push(Finding::new(rule, Severity::Warning, place.clone(), evidence, remedy));
    }
}

/// Where a line comes in the order of looking: the smaller first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(u8, usize, u8);

/// The part of a pattern that is about one domain.
fn narrowed(pattern: &AddressPattern, domain: &DomainName) -> Option<AddressPattern> {
    let fits = super::dataset::wildcard_matches(pattern.domain(), domain.as_str());
    if !fits {
        return None;
    }
    AddressPattern::parse(&format!("{}@{domain}", pattern.local_part())).ok()
}
