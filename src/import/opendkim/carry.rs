//! OpenDKIM's setup in Waxseal's terms: configuration, map and keys.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::dataset::{DataSet, Kind, wildcard_matches};
use super::line::{Line, Lines, Target};
use super::setup::{Matches, Setup, place_of};
use super::trust::{signing, trust};
use crate::config::ListenAddress;
use crate::config::file::v1;
use crate::dkim::PrivateKey;
use crate::dkim::key::{Algorithm, STRONG_RSA_BITS};
use crate::finding::{Chain, Finding, Place, Severity};
use crate::import::Sources;
use crate::names::{DomainName, Selector};
use crate::policy::AddressPattern;

/// The name of the map of authors.
pub const MAP: &str = "signers.map";

/// What the operator decides.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// The domains that `*` and `%` stand for.
    pub domains: Vec<DomainName>,
    /// Where Waxseal is to listen: not where OpenDKIM does, as long as both run.
    pub listen: ListenAddress,
}

/// What becomes of a setup.
#[derive(Debug)]
pub struct Carried {
    /// waxseal.toml.
    pub spec: v1::Spec,
    /// The map named [`MAP`], beside it.
    pub map: String,
    /// The keys, each domain's together.
    pub keys: Vec<CarriedKey>,
}

/// A key with its place in DNS.
#[derive(Debug, Clone)]
pub struct CarriedKey {
    /// d=
    pub domain: DomainName,
    /// s=
    pub selector: Selector,
    /// The key; several domains may have it.
    pub key: Arc<PrivateKey>,
    /// What becomes of it.
    pub usage: KeyUse,
}

/// What becomes of a key that is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse {
    /// It goes on signing.
    Signs,
    /// It is kept, and another key of its domain signs: one of an algorithm does at a time.
    Kept,
}

impl Setup {
    /// Says the same in Waxseal's terms. With an error among the findings nothing should be made of it.
    pub fn carry(&self, wishes: &Wishes, sources: &mut impl Sources, findings: &mut Vec<Finding>) -> Carried {
        let lines = Lines::of(self, &wishes.domains, findings);
        let keys = self.keys(&lines, sources, findings);
        let lines = match self.matches {
            Matches::First => lines.into_iter().map(|line| MapLine::of(&line, &[])).collect(),
            Matches::All => merged(lines, findings),
        };
        let mut map = String::from("# Whom OpenDKIM's tables sign for. The first line that fits decides.\n");
        for MapLine { pattern, value } in &lines {
            let _ = writeln!(map, "{pattern}  {value}");
        }
        self.note_socket(wishes, findings);
        let listener = v1::Listener { socket: Some(wishes.listen.clone()), ..v1::Listener::default() };
        let spec = v1::Spec {
            version: Some(1),
            listener: Some(vec![listener]),
            keys: Some(v1::Keys { store: Some("keys".into()), ..v1::Keys::default() }),
            trust: Some(trust(self, findings)),
            signing: Some(signing(self, findings)),
            rule: Some(self.rules(findings)),
            ..v1::Spec::default()
        };
        Carried { spec, map, keys }
    }

    fn rules(&self, findings: &mut Vec<Finding>) -> Vec<v1::Rule> {
        let never = |name: &str| v1::Rule { name: Some(name.into()), never: Some(true), ..v1::Rule::default() };
        let mut rules = Vec::new();
        let to = addresses(&self.unsigned_recipients, findings);
        if !to.is_empty() {
            rules.push(v1::Rule { to: Some(to), ..never("DontSignMailTo") });
        }
        let exempt = addresses(&self.exempt, findings);
        if !exempt.is_empty() {
            rules.push(v1::Rule { from: Some(exempt), ..never("ExemptDomains") });
        }
        let maps = Some(vec![PathBuf::from(MAP)]);
        rules.push(v1::Rule { name: Some("SigningTable".into()), from_maps: maps, ..v1::Rule::default() });
        rules.push(never("nobody else"));
        rules
    }

    fn note_socket(&self, wishes: &Wishes, findings: &mut Vec<Finding>) {
        let theirs = self.settings.value("socket").unwrap_or("none in its configuration");
        let evidence = format!("OpenDKIM listens at {theirs}, Waxseal will at {}, so that both can run", wishes.listen);
        let remedy = "tell the MTA when mail is to move over";
        findings.push(Finding::new("import.socket", Severity::Info, place_of(self, "socket"), evidence, remedy));
    }

    /// The keys that lines name, read once each.
    fn keys(&self, lines: &[Line], sources: &mut impl Sources, findings: &mut Vec<Finding>) -> Vec<CarriedKey> {
        let mut read: HashMap<PathBuf, Option<Arc<PrivateKey>>> = HashMap::new();
        let mut wanted: BTreeMap<&DomainName, Vec<Wanted>> = BTreeMap::new();
        for line in lines {
            let Some(target) = &line.target else { continue };
            let of_domain = wanted.entry(&target.domain).or_default();
            if let Some(other) = of_domain.iter_mut().find(|other| other.selector == target.selector) {
                other.weight.add(line);
                continue;
            }
            let path = target.key.path(&self.base, &target.author);
            let known = path.as_ref().and_then(|path| read.get(path).cloned());
            let key = known.unwrap_or_else(|| {
                let key = self.private_key(target, path.as_ref(), &line.place, sources, findings);
                if let Some(path) = path {
                    read.insert(path, key.clone());
                }
                key
            });
            if let Some(key) = key {
                let mut weight = Weight::default();
                weight.add(line);
                of_domain.push(Wanted { selector: target.selector.clone(), key, weight, place: line.place.clone() });
            }
        }
        wanted.into_iter().flat_map(|(domain, keys)| choose(domain, keys, findings)).collect()
    }

    fn private_key(
        &self,
        target: &Target,
        path: Option<&PathBuf>,
        place: &Place,
        sources: &mut impl Sources,
        findings: &mut Vec<Finding>,
    ) -> Option<Arc<PrivateKey>> {
        match target.key.private_key(&self.base, &target.author, sources) {
            Ok(key) => Some(Arc::new(key)),
            Err(error) => {
                let which = path.map_or("in the KeyTable".to_owned(), |path| path.display().to_string());
                let record = target.selector.record_name(&target.domain);
                let evidence = format!("the key of {record}, {which}, cannot be taken over: {}", Chain(&error));
                let remedy = "mend it, or take out the lines that name it: OpenDKIM defers mail for it";
                findings.push(Finding::new("import.key", Severity::Error, place.clone(), evidence, remedy));
                None
            }
        }
    }
}

struct Wanted {
    selector: Selector,
    key: Arc<PrivateKey>,
    weight: Weight,
    place: Place,
}

/// How much mail a key probably signs: lines for everybody of a domain, then those for single authors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Weight {
    whole: usize,
    single: usize,
}

impl Weight {
    fn add(&mut self, line: &Line) {
        if line.pattern.local_part() == "*" { self.whole += 1 } else { self.single += 1 }
    }
}

/// Which keys of a domain sign: of each algorithm the one that weighs most.
fn choose(domain: &DomainName, wanted: Vec<Wanted>, findings: &mut Vec<Finding>) -> Vec<CarriedKey> {
    let mut signing: Vec<(Algorithm, Selector, Weight)> = Vec::new();
    for key in &wanted {
        let algorithm = key.key.public().algorithm();
        match signing.iter_mut().find(|(other, ..)| *other == algorithm) {
            Some((_, selector, weight)) if key.weight > *weight => {
                (*selector, *weight) = (key.selector.clone(), key.weight);
            }
            Some(_) => {}
            None => signing.push((algorithm, key.selector.clone(), key.weight)),
        }
    }
    let mut keys = Vec::new();
    for Wanted { selector, key, place, .. } in wanted {
        let (algorithm, bits) = (key.public().algorithm(), key.public().bits());
        let record = selector.record_name(domain);
        if algorithm == Algorithm::RsaSha256 && bits < STRONG_RSA_BITS {
            let evidence = format!("{record} is an RSA key of {bits} bits; it goes on signing");
            let remedy = format!("RFC 8301 wants 2048: make its successor with waxseal generate {domain}");
            findings.push(Finding::new("import.weak_key", Severity::Warning, place.clone(), evidence, remedy));
        }
        let signs = signing.iter().find(|(other, ..)| *other == algorithm).map(|(_, chosen, _)| chosen);
        let usage = if signs == Some(&selector) { KeyUse::Signs } else { KeyUse::Kept };
        if let (KeyUse::Kept, Some(other)) = (usage, signs) {
            let evidence = format!("{record} is kept but does not sign: {other} does, for all mail of {domain}");
            let remedy = format!(
                "one key of an algorithm signs for a domain; see that {} is published",
                other.record_name(domain)
            );
            findings.push(Finding::new("import.second_selector", Severity::Warning, place.clone(), evidence, remedy));
        }
        keys.push(CarriedKey { domain: domain.clone(), selector, key, usage });
    }
    keys
}

struct MapLine {
    pattern: AddressPattern,
    value: String,
}

impl MapLine {
    fn of(line: &Line, also: &[&Line]) -> Self {
        let targets = std::iter::once(line).chain(also.iter().copied()).filter_map(|line| line.target.as_ref());
        let mut domains: Vec<&DomainName> = Vec::new();
        for target in targets.clone() {
            if !domains.contains(&&target.domain) {
                domains.push(&target.domain);
            }
        }
        let mut value = domains.iter().map(|domain| domain.as_str()).collect::<Vec<_>>().join(",");
        if value.is_empty() {
            value.push('-');
        } else if let Some(identity) = targets.clone().find_map(|target| target.identity.as_ref()) {
            let _ = write!(value, " {identity}");
        }
        Self { pattern: line.pattern.clone(), value }
    }
}

/// With several signatures: each line with those of all wider lines, the narrower lines first.
fn merged(lines: Vec<Line>, findings: &mut Vec<Finding>) -> Vec<MapLine> {
    let wild: Vec<usize> = (0..lines.len()).filter(|&index| is_wild(lines[index].pattern.domain())).collect();
    let mut by_domain: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, line) in lines.iter().enumerate() {
        by_domain.entry(line.pattern.domain()).or_default().push(index);
    }
    let mut narrow_first: Vec<(usize, usize, MapLine)> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let same = by_domain.get(line.pattern.domain()).into_iter().flatten();
        let mut others: Vec<usize> = same.chain(&wild).copied().filter(|&other| other != index).collect();
        others.sort_unstable();
        others.dedup();
        let mut also: Vec<&Line> = Vec::new();
        for other in others.into_iter().map(|other| &lines[other]) {
            if is_within(&line.pattern, &other.pattern) {
                also.push(other);
            } else if !is_within(&other.pattern, &line.pattern) && may_overlap(&line.pattern, &other.pattern) {
                let evidence = format!(
                    "{} and {} overlap: whom both fit gets the signatures of one line",
                    line.pattern, other.pattern
                );
                let remedy = "write a line for those of both into the imported map, above the others";
                findings.push(Finding::new("import.overlap", Severity::Warning, line.place.clone(), evidence, remedy));
            }
        }
        let mut signed_twice = also.iter().chain([&line]).filter_map(|line| line.target.as_ref());
        let identities: std::collections::HashSet<_> =
            signed_twice.by_ref().filter_map(|t| t.identity.as_ref()).collect();
        if identities.len() > 1 {
            let evidence = format!("{}: the signatures have several i=, of which one is taken over", line.pattern);
            findings.push(Finding::new("import.identity", Severity::Warning, line.place.clone(), evidence, "d= stays"));
        }
        narrow_first.push((usize::MAX - also.len(), index, MapLine::of(line, &also)));
    }
    narrow_first.sort_by_key(|(narrowness, index, _)| (*narrowness, *index));
    narrow_first.into_iter().map(|(_, _, line)| line).collect()
}

fn is_wild(text: &str) -> bool {
    text.contains('*')
}

/// Whether all whom the one pattern fits the other fits too: its asterisks stand in places of asterisks.
fn is_within(narrow: &AddressPattern, wide: &AddressPattern) -> bool {
    wildcard_matches(wide.domain(), narrow.domain()) && wildcard_matches(wide.local_part(), narrow.local_part())
}

fn may_overlap(one: &AddressPattern, other: &AddressPattern) -> bool {
    let parts = |one: &str, other: &str| {
        let (first, second) = (one.split('*').next().unwrap_or_default(), other.split('*').next().unwrap_or_default());
        let (last, end) = (one.rsplit('*').next().unwrap_or_default(), other.rsplit('*').next().unwrap_or_default());
        match (is_wild(one), is_wild(other)) {
            (false, false) => one == other,
            (false, true) => wildcard_matches(other, one),
            (true, false) => wildcard_matches(one, other),
            (true, true) => {
                (first.starts_with(second) || second.starts_with(first)) && (last.ends_with(end) || end.ends_with(last))
            }
        }
    };
    parts(one.domain(), other.domain()) && parts(one.local_part(), other.local_part())
}

/// A list of addresses that are never signed for, or to: rather too many than too few.
fn addresses(set: &DataSet, findings: &mut Vec<Finding>) -> Vec<AddressPattern> {
    let mut patterns = Vec::new();
    for entry in &set.entries {
        let (local_part, domain) = entry.key.split_once('@').unwrap_or(("*", &entry.key));
        let domain = domain.strip_prefix('.').map_or(domain.to_owned(), |parent| format!("*.{parent}"));
        let never = set.kind == Kind::Exact && is_wild(&entry.key) && entry.key != "*" && !entry.key.ends_with("@*");
        let text = format!("{local_part}@{domain}");
        match (never, text.parse()) {
            (false, Ok(pattern)) => patterns.push(pattern),
            (true, _) => {
                let evidence = format!("{:?} never matches: without refile: wildcards count for nothing", entry.key);
                let remedy = "it is left out; add it to the rule if it should count";
                findings.push(Finding::new(
                    "import.never_matches",
                    Severity::Warning,
                    entry.place.clone(),
                    evidence,
                    remedy,
                ));
            }
            (false, Err(error)) => {
                let evidence = format!("left out: {error}");
                let remedy = "add it to the rule as a pattern of Waxseal's: else such mail is signed";
                findings.push(Finding::new("import.pattern", Severity::Error, entry.place.clone(), evidence, remedy));
            }
        }
    }
    patterns
}
